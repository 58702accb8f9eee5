"""NetSpec against pycaffe's: the same prototxts."""

import numpy as np
import pytest
from google.protobuf import text_format

import torchcaffe as caffe
from tests.helpers.real_caffe import RealCaffe
from torchcaffe import layers as L
from torchcaffe import params as P
from torchcaffe.net_spec import assign_proto
from torchcaffe.proto import caffe_pb2

NETS = """
from NAME import layers as L, params as P
def lenet(n):
    n.data, n.label = L.Data(source="lmdb", backend=P.Data.LMDB, batch_size=64, ntop=2,
                             transform_param=dict(scale=1. / 255, mean_value=[1, 2]), include=dict(phase=caffe.TRAIN))
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=dict(type="xavier"),
                            param=[dict(lr_mult=1, decay_mult=1), dict(lr_mult=2)])
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n["a/b"] = L.InnerProduct(n.pool1, inner_product_param=dict(num_output=5, bias_filler=dict(value=1)))
    n.relu = L.ReLU(n["a/b"], in_place=True, negative_slope=0.5)
    a, b = L.Slice(n.relu, ntop=2, axis=1, slice_point=[2])
    n.sum = L.Eltwise(L.TanH(a), L.TanH(b), operation=P.Eltwise.PROD, name="their product")
    n.loss = L.SoftmaxWithLoss(n.sum, n.label, loss_weight=0.5, loss_param=dict(ignore_label=3))
    n.silence = L.Silence(b, ntop=0)
    n.python = L.Python(n.sum, module="m", layer="Own", param_str="{}", ntop=1)
    n.input = L.Input(input_param=dict(shape=[dict(dim=[1, 2]), dict(dim=[3])]), ntop=1)
    return n

def text(name, net):
    out[name] = np.array(str(net))
n = lenet(caffe.NetSpec())
text("lenet", n.to_proto())
text("one", n.loss.to_proto())
text("two", caffe.to_proto(n.pool1, n.relu))
"""


def test_nets_are_written_as_by_pycaffe(real_caffe: RealCaffe) -> None:
    right = real_caffe.run(NETS.replace("NAME", "caffe"))
    found: dict[str, np.ndarray] = {}
    exec(NETS.replace("NAME", "torchcaffe"), {"caffe": caffe, "np": np, "out": found})
    assert found.keys() == right.keys() and "their product" in str(found["lenet"])
    for name in right:
        net = [text_format.Parse(str(each[name]), caffe_pb2.NetParameter()) for each in (found, right)]
        assert net[0] == net[1], name


def test_what_is_no_top_and_what_caffe_has_not_is_refused() -> None:
    pair = L.DummyData(ntop=2)
    with pytest.raises(TypeError, match=r"^Silence input 0 is not a Top \(type is <class 'tuple'>\)$"):
        L.Silence(pair, ntop=0)
    top = L.Input(shape=dict(dim=[1]))
    with pytest.raises(AttributeError, match="convolution_param and LayerParameter have no field kernel"):
        L.Convolution(top, kernel=3).to_proto()
    with pytest.raises(AttributeError, match="FillerParameter has no field typ"):
        L.Convolution(top, weight_filler=dict(typ="xavier")).to_proto()
    with pytest.raises(AttributeError, match="Caffe has no PolingParameter"):
        P.Poling.MAX  # noqa: B018


def test_lists_dicts_and_values_are_assigned() -> None:
    layer = caffe_pb2.LayerParameter()
    assign_proto(layer, "loss_weight", (1, 2))
    assign_proto(layer, "loss_weight", 3)
    assign_proto(layer, "include", [dict(phase=caffe.TEST, stage="a")])
    assign_proto(layer, "pooling_param", dict(kernel_size=np.int64(3)))
    assert list(layer.loss_weight) == [1, 2, 3]
    assert list(layer.include[0].stage) == ["a"]
    assert layer.pooling_param.kernel_size == 3
