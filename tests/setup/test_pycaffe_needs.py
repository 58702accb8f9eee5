"""The stand-in for scikit-image beside pycaffe (setup/pycaffe_needs): what caffe.io gives with it, by its numbers."""

import json
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def in_pycaffe(pycaffe: Path):
    """Runs Python code that has caffe and np, and gives what it assigns to `result`, a list or an array."""

    def evaluate(code: str):
        program = f"import json, caffe, numpy as np\n{code}\nprint(json.dumps(np.asarray(result).tolist()))"
        done = subprocess.run([pycaffe, "-c", program], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return np.array(json.loads(done.stdout))

    return evaluate


def test_load_image_gives_rgb_and_luminance_from_0_to_1(in_pycaffe, tmp_path):
    rgb = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [51, 102, 204]]], np.uint8)
    cv2.imwrite(str(tmp_path / "colour.png"), rgb[:, :, ::-1])
    cv2.imwrite(str(tmp_path / "gray.png"), np.full((3, 2), 51, np.uint8))

    np.testing.assert_allclose(in_pycaffe(f"result = caffe.io.load_image({str(tmp_path / 'colour.png')!r})"), rgb / 255)
    luminance = in_pycaffe(f"result = caffe.io.load_image({str(tmp_path / 'colour.png')!r}, color=False)")
    np.testing.assert_allclose(luminance[:, :, 0], rgb / 255 @ [0.2125, 0.7154, 0.0721], rtol=1e-6)
    gray = in_pycaffe(f"result = caffe.io.load_image({str(tmp_path / 'gray.png')!r})")
    np.testing.assert_allclose(gray, np.full((3, 2, 3), 0.2), rtol=1e-6)


def test_resize_image_is_bilinear_with_pixel_centres_at_one_half(in_pycaffe):
    # given a ramp, then inside the border an enlarged one is the same ramp, sampled at (i + 0.5) / 2 - 0.5
    ramp = in_pycaffe("result = caffe.io.resize_image(np.tile(np.arange(8.0), (8, 1))[:, :, None], (16, 16))")
    np.testing.assert_allclose(ramp[2:-2, 2:-2, 0], np.tile((np.arange(2, 14) + 0.5) / 2 - 0.5, (12, 1)), atol=1e-6)


def test_resize_image_smooths_what_it_shrinks(in_pycaffe):
    # given a chessboard at half its size, then no pixel keeps black or white: sigma is 0.5 pixels
    board = in_pycaffe(
        "result = caffe.io.resize_image((np.indices((16, 16)).sum(0) % 2).astype(float)[:, :, None], (8, 8))"
    )
    np.testing.assert_allclose(board[1:-1, 1:-1, 0], 0.5, atol=1e-6)


def test_other_interpolations_are_refused_rather_than_approximated(in_pycaffe):
    code = """
try:
    caffe.io.resize_image(np.random.rand(4, 4, 3), (8, 8), interp_order=3)
    result = [0]
except NotImplementedError:
    result = [1]
"""
    assert in_pycaffe(code) == [1]
