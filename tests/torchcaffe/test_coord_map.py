"""caffe.coord_map against pycaffe's: the same maps and crops."""

import numpy as np
import pytest

import torchcaffe as caffe
from tests.helpers.real_caffe import RealCaffe
from torchcaffe import coord_map
from torchcaffe import layers as L

PROGRAM = """
from NAME import layers as L
from NAME.coord_map import coord_map_from_to, crop
def keep(name, found):
    axis, scale, shift = found
    out[name] = np.concatenate([np.ravel(-1 if axis is None else axis), np.ravel(scale), np.ravel(shift)]).astype(float)
n = caffe.NetSpec()
n.data = L.Input(input_param=dict(shape=dict(dim=[2, 1, 100, 100])))
n.conv = L.Convolution(n.data, num_output=10, kernel_size=3, stride=2, pad=20)
n.pool = L.Pooling(n.conv, kernel_size=2, stride=2)
n.relu = L.ReLU(n.pool, in_place=True)
n.dilated = L.Convolution(n.relu, num_output=10, kernel_size=[3, 5], dilation=2, pad=[1, 2])
n.up = L.Deconvolution(n.pool, convolution_param=dict(kernel_size=4, stride=4, pad=0))
n.sum = L.Eltwise(L.TanH(n.conv), n.conv)
keep("conv", coord_map_from_to(n.conv, n.data))
keep("pool", coord_map_from_to(n.relu, n.data))
keep("dilated", coord_map_from_to(n.dilated, n.data))
keep("up", coord_map_from_to(n.up, n.data))
keep("sum", coord_map_from_to(n.sum, n.conv))
n.score = L.Pooling(L.Convolution(n.data, num_output=2, kernel_size=3, pad=10), kernel_size=2, stride=2)
n.large = L.Deconvolution(n.score, convolution_param=dict(kernel_size=4, stride=2))
n.crop = crop(n.large, n.data)
keep("crop", coord_map_from_to(n.crop, n.data))
out["text"] = np.array(str(n.crop.to_proto()))
"""


def test_maps_and_crops_are_pycaffes(real_caffe: RealCaffe) -> None:
    right = real_caffe.run(PROGRAM.replace("NAME", "caffe"))
    found: dict[str, np.ndarray] = {}
    exec(PROGRAM.replace("NAME", "torchcaffe"), {"caffe": caffe, "np": np, "out": found})
    assert found.keys() == right.keys()
    for name in right.keys() - {"text"}:
        np.testing.assert_allclose(found[name], right[name], err_msg=name)
    assert "".join(str(found["text"]).split()) == "".join(str(right["text"]).split())


def test_what_cannot_be_mapped_or_cropped_is_refused() -> None:
    data = L.Input(shape=dict(dim=[1, 1, 20, 20]))
    conv = L.Convolution(data, num_output=1, kernel_size=3)
    flat = L.InnerProduct(data, num_output=2)
    with pytest.raises(coord_map.UndefinedMapException, match="InnerProduct has no coordinate map"):
        coord_map.coord_map(flat.fn)
    with pytest.raises(RuntimeError, match="Could not compute map between tops"):
        coord_map.coord_map_from_to(conv, L.Input(shape=dict(dim=[1])))
    with pytest.raises(AssertionError, match="cannot crop negative offset"):
        coord_map.crop(conv, data)
    with pytest.raises(AssertionError, match="scale mismatch on crop"):
        coord_map.crop(L.Pooling(data, kernel_size=2, stride=2), data)
    with pytest.raises(AssertionError, match="does not support legacy _h/_w params"):
        coord_map.conv_params(L.Convolution(data, kernel_size=3, stride_h=2).fn)
    with pytest.raises(coord_map.AxisMismatchException, match="maps from axis 1 and from axis 2"):
        coord_map.compose((1, 1, 0), (2, 1, 0))
