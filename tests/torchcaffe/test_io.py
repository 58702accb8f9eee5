"""caffe.io against pycaffe's: the same images, preparations and messages."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import torchcaffe as caffe
from tests.helpers.real_caffe import RealCaffe
from torchcaffe.proto import caffe_pb2

IMAGES = """
for name in given["files"]:
    for color in (True, False):
        out["%s %s" % (name, color)] = caffe.io.load_image(given["folder"] + "/" + name, color)
"""
RESIZED = """
for name in ("color", "gray", "deep", "flat"):
    for size in ((5, 7), (20, 9), (13, 31), (16, 24)):
        out["%s %s" % (name, size)] = caffe.io.resize_image(given[name], size)
out["oversampled"] = caffe.io.oversample([given["color"], given["color"] * 2], (7, 5))
out["odd"] = caffe.io.oversample([given["deep"]], (16, 11))
"""
PREPARED = """
transformer = caffe.io.Transformer({"x": (10, 3, 11, 12)})
out["resized alone"] = transformer.preprocess("x", given["color"].copy())
transformer.set_transpose("x", (2, 0, 1))
transformer.set_channel_swap("x", (2, 1, 0))
out["swapped"] = transformer.preprocess("x", given["color"].copy())
transformer.set_raw_scale("x", 255)
for name in ("channels", "small", "whole"):
    transformer.set_mean("x", given[name].copy())
    out["mean " + name] = transformer.mean["x"]
    out["x " + name] = transformer.preprocess("x", given["color"].copy())
transformer.set_input_scale("x", 0.5)
out["all"] = transformer.preprocess("x", given["color"].copy())
out["back"] = transformer.deprocess("x", out["all"][None])
"""
MESSAGES = """
blob = caffe.io.array_to_blobproto(given["color"], given["color"] * 2)
out["blob"] = np.frombuffer(blob.SerializeToString(), np.uint8)
out["data"], out["diff"] = caffe.io.blobproto_to_array(blob), caffe.io.blobproto_to_array(blob, True)
text = caffe.io.arraylist_to_blobprotovector_str([given["color"], given["channels"]])
out["vector"] = np.frombuffer(text, np.uint8)
for index, array in enumerate(caffe.io.blobprotovector_str_to_arraylist(text)):
    out["list %d" % index] = array
for name in ("bytes", "color"):
    datum = caffe.io.array_to_datum(given[name], 3)
    out["datum " + name] = np.frombuffer(datum.SerializeToString(), np.uint8)
    out["from " + name] = caffe.io.datum_to_array(datum)
out["unlabelled"] = np.frombuffer(caffe.io.array_to_datum(given["bytes"]).SerializeToString(), np.uint8)
"""


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    shapes = {"color": (16, 24, 3), "gray": (16, 24, 1), "deep": (16, 24, 4)}
    shapes |= {"small": (3, 5, 6), "one": (5, 6), "whole": (3, 11, 12), "channels": (3,)}
    given = {name: random.random(shape).astype(np.float32) for name, shape in shapes.items()}
    bytes_ = random.integers(0, 256, (3, 4, 5)).astype(np.uint8)
    return given | {"flat": np.full((16, 24, 3), 0.25, np.float32), "bytes": bytes_}


def agree(real_caffe: RealCaffe, program: str, rtol: float = 0.0, **given: object) -> None:
    right = real_caffe.run(program, **given)
    found: dict[str, np.ndarray] = {}
    exec(program, {"caffe": caffe, "np": np, "given": given, "out": found})
    assert found.keys() == right.keys()
    for name in right:
        assert (found[name].dtype, found[name].shape) == (right[name].dtype, right[name].shape), name
        np.testing.assert_allclose(found[name], right[name], rtol=rtol, atol=rtol, err_msg=name)


def test_images_are_loaded_as_by_pycaffe(real_caffe: RealCaffe, tmp_path: Path) -> None:
    pixels = np.random.default_rng(6).integers(0, 256, (9, 12, 4)).astype(np.uint8)
    color = Image.fromarray(pixels[:, :, :3])
    color.save(tmp_path / "color.png")
    color.resize((60, 45)).save(tmp_path / "color.jpg", quality=90)
    Image.fromarray(pixels).save(tmp_path / "alpha.png")
    Image.fromarray(pixels[:, :, 0]).save(tmp_path / "gray.png")
    color.quantize(8).save(tmp_path / "palette.png")
    color.convert("CMYK").save(tmp_path / "cmyk.jpg")
    files = sorted(path.name for path in tmp_path.iterdir())
    agree(real_caffe, IMAGES, folder=str(tmp_path), files=files)


def test_an_image_of_16_bits_is_scaled_to_1(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 65535], [32768, 1]], np.uint16)).save(tmp_path / "deep.png")
    found = caffe.io.load_image(tmp_path / "deep.png", color=False)
    np.testing.assert_allclose(found[:, :, 0], [[0, 1], [32768 / 65535, 1 / 65535]], rtol=1e-6)


def test_images_are_resized_and_cropped_as_by_pycaffe(real_caffe: RealCaffe, arrays: dict[str, np.ndarray]) -> None:
    agree(real_caffe, RESIZED, rtol=1e-6, **arrays)


def test_images_are_prepared_as_by_pycaffe(real_caffe: RealCaffe, arrays: dict[str, np.ndarray]) -> None:
    agree(real_caffe, PREPARED, rtol=1e-5, **arrays)


def test_a_preparation_leaves_the_image_as_it_is(arrays: dict[str, np.ndarray]) -> None:
    transformer = caffe.io.Transformer({"x": (1, 3, 16, 24)})
    transformer.set_raw_scale("x", 255)
    before = arrays["color"].copy()
    transformer.preprocess("x", arrays["color"])
    assert np.array_equal(arrays["color"], before)


def test_a_mean_without_channels_may_have_another_size() -> None:
    """pycaffe fails there."""
    transformer = caffe.io.Transformer({"x": (1, 3, 4, 4)})
    transformer.set_mean("x", np.array([[0.0, 1.0], [2.0, 3.0]]))
    assert transformer.mean["x"].shape == (1, 4, 4)
    transformer.set_transpose("x", (2, 0, 1))
    assert transformer.preprocess("x", np.zeros((4, 4, 3))).shape == (3, 4, 4)


def test_a_scale_of_none_is_none_and_a_constant_mean_may_have_another_size() -> None:
    """pycaffe makes nan of such a mean."""
    transformer = caffe.io.Transformer({"x": (1, 3, 4, 4)})
    transformer.set_raw_scale("x", None)
    transformer.set_input_scale("x", None)
    transformer.set_mean("x", np.full((3, 6, 5), 7.0))
    transformer.set_transpose("x", (2, 0, 1))
    prepared = transformer.preprocess("x", np.full((4, 4, 3), 9))
    assert (prepared == 2).all() and (transformer.deprocess("x", prepared) == 9).all()


def test_names_of_scikit_image_are_its_own_or_refused_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.transform", SimpleNamespace(resize=len))
    assert caffe.io.resize is len
    monkeypatch.setitem(sys.modules, "skimage.transform", None)
    with pytest.raises(AttributeError, match=r"`pip install scikit-image`; caffe\.io\.resize_image .* do without it"):
        _ = caffe.io.resize
    with pytest.raises(AttributeError, match="has no attribute 'resized'"):
        _ = caffe.io.resized


def test_messages_are_pycaffes_byte_by_byte(real_caffe: RealCaffe, arrays: dict[str, np.ndarray]) -> None:
    agree(real_caffe, MESSAGES, **arrays)


def test_old_and_double_blobs_are_read() -> None:
    old = caffe_pb2.BlobProto(num=1, channels=2, height=1, width=3, data=range(6))
    assert caffe.io.blobproto_to_array(old).shape == (1, 2, 1, 3)
    double = caffe_pb2.BlobProto(shape=caffe_pb2.BlobShape(dim=[2]), double_data=[1e-300, 2], double_diff=[3, 4])
    assert caffe.io.blobproto_to_array(double).tolist() == [1e-300, 2]
    assert caffe.io.blobproto_to_array(double, True).tolist() == [3, 4]


def test_what_does_not_fit_is_refused(arrays: dict[str, np.ndarray]) -> None:
    transformer = caffe.io.Transformer({"x": (10, 3, 11, 12)})
    for call, message in (
        (lambda: transformer.set_transpose("x", (1, 0)), "the input 'x' has 3 axes without the first"),
        (lambda: transformer.set_channel_swap("x", (1, 0)), "the input 'x' has 3 channels"),
        (lambda: transformer.set_mean("x", np.zeros(2)), "2 values, 'x' has 3"),
        (lambda: transformer.set_mean("x", np.zeros((1, 3, 11, 12))), "Mean shape invalid"),
        (lambda: transformer.preprocess("y", arrays["color"]), "y is not one of the net inputs: x"),
        (lambda: caffe.io.array_to_datum(np.zeros((2, 2))), "Incorrect array shape"),
        (lambda: caffe.io.datum_to_array(caffe_pb2.Datum(encoded=True, data=b"jpeg")), "decode datum.data"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
