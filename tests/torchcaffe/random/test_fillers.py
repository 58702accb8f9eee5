"""Fillers: every value equal to real Caffe's, bit for bit, and what Caffe refuses is refused too."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffeformat import FormatError, prototxt
from caffeformat.caffeformat_pb2 import FillerParameter
from tests.helpers.real_caffe import CaffeAborted, RealCaffe
from torchcaffe.random import fillers
from torchcaffe.random.rng import Generator

Shape = tuple[int, ...]

# A DummyData layer fills blobs of any shape as a layer with weights fills its own, in the order of its tops.
FILL = """
caffe.set_random_seed(given["seed"])
net = caffe.Net(given["net"], caffe.TRAIN)
net.forward()
for name, blob in net.blobs.items():
    out[name] = blob.data
"""


def ours(seed: int, wanted: list[tuple[str, Shape]]) -> list[np.ndarray]:
    rng = Generator(seed)
    return [fillers.fill(filler(text), shape, rng) for text, shape in wanted]


def caffes(real_caffe: RealCaffe, seed: int, wanted: list[tuple[str, Shape]]) -> list[np.ndarray]:
    tops = "".join(f'top: "top{i}" ' for i in range(len(wanted)))
    given = "".join(f"data_filler {{ {text} }} shape {{ {' '.join(f'dim: {d}' for d in s)} }}\n" for text, s in wanted)
    net = f'layer {{ name: "filled" type: "DummyData" {tops} dummy_data_param {{ {given} }} }}'
    filled = real_caffe.run(FILL, seed=seed, net=real_caffe.net_file(net))
    return [filled[f"top{i}"] for i in range(len(wanted))]


def filler(text: str) -> FillerParameter:
    return prototxt.parse(text, FillerParameter(), "filler")


def differing(a: np.ndarray, b: np.ndarray) -> int:
    """How many values differ in any bit: -0 is not 0."""
    assert (a.shape, a.dtype, b.dtype) == (b.shape, np.float32, np.float32)
    return int((np.ascontiguousarray(a).view(np.uint32) != np.ascontiguousarray(b).view(np.uint32)).sum())


# ---- Equal to Caffe ------------------------------------------------------------------------------------------------

KINDS = [
    'type: "gaussian" std: 0.01',
    'type: "gaussian" std: 0.7 mean: 0.3',
    'type: "gaussian" std: 1 sparse: 15',
    'type: "uniform" min: -0.3 max: 2.1',
    'type: "uniform" min: 1 max: 1.0000002',  # rounding lifts many above max: they are drawn again
    'type: "uniform" min: 0.5 max: 0.5',
    'type: "uniform"',
    'type: "positive_unitball"',
    'type: "xavier"',
    'type: "xavier" variance_norm: FAN_OUT',
    'type: "xavier" variance_norm: AVERAGE',
    'type: "msra"',
    'type: "msra" variance_norm: FAN_OUT',
    'type: "msra" variance_norm: AVERAGE',
    'type: "constant" value: 0.1',
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_million_values_equal_caffes_and_the_next_filler_goes_on_where_this_one_ended(kind, real_caffe):
    wanted = [(kind, (500, 20, 10, 10)), ('type: "uniform"', (4,))]
    for one, other in zip(ours(7, wanted), caffes(real_caffe, 7, wanted), strict=True):
        assert differing(one, other) == 0


@pytest.mark.slow
def test_four_million_gaussians_equal_caffes_tails_included(real_caffe):
    wanted = [('type: "gaussian" std: 1', (4_000_000,))]
    [values] = ours(1, wanted)
    assert (np.abs(values) > 3.4426).sum() > 1000
    assert differing(values, caffes(real_caffe, 1, wanted)[0]) == 0


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 16])
def test_a_bilinear_filter_of_any_size_equals_caffes(size, real_caffe):
    wanted = [('type: "bilinear"', (3, 2, size, size))]
    assert differing(ours(1, wanted)[0], caffes(real_caffe, 1, wanted)[0]) == 0


SHAPES = st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple)
SMALL = st.floats(-2, 2, width=32).map(lambda value: float(np.float32(value)))


@st.composite
def some_filler(draw: st.DrawFn) -> tuple[str, Shape]:
    kind, shape = draw(st.sampled_from(["gaussian", "uniform", "xavier", "msra", "positive_unitball"])), draw(SHAPES)
    text = f'type: "{kind}"'
    if kind == "gaussian":
        text += f" mean: {draw(SMALL)!r} std: {draw(st.floats(2**-20, 10, width=32))!r}"
        if draw(st.booleans()):
            text += f" sparse: {draw(st.integers(0, shape[0]))}"
    elif kind == "uniform":
        low, high = sorted([draw(SMALL), draw(SMALL)])
        text += f" min: {low!r} max: {high!r}"
    elif kind in ("xavier", "msra"):
        text += f" variance_norm: {draw(st.sampled_from(['FAN_IN', 'FAN_OUT', 'AVERAGE']))}"
    return text, shape


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), wanted=st.lists(some_filler(), min_size=1, max_size=6))
def test_any_fillers_in_a_row_equal_caffes(real_caffe, seed, wanted):
    for one, other in zip(ours(seed, wanted), caffes(real_caffe, seed, wanted), strict=True):
        assert differing(one, other) == 0


# ---- Refused -------------------------------------------------------------------------------------------------------

REFUSED = [
    ('type: "glorot"', (2, 3), "no filler has the type 'glorot'; known types: bilinear, constant, gaussian, msra, "),
    ('type: "gaussian" std: 0', (2, 3), "a gaussian filler needs std > 0; it has std: 0"),
    ('type: "gaussian" std: -1', (2, 3), "it has std: -1"),
    ('type: "gaussian" std: 1 sparse: 3', (2, 3), "from 0 to the number of outputs; it is 3, with 2 outputs"),
    ('type: "gaussian" std: 1 sparse: -2', (2, 3), "it is -2, with 2 outputs"),
    ('type: "uniform" min: 1 max: 0', (2, 3), "needs min <= max; it has min: 1, max: 0"),
    ('type: "xavier" sparse: 1', (2, 3), "sparse: 1 belongs to a gaussian filler; the type of this one is xavier"),
    ('type: "bilinear"', (2, 3, 3), "4 axes with square filters; its shape is (2, 3, 3)"),
    ('type: "bilinear"', (2, 3, 4, 5), "4 axes with square filters; its shape is (2, 3, 4, 5)"),
    ('type: "msra"', (2, 0), "cannot fill a blob without values; its shape is (2, 0)"),
]


@pytest.mark.parametrize(("text", "shape", "message"), REFUSED)
def test_what_cannot_be_filled_is_refused_with_what_was_found(text, shape, message):
    with pytest.raises(FormatError) as error:
        fillers.fill(filler(text), shape, Generator(1))
    assert message in str(error.value)


@pytest.mark.parametrize("text", [text for text, shape, _ in REFUSED if shape == (2, 3)])
def test_caffe_aborts_at_the_same_fillers(text, real_caffe):
    with pytest.raises(CaffeAborted, match="Check failed"):
        caffes(real_caffe, 1, [(text, (2, 3))])
