"""ArgMax against real Caffe, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import layer, quick
from tests.helpers.refusals import refused


@quick
@given(
    axis=st.sampled_from([None, 0, 1, -1]),
    shape=st.lists(st.integers(2, 4), min_size=1, max_size=4),
    top_k=st.integers(1, 2),
    values=st.booleans(),
    ties=st.booleans(),
)
def test_argmax(real_caffe, tmp_path, figures, axis, shape, top_k, values, ties) -> None:
    if axis == 1 and len(shape) == 1:
        axis = 0
    top_k = 1 if axis is None and len(shape) == 1 else top_k
    random = np.random.default_rng(7)
    x = random.integers(0, 2, shape) if ties else random.standard_normal(shape)
    settings_ = f"top_k: {top_k} out_max_val: {str(values).lower()}" + (f" axis: {axis}" if axis is not None else "")
    text = net_of(layer("ArgMax", f"argmax_param {{ {settings_} }}"), x=x.shape)
    both = Both(real_caffe, text.replace("force_backward: true", ""), tmp_path, backward=False, x=x)
    both.agree(figures, "ArgMax", tolerance=0)


REFUSALS = {
    "argmax of none": (layer("ArgMax", "argmax_param { top_k: 0 }"), "top_k must not be less than 1"),
    "argmax of too many": (layer("ArgMax", "argmax_param { top_k: 121 }"), "the 120 values.*found 121"),
    "argmax of too many along an axis": (layer("ArgMax", "argmax_param { axis: 2 top_k: 5 }"), "the 4 values.*found 5"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=(2, 6, 4, 5)).replace("force_backward: true", ""), message, tmp_path, real_caffe)
