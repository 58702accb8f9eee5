"""Decoding: the pixels of Caffe's own convert_imageset, and files that cannot be decoded."""

import subprocess
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from PIL import Image

from caffeformat.caffeformat_pb2 import Datum
from tests.helpers.pictures import picture, save
from tools.datasets import BadImage, DataSet


def kinds(folder: Path) -> None:
    """One file of every kind of image that data sets are known to hold."""
    rgb = picture()
    alpha = rgb.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(rgb.size))
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: rotate by 90 degrees to view
    save(folder / "rgb.jpg", rgb)
    save(folder / "chroma-not-subsampled.jpg", rgb, subsampling=0)
    save(folder / "progressive.jpg", rgb, progressive=True)
    save(folder / "gray.jpg", rgb.convert("L"))
    save(folder / "cmyk.jpg", rgb.convert("CMYK"))
    save(folder / "turned.jpg", rgb, exif=turned)
    save(folder / "turned.png", rgb, exif=turned)
    save(folder / "rgb.png", rgb)
    save(folder / "gray.png", rgb.convert("L"))
    save(folder / "alpha.png", alpha)
    save(folder / "gray-and-alpha.png", alpha.convert("LA"))
    save(folder / "palette.png", rgb.convert("P"))
    others = [rgb.transpose(Image.Transpose.ROTATE_180), rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    for name, is_no_frame in (("animated.png", False), ("animated-with-default.png", True)):
        save(folder / name, rgb, save_all=True, append_images=others, default_image=is_no_frame)
    save(folder / "16-bit.png", Image.fromarray(np.asarray(rgb)[:, :, 0].astype(np.uint16) * 257 + 77))
    save(folder / "rgb.bmp", rgb)
    cv2.imwrite(str(folder / "alpha.bmp"), np.asarray(alpha)[:, :, [2, 1, 0, 3]])  # with masks
    save(folder / "alpha-without-masks.bmp", alpha)
    save(folder / "rgb.tif", rgb)


def convert_imageset(caffe_tools: Path, folder: Path, lmdb_folder: Path, *flags: str) -> dict[str, np.ndarray]:
    """File name -> CxHxW as Caffe's own tool stores it, at the image's own size."""
    names = sorted(f.name for f in folder.iterdir())
    listing = lmdb_folder.with_suffix(".txt")
    listing.write_text("".join(f"{name} 0\n" for name in names))
    command = [caffe_tools / "convert_imageset", *flags, f"{folder}/", listing, lmdb_folder]
    subprocess.run(command, check=True, capture_output=True)
    stored = {}
    with lmdb.open(str(lmdb_folder), readonly=True, lock=False) as environment, environment.begin() as transaction:
        for key, value in transaction.cursor():
            datum = Datum.FromString(value)
            shape = (datum.channels, datum.height, datum.width)
            stored[key.decode().split("_", 1)[1]] = np.frombuffer(datum.data, np.uint8).reshape(shape)
    return stored


def test_every_kind_of_image_has_the_pixels_of_convert_imageset(caffe_tools: Path, tmp_path: Path) -> None:
    kinds(tmp_path / "images")
    ours = DataSet(tmp_path / "images")
    colour = convert_imageset(caffe_tools, ours.root, tmp_path / "colour")
    gray = convert_imageset(caffe_tools, ours.root, tmp_path / "gray", "--gray")
    assert len(colour) == len(gray) == 19
    for name in colour:
        np.testing.assert_array_equal(ours.read(name, gray=False).transpose(2, 0, 1), colour[name], err_msg=name)
        np.testing.assert_array_equal(ours.read(name, gray=True)[None], gray[name], err_msg=name)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 100, "subsampling": 0}])
def test_a_jpeg_that_ends_before_its_end_marker_is_a_bad_image(tmp_path: Path, options: dict[str, object]) -> None:
    """convert_imageset takes it, with gray in the place of what is missing."""
    data = save(tmp_path / "a.jpg", picture(), **options).read_bytes()
    assert data.endswith(b"\xff\xd9")
    for missing in (*range(1, 40), 100, len(data) // 3, len(data) // 2):
        (tmp_path / "a.jpg").write_bytes(data[:-missing])
        with pytest.raises(BadImage, match="cut off"):
            DataSet(tmp_path).read("a.jpg")


def test_bytes_after_the_end_of_a_jpeg_mean_nothing(tmp_path: Path) -> None:
    data = save(tmp_path / "a.jpg", picture()).read_bytes()
    before = DataSet(tmp_path).read("a.jpg")
    (tmp_path / "a.jpg").write_bytes(data + bytes(100))
    np.testing.assert_array_equal(DataSet(tmp_path).read("a.jpg"), before)


def test_an_image_is_bgr_bytes_at_its_own_size(tmp_path: Path) -> None:
    save(tmp_path / "red.png", Image.new("RGB", (5, 3), (250, 20, 10)))
    image = DataSet(tmp_path).read("red.png", gray=False)
    assert (image.shape, image.dtype) == ((3, 5, 3), np.uint8)
    assert image[0, 0].tolist() == [10, 20, 250]
    assert DataSet(tmp_path).read("red.png", gray=True).shape == (3, 5)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.tif", "a.webp"])
def test_a_file_that_is_cut_off_is_a_bad_image(tmp_path: Path, name: str) -> None:
    file = save(tmp_path / name, picture())
    data = file.read_bytes()
    assert DataSet(tmp_path).read(name).shape == (48, 64, 3)
    for length in (0, 20, len(data) // 2, len(data) * 9 // 10):
        file.write_bytes(data[:length])
        with pytest.raises(BadImage):
            DataSet(tmp_path).read(name)


def test_what_is_no_image_is_a_bad_image_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    data = DataSet(tmp_path)
    for name, why in {
        "page.jpg": "not an image that OpenCV reads, or cut off",
        "empty.jpg": "empty file",
        "folder.jpg": "Is a directory",
        "gone.jpg": "No such file or directory",
    }.items():
        with pytest.raises(BadImage) as error:
            data.read(name)
        assert str(error.value) == why
