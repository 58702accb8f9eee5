"""Image files: channels, their order, and what OpenCV cannot decode."""

import sys

import cv2
import numpy as np
import pytest

from caffeformat import FormatError
from torchcaffe.data import images

COLOR = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)  # height, width, BGR


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def test_channels_come_first_and_stay_bgr() -> None:
    assert np.array_equal(images.decode(png(COLOR), color=None), COLOR.transpose(2, 0, 1))


def test_a_gray_image_has_one_channel_unless_color_is_asked_for() -> None:
    gray = COLOR[:, :, 0]
    assert np.array_equal(images.decode(png(gray), color=None), gray[None])
    assert np.array_equal(images.decode(png(gray), color=True), np.stack([gray] * 3))


def test_color_becomes_gray_where_gray_is_asked_for() -> None:
    assert images.decode(png(COLOR), color=False).shape == (1, 4, 5)


@pytest.mark.parametrize("data", [b"", b"no image", png(COLOR.astype(np.uint16))], ids=["nothing", "text", "16 bits"])
def test_what_is_no_image_of_8_bits_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="not an image of 8 bits per channel that OpenCV can decode"):
        images.decode(data, color=None)


def test_without_opencv_the_package_to_install_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(FormatError, match="pip install opencv-python-headless"):
        images.opencv()
