"""Fashion-MNIST: four gzipped IDX files. A reference is `train/00017` or `val/00017`: the index of the image."""

import gzip
import hashlib
import math
import zlib
from functools import cached_property
from pathlib import Path

import numpy as np

from tools.common.errors import UserError
from tools.datasets.base import DataSet, Scan
from tools.datasets.image_file import BadImage

FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "val": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
_MOST_BYTES = 1 << 31  # of a file's values


class FashionMnist(DataSet):
    """A class id is the label, `0` to `9` (the card has the names). Images are 28x28 and stay in memory: 55 MB."""

    @classmethod
    def is_at(cls, folder: Path) -> bool:
        return all((folder / file).is_file() for pair in FILES.values() for file in pair)

    def scan(self) -> Scan:
        parts = {}
        for part, (images, labels) in FILES.items():
            values = read_idx(self.root / labels, 1)
            count = len(self._images[part])
            if len(values) != count:
                raise UserError(f"{self.root / labels}: {len(values)} labels for {count} images in {images}")
            parts[part] = {
                str(label): [f"{part}/{i:05d}" for i in np.flatnonzero(values == label)] for label in np.unique(values)
            }
        if set(parts["train"]) != set(parts["val"]):
            raise UserError(f"{self.root}: train has labels {sorted(parts['train'])}, val {sorted(parts['val'])}")
        return Scan(sorted(parts["train"]), parts["train"], parts["val"])

    def read(self, reference: str, gray: bool = False) -> np.ndarray:
        """uint8, 28x28 (gray) or 28x28x3 with three equal channels, as convert_imageset reads a gray file."""
        part, _, number = reference.partition("/")
        try:
            image = self._images[part][int(number)]
        except (KeyError, ValueError, IndexError):
            raise BadImage(f"no image {reference} in {self.root}") from None
        return image.copy() if gray else np.repeat(image[:, :, None], 3, axis=2)

    def file(self, reference: str) -> str:
        return self._files[reference.partition("/")[0]]

    def digest(self, reference: str) -> str:
        return hashlib.sha256(self.read(reference, gray=True).tobytes()).hexdigest()

    @cached_property
    def _files(self) -> dict[str, str]:
        return {part: f"{self.root}/{images}" for part, (images, _) in FILES.items()}

    @cached_property
    def _images(self) -> dict[str, np.ndarray]:
        return {part: read_idx(self.root / images, 3) for part, (images, _) in FILES.items()}

    def __getstate__(self) -> dict[str, Path]:
        """Pickles without the arrays: the other process reads them itself."""
        return {"root": self.root}


def read_idx(path: Path, axes: int) -> np.ndarray:
    """A gzipped IDX file of uint8 (http://yann.lecun.com/exdb/mnist/) of this number of axes. Raises UserError.

    It unpacks no more than the shape in the file's head asks for, and at most 2 GiB: gzip makes gigabytes of a few KB.
    """
    again = "remove it and fetch again"
    try:
        with gzip.open(path) as file:
            head = file.read(4 + 4 * axes)
            if head[:4] != bytes([0, 0, 8, axes]) or len(head) < 4 + 4 * axes:
                raise UserError(f"{path}: not an IDX file of bytes; it should begin 00 00 08 0{axes}; {again}")
            shape = tuple(np.frombuffer(head, ">u4", offset=4).tolist())
            size = math.prod(shape)
            if size > _MOST_BYTES:
                raise UserError(f"{path}: a shape of {shape}, more than {_MOST_BYTES:,} bytes; {again}")
            values = np.frombuffer(file.read(size + 1), np.uint8)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error}); {again}") from None
    if values.size != size or 0 in shape:
        found = f"more than {size}" if values.size > size else str(values.size)
        raise UserError(f"{path}: {found} bytes for a shape of {shape}; {again}")
    return values.reshape(shape)
