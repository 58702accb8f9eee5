"""Windows that cannot be cut out, and images that cannot be read. Which windows there are: test_window_data.py."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from caffeformat import FormatError, prototxt
from caffeformat.caffeformat_pb2 import TRAIN, LayerParameter
from torchcaffe.data.window_source import WindowSource
from torchcaffe.random.rng import Generator


def source(folder: Path, window: str, settings: str = "", image: str = "it.png") -> WindowSource:
    assert cv2.imwrite(str(folder / "it.png"), np.zeros((10, 20, 3), np.uint8))
    (folder / "windows").write_text(f"# 0\n{folder}/{image}\n3 10 20\n2\n1 1 {window}\n0 0 0 0 5 5\n")
    text = f"""name: "it" transform_param {{ crop_size: 8 }}
        window_data_param {{ source: "{folder}/windows" batch_size: 4 fg_fraction: 0.5 {settings} }}"""
    return WindowSource(prototxt.parse(text, LayerParameter(), "layer"), TRAIN, Generator(1))


@pytest.mark.parametrize("settings", ["", "context_pad: 1"])
@pytest.mark.parametrize("window", ["0 0 40 5", "-30 0 -20 5", "8 3 2 5"])
def test_a_window_that_is_not_in_its_image_is_named(tmp_path: Path, window: str, settings: str) -> None:
    if settings and window == "0 0 40 5":  # with context, what is beyond the image is a margin
        assert source(tmp_path, window, settings).next_batch(4)[0].shape == (4, 3, 8, 8)
        return
    reader = source(tmp_path, window, settings)
    with pytest.raises(
        FormatError, match=rf"^layer it: .*windows:5: the window {window} is not in the image .* 20 by 10"
    ):
        reader.next_batch(4)


@pytest.mark.parametrize("settings", ["", "cache_images: true"])
def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, settings: str) -> None:
    """Caffe goes on with a batch that it has only begun to fill."""
    with pytest.raises(FormatError, match=r"^layer it: .*Could not open or find file .*/gone\.png"):
        source(tmp_path, "0 0 5 5", settings, "gone.png").next_batch(4)


def test_a_restored_state_draws_the_same_windows(tmp_path: Path) -> None:
    reader = source(tmp_path, "0 0 5 5")
    reader.next_batch(4)
    state = reader.state()
    expected = reader.next_batch(4)
    reader.restore(state)
    for found, right in zip(reader.next_batch(4), expected, strict=True):
        np.testing.assert_array_equal(found, right)
