"""Fashion-MNIST as it lies on disk: IDX files, images by their place."""

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.damaged_files import bounds
from tools.common.errors import UserError
from tools.datasets import BadImage
from tools.datasets.fashion_mnist import FashionMnist


def idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    root = tmp_path / "fashion"
    idx(root / "train-images-idx3-ubyte.gz", np.arange(6 * 28 * 28).reshape(6, 28, 28) % 251)
    idx(root / "train-labels-idx1-ubyte.gz", np.array([2, 0, 2, 1, 0, 1]))
    idx(root / "t10k-images-idx3-ubyte.gz", np.arange(3 * 28 * 28).reshape(3, 28, 28) % 239)
    idx(root / "t10k-labels-idx1-ubyte.gz", np.array([1, 2, 0]))
    return root


def test_fashion_mnist_refers_to_images_by_their_place(fashion: Path) -> None:
    scan = FashionMnist(fashion).scan()
    assert scan.classes == ["0", "1", "2"]
    assert scan.train["0"] == ["train/00001", "train/00004"]
    assert scan.train["2"] == ["train/00000", "train/00002"]
    assert scan.val == {"0": ["val/00002"], "1": ["val/00000"], "2": ["val/00001"]}


def test_fashion_mnist_is_gray_or_three_equal_channels(fashion: Path) -> None:
    data = FashionMnist(fashion)
    expected = (np.arange(6 * 28 * 28).reshape(6, 28, 28) % 251).astype(np.uint8)[4]
    np.testing.assert_array_equal(data.read("train/00004", gray=True), expected)
    colour = data.read("train/00004", gray=False)
    assert colour.shape == (28, 28, 3)
    assert (colour == expected[:, :, None]).all()


def test_fashion_mnist_can_be_sent_to_a_process_without_its_images(fashion: Path) -> None:
    data = FashionMnist(fashion)
    before = data.read("val/00002", gray=True)
    sent = pickle.dumps(data)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent).read("val/00002", gray=True), before)


@pytest.mark.parametrize("reference", ["train/99999", "val/x", "test/00000"])
def test_a_reference_that_fashion_mnist_has_not_is_a_bad_image(fashion: Path, reference: str) -> None:
    with pytest.raises(BadImage, match=f"no image {reference}"):
        FashionMnist(fashion).read(reference)


def test_a_cut_off_idx_file_is_named(fashion: Path) -> None:
    file = fashion / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz: cannot be read .* fetch again"):
        FashionMnist(fashion).scan()
    file.write_bytes(gzip.compress(b"\0\0\x08\x03" + bytes(100)))
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz: more than 0 bytes for a shape of \(0, 0, 0\)"):
        FashionMnist(fashion).scan()
    file.write_bytes(gzip.compress(b"no idx"))
    with pytest.raises(UserError, match=r"not an IDX file of bytes"):
        FashionMnist(fashion).scan()


@pytest.mark.parametrize(
    ("shape", "values", "message"),
    [
        ([60_000, 28, 28], 1 << 20, r"1048576 bytes for a shape of \(60000, 28, 28\)"),
        ([2**32 - 1] * 3, 100, r"a shape of \(4294967295, 4294967295, 4294967295\), more than 2,147,483,648 bytes"),
        ([6, 28, 28], 1 << 30, r"more than 4704 bytes for a shape of \(6, 28, 28\)"),  # 1 MB of gzip
        ([0, 28, 28], 0, r"0 bytes for a shape of \(0, 28, 28\)"),
    ],
)
def test_a_head_that_lies_is_refused_within_bounds(fashion: Path, shape: list[int], values: int, message: str) -> None:
    file = fashion / "train-images-idx3-ubyte.gz"
    head = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in shape)
    megabyte = gzip.compress(bytes(1 << 20))
    file.write_bytes(gzip.compress(head) + megabyte * (values >> 20) + gzip.compress(bytes(values % (1 << 20))))
    with bounds(), pytest.raises(UserError, match=f"train-images-idx3-ubyte.gz: {message}"):
        FashionMnist(fashion).scan()


@pytest.mark.parametrize("axes", [1, 2, 4, 255])
def test_images_of_other_axes_are_refused(fashion: Path, axes: int) -> None:
    idx(fashion / "train-images-idx3-ubyte.gz", np.zeros([1] * min(axes, 30)))
    with pytest.raises(UserError, match="it should begin 00 00 08 03"):
        FashionMnist(fashion).scan()


def test_labels_for_other_images_are_refused(fashion: Path) -> None:
    idx(fashion / "train-labels-idx1-ubyte.gz", np.array([0, 1, 2]))
    with pytest.raises(UserError, match=r"train-labels-idx1-ubyte.gz: 3 labels for 6 images"):
        FashionMnist(fashion).scan()
