"""The images of an ImageData layer: resume, and lists that are no good. Which images come is in test_image_data.py."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import torchcaffe
from caffeformat import FormatError, prototxt
from caffeformat.caffeformat_pb2 import TRAIN, LayerParameter
from tests.helpers.real_caffe import CaffeAborted, RealCaffe
from torchcaffe.data.image_source import ImageSource
from torchcaffe.random.rng import Generator

TRANSFORM = "crop_size: 6 mirror: true"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine images of two sizes, and `list`, which names them."""
    folder = tmp_path_factory.mktemp("image_source")
    random = np.random.default_rng(0)
    for index in range(9):
        assert cv2.imwrite(f"{folder}/{index}.png", random.integers(0, 256, (8 + index % 2, 10, 3), np.uint8))
    (folder / "list").write_text("".join(f"{index}.png {index}\n" for index in range(9)))
    return folder


def source(folder: Path, settings: str, transform: str, seed: int = 1) -> ImageSource:
    param = f'source: "{folder}/list" root_folder: "{folder}/" batch_size: 4 {settings}'
    text = f'name: "it" type: "ImageData" image_data_param {{ {param} }} transform_param {{ {transform} }}'
    return ImageSource(prototxt.parse(text, LayerParameter(), "layer"), TRAIN, Generator(seed))


@pytest.mark.parametrize("batches", [0, 1, 5])
@pytest.mark.parametrize("settings", ["", "shuffle: true", "shuffle: true rand_skip: 3"])
def test_a_restored_state_goes_on_with_the_same_images_and_crops(folder, settings, batches) -> None:
    images = source(folder, settings, TRANSFORM)
    for _ in range(batches):
        images.next_batch(4)
    state = images.state()
    expected = [images.next_batch(4) for _ in range(6)]
    other = source(folder, settings, TRANSFORM, seed=2)
    other.restore(state)
    for batch, labels in expected:
        restored_batch, restored_labels = other.next_batch(4)
        assert np.array_equal(restored_batch, batch)
        assert np.array_equal(restored_labels, labels)


def test_the_state_of_a_layer_with_other_settings_is_refused(folder) -> None:
    state = source(folder, "shuffle: true", TRANSFORM).state()
    with pytest.raises(FormatError, match=r"^layer it: .* have shuffle, crop_size, mirror or the list been changed\?"):
        source(folder, "", TRANSFORM).restore(state)


def test_the_state_of_a_layer_with_another_list_is_refused(folder, tmp_path) -> None:
    state = source(folder, "", TRANSFORM).state()
    (tmp_path / "list").write_text(f"../{folder.name}/0.png 1\n")
    (tmp_path.parent / folder.name).exists() or (tmp_path.parent / folder.name).symlink_to(folder)
    with pytest.raises(FormatError, match="or the list been changed"):
        source(tmp_path, "", TRANSFORM).restore(state)


REFUSALS = {
    "no list": ("", "source: 'nowhere'", "nowhere: cannot be read: No such file", True),
    "an empty list": ("", "", "list: File is empty", True),
    "a line without a label": ("a.jpg", "", "list:1: `a.jpg`; a line is `path label`", False),
    "a label that is no number": ("0.jpg 1\nb.jpg x", "", "list:2: `b.jpg x`", False),
    "a missing image": ("none.jpg 1", "", r"Could not load none.jpg \(.*list:1\)", True),
    "a height alone": ("a.jpg 1", "new_height: 3", "given together; found new_height: 3, new_width: 0", True),
    "no batch": ("a.jpg 1", "batch_size: 0", "batch_size: 1 or more", True),
}


@pytest.mark.parametrize(("lines", "more", "message", "by_caffe"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_list_that_is_no_good_is_refused(real_caffe: RealCaffe, tmp_path, lines, more, message, by_caffe) -> None:
    """Caffe reads some of the lists all the same, with labels of 0."""
    (tmp_path / "list").write_text(lines)
    param = more if "source" in more else f'source: "{tmp_path}/list" {more}'
    path = tmp_path / "net.prototxt"
    path.write_text(f'layer {{ name: "it" type: "ImageData" top: "a" top: "b" image_data_param {{ {param} }} }}')
    with pytest.raises(FormatError, match=f"(?s)net.prototxt:1: .*it.*{message}"):
        torchcaffe.Net(path, torchcaffe.TRAIN)
    if by_caffe:
        with pytest.raises(CaffeAborted):
            real_caffe.run('caffe.Net(given["path"], 0)', path=str(path))


def test_images_of_two_sizes_in_a_batch_are_refused(real_caffe: RealCaffe, folder, tmp_path) -> None:
    path = tmp_path / "net.prototxt"
    param = f'source: "{folder}/list" root_folder: "{folder}/" batch_size: 3'
    path.write_text(f'layer {{ name: "it" type: "ImageData" top: "a" top: "b" image_data_param {{ {param} }} }}')
    with pytest.raises(FormatError, match="images of 3x8x10 and 3x9x10 in one batch; give new_height and new_width"):
        torchcaffe.Net(path, torchcaffe.TRAIN).forward()
    with pytest.raises(CaffeAborted):
        real_caffe.run('caffe.Net(given["path"], 0).forward()', path=str(path))
