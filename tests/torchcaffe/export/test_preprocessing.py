"""Mean, scale and the order of channels as part of a graph."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from caffeformat import FormatError, blobs
from tests.helpers.both_engines import net_of
from tests.helpers.exported import LENET, export, layer
from torchcaffe.export import onnx_file

COLOUR = LENET.replace("dim: 4 dim: 1 dim: 12", "dim: 4 dim: 3 dim: 12")


def prob(folder: Path, image: np.ndarray) -> np.ndarray:
    return onnx_file.run(onnx.load(folder / "out"), {"data": image})["prob"]


def test_the_graph_takes_rgb_pixels_and_does_the_rest(tmp_path: Path) -> None:
    image = np.random.default_rng(0).uniform(0, 255, (2, 3, 12, 12)).astype(np.float32)
    export(tmp_path, "onnx", COLOUR)
    mean = np.array([104, 117, 123], np.float32)[:, None, None]
    right = prob(tmp_path, (image[:, ::-1] - mean) * np.float32(0.01))
    text = "mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.01"
    export(tmp_path, "onnx", COLOUR, preprocess=text, channels="RGB")
    np.testing.assert_allclose(prob(tmp_path, image), right, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"channels": "RGB"}, "data: values as the net takes them, RGB; the graph makes BGR of it"),
        ({"preprocess": "scale: 0.01"}, "data: pixels from 0 to 255, BGR; the graph multiplies by 0.01"),
        (
            {"preprocess": "mean_value: 104.5 scale: 0.1", "channels": "RGB"},
            "data: pixels from 0 to 255, RGB; the graph makes BGR of it, then subtracts 104.5, 104.5, 104.5, then "
            "multiplies by 0.1",
        ),
    ],
)
def test_the_words_name_what_is_done_and_nothing_else(tmp_path: Path, options: dict[str, str], said: str) -> None:
    assert f"takes {said}" in export(tmp_path, "onnx", COLOUR, **options)
    facts = {fact.key: fact.value for fact in onnx.load(tmp_path / "out").metadata_props}
    assert facts["preprocessing"] == said


def test_of_a_mean_image_the_centre_is_subtracted(tmp_path: Path) -> None:
    mean = np.random.default_rng(1).uniform(0, 9, (3, 16, 14)).astype(np.float32)
    (tmp_path / "mean.binaryproto").write_bytes(blobs.mean_bytes(mean))
    image = np.ones((2, 3, 12, 12), np.float32)
    export(tmp_path, "onnx", COLOUR)
    right = prob(tmp_path, image - mean[:, 2:14, 1:13])
    export(tmp_path, "onnx", COLOUR, preprocess=f'mean_file: "{tmp_path}/mean.binaryproto"')
    np.testing.assert_allclose(prob(tmp_path, image), right, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"preprocess": "mirror: true"}, "mirror: only scale, mean_file"),
        ({"preprocess": "scale 1"}, "a colon is needed"),
        ({"preprocess": "mean_value: 1 mean_value: 2"}, "mean_value is given 2 times"),
        ({"preprocess": 'mean_file: "nowhere"'}, "nowhere"),
        ({"preprocess": 'mean_file: "nowhere" mean_value: 1'}, "mean_file and mean_value are both given"),
        ({"preprocess": "scale: 0"}, "--preprocess: scale: 0: a number other than 0"),
        ({"preprocess": "net"}, "layer 'data': neither a mean nor a scale, .* give the fields, as --preprocess="),
        ({"preprocess": "crop_size: 9"}, "--preprocess: neither a mean nor a scale"),
        ({"channels": "GBR"}, "BGR, Caffe's order, or RGB"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path: Path, options: dict[str, str], error: str) -> None:
    with pytest.raises(FormatError, match=error):
        export(tmp_path, "onnx", COLOUR, **options)
    with pytest.raises(FormatError, match="1 channels, not 3"):
        export(tmp_path, "onnx", LENET, channels="RGB")


def test_of_two_inputs_of_images_neither_is_chosen(tmp_path: Path) -> None:
    pair = net_of(layer("Eltwise", "y", "left right"), left=(2, 3, 4, 4), right=(2, 3, 4, 4))
    with pytest.raises(FormatError, match=r"--preprocess: the net has 2 inputs of images .* left, right; one is"):
        export(tmp_path, "onnx", pair, preprocess="scale: 0.01")
    assert not (tmp_path / "out").exists()
