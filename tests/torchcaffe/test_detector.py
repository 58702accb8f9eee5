"""caffe.Detector against pycaffe's, and its crops with context, which pycaffe cannot make with today's numpy."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import torchcaffe as caffe
from tests.helpers.both_engines import net_of
from tests.helpers.real_caffe import RealCaffe
from tests.torchcaffe.test_classifier import LAYERS

PROGRAM = """
detector = caffe.Detector(given["path"], given["weights"], mean=given["mean"], raw_scale=255., channel_swap=[2, 1, 0])
windows = np.array([[0, 0, 9, 12], [3, 5, 20, 30], [10, 2, 17, 9]])
windows = [(given["image"], windows), (given["image"], [[1, 1, 8, 8]])]
found = detector.detect_windows(windows)
out["windows"] = np.array([each["window"] for each in found])
out["predictions"] = np.array([each["prediction"] for each in found])
out["files"] = np.array([each["filename"] == given["image"] for each in found])
"""


@pytest.fixture
def given(tmp_path: Path) -> dict[str, object]:
    path, weights, image = tmp_path / "net.prototxt", tmp_path / "it.caffemodel", tmp_path / "image.png"
    path.write_text(net_of(LAYERS, x=(2, 3, 8, 8)))
    caffe.set_random_seed(2)
    caffe.Net(path, caffe.TEST).save(weights)
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (24, 32, 3)).astype(np.uint8)).save(image)
    mean = np.array([90.0, 100, 110])
    return {"path": str(path), "weights": str(weights), "image": str(image), "mean": mean}


def test_windows_are_classified_as_by_pycaffe(real_caffe: RealCaffe, given: dict) -> None:
    right = real_caffe.run(PROGRAM, **given)
    found: dict[str, np.ndarray] = {}
    exec(PROGRAM, {"caffe": caffe, "np": np, "given": given, "out": found})
    assert found.keys() == right.keys() and right["predictions"].shape == (4, 4)
    for name in right:
        np.testing.assert_allclose(found[name], right[name], rtol=1e-4, err_msg=name)


def test_context_is_the_image_around_the_window_and_the_mean_outside_of_it(given: dict) -> None:
    settings = {"mean": given["mean"], "raw_scale": 255.0, "channel_swap": [2, 1, 0], "context_pad": 2}
    detector = caffe.Detector(given["path"], given["weights"], **settings)
    image = np.full((40, 40, 3), 0.25, np.float32)
    image[16:24, 16:24] = 1
    inside = detector.crop(image, [16, 16, 23, 23])
    assert inside.shape == (8, 8, 3)
    assert (inside[3:5, 3:5] > 0.9).all() and (inside[0] < 0.4).all()  # half of each side is context
    corner = detector.crop(image, [0, 0, 7, 7])
    np.testing.assert_allclose(corner[0, 0], np.array([110, 100, 90]) / 255, rtol=1e-6)
    assert (abs(corner[4:, 4:] - 0.25) < 1e-6).all()


def test_without_the_package_of_selective_search_the_message_says_so(given: dict) -> None:
    detector = caffe.Detector(given["path"], given["weights"])
    with pytest.raises(
        ImportError, match=r"needs the Python package selective_search_ijcv_with_python; .*detect_windows"
    ):
        detector.detect_selective_search([given["image"]])
