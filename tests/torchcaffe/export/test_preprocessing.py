"""Mean, scale and the order of channels as part of a graph."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from caffeformat import FormatError, blobs
from tests.helpers.exported import LENET, export
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
        ({"channels": "GBR"}, "BGR, Caffe's order, or RGB"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path: Path, options: dict[str, str], error: str) -> None:
    with pytest.raises(FormatError, match=error):
        export(tmp_path, "onnx", COLOUR, **options)
    with pytest.raises(FormatError, match="1 channels, not 3"):
        export(tmp_path, "onnx", LENET, channels="RGB")
