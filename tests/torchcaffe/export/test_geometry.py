"""Pads and divisors of pooling windows, and geometries that are refused."""

from pathlib import Path

import numpy as np
import pytest

from caffeformat import FormatError
from tests.helpers.both_engines import net_of
from tests.helpers.exported import conv, export, layer
from torchcaffe.export.geometry import PoolGeometry


def test_the_last_window_reaches_beyond_the_border_only_as_far_as_caffes() -> None:
    ceil = PoolGeometry([3, 3], [2, 2], [0, 0], (6, 7), (3, 3), False)
    assert ceil.pads == [0, 0, 1, 0]
    np.testing.assert_allclose(ceil.cut_windows, [[1, 1, 1], [1, 1, 1], [1.5, 1.5, 1.5]])
    clipped = PoolGeometry([2, 2], [2, 2], [1, 1], (3, 3), (2, 2), False)
    assert clipped.pads == [1, 1, 0, 0] and clipped.cut_windows is None


@pytest.mark.parametrize("to", ["onnx", "pytorch"])
@pytest.mark.parametrize("size", [(7, 7), (9, 7), (10, 13), (16, 16)])
def test_the_levels_of_a_pyramid_are_caffes(tmp_path: Path, pycaffe: Path, to: str, size: tuple[int, int]) -> None:
    body = "".join(
        layer("SPP", f"{pool}{height}", settings=f"spp_param {{ pyramid_height: {height} pool: {pool} }}")
        for pool in ("MAX", "AVE") for height in (2, 3)
    )  # fmt: skip
    said = export(tmp_path, to, net_of(body, x=(2, 3, *size)), pycaffe=pycaffe)
    assert "8 blobs checked against BVLC Caffe 1.0.0" in said[1]


@pytest.mark.parametrize("to", ["onnx", "pytorch"])
def test_columns_along_one_axis_are_for_onnx_only(tmp_path: Path, to: str, pycaffe: Path) -> None:
    text = net_of(layer("Im2col", "y", settings=conv("kernel_size: 3 pad: 1")), x=(2, 3, 7))
    if to == "onnx":
        assert "2 blobs checked against BVLC" in export(tmp_path, to, text, pycaffe=pycaffe)[1]
    else:
        with pytest.raises(FormatError, match=r"layer 'y' \(Im2col\): a bottom of 3 axes; nn.Unfold takes"):
            export(tmp_path, to, text)


@pytest.mark.parametrize("to", ["onnx", "pytorch"])
@pytest.mark.parametrize(
    ("body", "shape", "why"),
    [
        (
            layer("Convolution", "y", settings=conv("num_output: 2 kernel_size: 4 stride: 3")),
            (2, 1, 5, 2),
            "a kernel that",
        ),
        (layer("ArgMax", "y"), (3,), "a bottom of one axis, without `axis`"),
        (layer("SPP", "y", settings="spp_param { pyramid_height: 2 pool: STOCHASTIC }"), (2, 1, 4, 4), "pool: STOCHAS"),
        (layer("Im2col", "y", settings=conv("kernel_size: 4 stride: 3")), (2, 1, 5, 2), "a kernel that reaches over"),
    ],
    ids=["kernel", "ArgMax", "SPP", "Im2col"],
)
def test_what_no_runtime_has_is_refused_by_name(tmp_path: Path, to: str, body: str, shape: tuple, why: str) -> None:
    with pytest.raises(FormatError, match=rf"cannot be exported to {to}:\n.*layer 'y' .*: {why}"):
        export(tmp_path, to, net_of(body, x=shape))
    assert not (tmp_path / "out").exists()
