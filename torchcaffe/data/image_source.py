"""The images of an ImageData layer: the files that a list names, over and over, transformed.

OpenCV reads the files, as in BVLC Caffe. Source followed: BVLC Caffe's image_data_layer.cpp, and ReadImageToCVMat in
util/io.cpp.
"""

import re
from pathlib import Path

import numpy as np

from caffeformat import FormatError
from caffeformat.caffeformat_pb2 import LayerParameter
from torchcaffe.data.images import chw, opencv
from torchcaffe.data.transformer import SeveralSizes, Shape, Transformers, is_random
from torchcaffe.random.rng import Generator, State

_NUMBER = re.compile(r"\s*[+-]?\d+")


class ImageSource:
    """The images and labels that the ImageData layer `layer` names; with `shuffle`, in a new order in each round.

    Draws from `rng`, the solver's generator, as often and in the same order as Caffe's layer: once for a transformer
    that uses random numbers, once for `shuffle`, once for `rand_skip`, again for the transformer, and once for the
    prefetch thread. `skipped` is the number of images skipped at the start, None without rand_skip. Raises FormatError,
    with the layer's name.
    """

    def __init__(self, layer: LayerParameter, phase: int, rng: Generator):
        self._name, self._param = layer.name, layer.image_data_param
        self.batch_size = self._param.batch_size
        self._check()
        self._cv2 = opencv()
        self._entries = self._read_list()
        self._order = np.arange(len(self._entries))
        transform_is_random = is_random(layer.transform_param, phase)
        if transform_is_random:
            rng.rand()
        self._shuffler = Generator(rng.rand()) if self._param.shuffle else None
        self._shuffle()
        self.skipped = rng.rand() % self._param.rand_skip if self._param.rand_skip else None
        self._position = self.skipped or 0
        skips_all = f"rand_skip: {self._position} of {len(self)} images are to be skipped; not enough points to skip"
        self._require(self._position < len(self), skips_all)
        self._rng = Generator(rng.rand()) if transform_is_random else None
        rng.rand()
        self._transformers = Transformers(layer.transform_param, phase, self._rng)
        first = self._read(self._order[self._position])
        try:
            self.shape: Shape = self._transformers.of(first.shape).shape
        except FormatError as error:
            raise self._error(str(error)) from None

    def __len__(self) -> int:
        """The number of images."""
        return len(self._entries)

    def next_batch(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The next `n` images (float32, NCHW) and their labels (float32, n). Raises FormatError."""
        images, labels = [], np.empty(n, np.float32)
        for i in range(n):
            index = self._order[self._position]
            images.append(self._read(index))
            labels[i] = self._entries[index][1]
            self._position += 1
            if self._position == len(self):
                self._position = 0
                self._shuffle()
        return self._transformed(images), labels

    def restarts(self) -> int:
        """0: unlike for a Data layer, Caffe's release builds log no line where a round begins."""
        return 0

    def state(self) -> State:
        """The arrays that determine the next batches: `position`, `order`, and the states of the generators."""
        state = {"position": np.array(self._position, np.int64), "order": self._order}
        for name, rng in (("shuffle", self._shuffler), ("transformer", self._rng)):
            if rng:
                state |= {f"{name}.{part}": array for part, array in rng.state().items()}
        return state

    def restore(self, state: State) -> None:
        """Goes back to `state()`. Raises FormatError for the state of a layer with other settings or another list."""
        self._require(
            state.keys() == self.state().keys() and len(state["order"]) == len(self),
            "the resume file next to the solverstate is of another data layer: have shuffle, crop_size, mirror or the "
            "list been changed? Remove that file to begin with the first image again",
        )
        for name, rng in (("shuffle", self._shuffler), ("transformer", self._rng)):
            if rng:
                rng.restore({part: state[f"{name}.{part}"] for part in ("key", "position")})
        self._position, self._order = int(state["position"]), state["order"]

    def _check(self) -> None:
        param = self._param
        self._require(param.batch_size > 0, "image_data_param needs batch_size: 1 or more; found 0")
        both = f"found new_height: {param.new_height}, new_width: {param.new_width}"
        self._require(
            (param.new_height > 0) == (param.new_width > 0), f"new_height and new_width are given together; {both}"
        )

    def _read_list(self) -> list[tuple[str, int]]:
        """Path and label of each line of the list."""
        source = self._param.source
        try:
            lines = Path(source).read_bytes().decode(errors="surrogateescape").split("\n")
        except OSError as error:
            raise self._error(f"{source}: cannot be read: {error.strerror}; give a list of images") from None
        if lines[-1] == "":
            lines.pop()
        self._require(lines, f"{source}: File is empty; a line is needed for each image, `path label`")
        return [self._entry(line, number) for number, line in enumerate(lines, 1)]

    def _entry(self, line: str, number: int) -> tuple[str, int]:
        path, _, label = line.rstrip("\r").rpartition(" ")
        wrong = f"{self._param.source}:{number}: `{line[:80]}`; a line is `path label`, the label a whole number"
        self._require(path and _NUMBER.fullmatch(label), wrong)
        return path, int(label)

    def _shuffle(self) -> None:
        if self._shuffler:
            order = self._order.tolist()
            self._shuffler.shuffle(order)
            self._order = np.array(order)

    def _read(self, index: int) -> np.ndarray:
        """The image at `index` of the list, resized as the layer asks: uint8, CHW, BGR."""
        param, path = self._param, self._param.root_folder + self._entries[index][0]
        flag = self._cv2.IMREAD_COLOR if param.is_color else self._cv2.IMREAD_GRAYSCALE
        image = self._cv2.imread(path, flag)
        self._require(image is not None, f"Could not load {path} ({param.source}:{index + 1})")
        if param.new_height:
            image = self._cv2.resize(image, (param.new_width, param.new_height))
        return chw(image)

    def _transformed(self, images: list[np.ndarray]) -> np.ndarray:
        """The batch (float32, NCHW) of `images`, whose sizes may differ if they are cropped to one size."""
        try:
            return self._transformers(images)
        except SeveralSizes as error:
            mend = "give new_height and new_width, a crop_size, or batch_size: 1"
            raise self._error(f"{self._param.source}: {error}; {mend}") from None
        except FormatError as error:
            raise self._error(str(error)) from None

    def _require(self, condition: object, text: str) -> None:
        if not condition:
            raise self._error(text)

    def _error(self, text: str) -> FormatError:
        return FormatError(f"layer {self._name}: {text}")
