"""Nets with wrong values raise a FormatError with the line, or they work."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import net_of
from tests.helpers.damaged_files import bounds, quick

LAYERS = {
    "Convolution": "convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 dilation: 1 group: 2 axis: 1 }",
    "Deconvolution": "convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 group: 2 }",
    "InnerProduct": 'inner_product_param { num_output: 5 axis: 2 weight_filler { type: "gaussian" sparse: 2 } }',
    "Pooling": "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }",
    "LRN": "lrn_param { local_size: 3 alpha: 2 beta: 0.75 k: 1 }",
    "Softmax": "softmax_param { axis: 2 }",
    "Power": "power_param { power: 3 scale: 0.5 shift: 9 }",
    "Exp": "exp_param { base: 2 scale: 0.5 shift: 1 }",
    "Log": "log_param { base: 3 scale: 0.5 shift: 9 }",
    "Scale": "scale_param { axis: 1 num_axes: 2 bias_term: true }",
    "BatchNorm": "batch_norm_param { use_global_stats: false moving_average_fraction: 0.5 eps: 0.1 }",
    "Flatten": "flatten_param { axis: 1 end_axis: 2 }",
    "Reshape": "reshape_param { axis: 0 num_axes: -1 shape { dim: 0 dim: -1 dim: 3 } }",
    "ArgMax": "argmax_param { axis: 1 top_k: 2 out_max_val: true }",
    "Embed": "embed_param { num_output: 3 input_dim: 7 }",
    "Dropout": "dropout_param { dropout_ratio: 0.3 }",
    "DummyData": 'dummy_data_param { shape { dim: 2 dim: 3 } data_filler { type: "gaussian" std: 2 } }',
    "Slice": "slice_param { axis: 1 slice_point: 2 }",
    "Im2col": "convolution_param { kernel_size: 3 pad: 1 stride: 2 dilation: 2 axis: 1 }",
    "MVN": "mvn_param { normalize_variance: true across_channels: true eps: 0.1 }",
    "Reduction": "reduction_param { operation: SUM axis: 1 coeff: 2 }",
    "SPP": "spp_param { pyramid_height: 2 pool: AVE }",
    "Tile": "tile_param { axis: 1 tiles: 2 }",
    "Clip": "clip_param { min: -1 max: 1 }",
    "Swish": "swish_param { beta: 2 }",
}

PAIRS = {
    "Eltwise": "eltwise_param { operation: SUM coeff: 2 coeff: -3 }",
    "Concat": "concat_param { axis: 1 }",
    "Crop": "crop_param { axis: 1 offset: 0 }",
    "SoftmaxWithLoss": "softmax_param { axis: 1 } loss_param { ignore_label: 1 }",
    "Accuracy": "accuracy_param { top_k: 2 axis: 1 }",
    "HingeLoss": "hinge_loss_param { norm: L2 }",
    "EuclideanLoss": "loss_weight: 2",
    "Filter": "",
    "MultinomialLogisticLoss": "loss_weight: 2",
}

NUMBERS = [0, -1, 1, 3, 100, 65536, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, 0.5, 1e30, -1e30]

VALUES = [*map(str, NUMBERS), "nan", "inf", "true"]

VALUE = re.compile(r"(?<=: )(-?\d+(\.\d+)?|true|false|[A-Z]{3})")


def net_text(name: str) -> str:
    if name in PAIRS:
        bottoms = 'bottom: "x" bottom: "z"'
        return net_of(f'layer {{ name: "it" type: "{name}" {bottoms} top: "y" {PAIRS[name]} }}', x=(3, 4), z=(3, 1))
    bottoms = "" if name == "DummyData" else 'bottom: "x"'
    tops = 'top: "y" top: "z"' if name == "Slice" else 'top: "y"'
    return net_of(f'layer {{ name: "it" type: "{name}" {bottoms} {tops} {LAYERS[name]} }}', x=(2, 4, 5, 6))


@st.composite
def wrong_nets(draw: st.DrawFn) -> str:
    """A net of one layer, in which one to three values are replaced, also those of its inputs' shapes."""
    text = net_text(draw(st.sampled_from([*LAYERS, *PAIRS])))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(list(VALUE.finditer(text))))
        text = text[: place.start()] + draw(st.sampled_from(VALUES)) + text[place.end() :]
    return text


@pytest.mark.slow
@quick(300)
@given(text=wrong_nets(), phase=st.sampled_from([caffe.TRAIN, caffe.TEST]))
def test_a_net_with_wrong_values_is_refused_with_its_line_or_runs(tmp_path_factory, text: str, phase: int) -> None:
    """A blob that is too large for the memory gives a MemoryError, for which the command line has a message."""
    path = tmp_path_factory.getbasetemp() / "wrong.prototxt"
    path.write_text(text)
    try:
        with bounds():
            net = caffe.Net(path, phase)
            net.forward()
            for name in net.outputs:
                net.blobs[name].diff = np.ones(net.blobs[name].shape, np.float32)
            net.backward()
    except FormatError as error:
        assert str(path) in str(error)
    except (MemoryError, RuntimeError) as error:
        assert isinstance(error, MemoryError) or "can't allocate memory" in str(error)
