"""The generator: boost's draws, number by number, and Caffe's order of draws over a whole run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffeformat import datum, lmdb_file, prototxt
from caffeformat.caffeformat_pb2 import TEST, TRAIN, FillerParameter, LayerParameter
from torchcaffe.data.data_source import DatumSource
from torchcaffe.random import fillers
from torchcaffe.random.rng import Generator

SEEDS = st.integers(0, 2**32 - 1)

# ---- The twister ---------------------------------------------------------------------------------------------------


def test_the_ten_thousandth_draw_is_the_one_that_the_cpp_standard_names():
    assert Generator(5489).raw(10_000)[-1] == 4123659995


def test_a_seed_counts_by_its_low_32_bits():
    assert np.array_equal(Generator(2**32 + 7).raw(9), Generator(7).raw(9))
    assert np.array_equal(Generator(-1).raw(9), Generator(2**32 - 1).raw(9))


@given(seed=SEEDS, n=st.integers(0, 50))
def test_rand_is_the_next_single_draw(seed, n):
    one, other = Generator(seed), Generator(seed)
    assert [one.rand() for _ in range(n)] == other.raw(n).tolist()


@settings(max_examples=25)
@given(seed=SEEDS, counts=st.lists(st.integers(0, 700), min_size=1, max_size=9))
def test_a_state_goes_on_with_the_next_draw(seed, counts):
    """Whether the twister has made a new key since the last state or not."""
    one, states = Generator(seed), []
    for n in counts:
        states.append(one.state())
        one.raw(n)
    whole = Generator(seed).raw(sum(counts) + 5)
    for count, state in enumerate(states):
        other = Generator(1)
        other.raw(3)
        other.restore(state)
        begun = sum(counts[:count])
        assert np.array_equal(other.raw(5), whole[begun : begun + 5])
        right = np.random.RandomState(seed)
        right.randint(0, 2**32, begun, np.uint32)
        twister = right.get_state(legacy=False)["state"]
        assert int(state["position"]) == twister["pos"]
        assert np.array_equal(state["key"], twister["key"])


KINDS = {
    "raw": lambda rng, n: rng.raw(n),
    "gaussian": lambda rng, n: rng.gaussian(n, 0.5, 2),
    "uniform": lambda rng, n: rng.uniform(n, -1, 1),
    "bernoulli": lambda rng, n: rng.bernoulli(n, 0.3),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(seed=SEEDS, cut=st.integers(0, 5000))
def test_numbers_asked_for_in_two_parts_are_those_asked_for_at_once(kind, seed, cut):
    ask, parts, whole = KINDS[kind], Generator(seed), Generator(seed)
    first, second = ask(parts, cut), ask(parts, 5000 - cut)
    assert np.array_equal(np.concatenate([first, second]), ask(whole, 5000))
    assert parts.rand() == whole.rand()


def test_gaussians_are_the_same_whatever_the_size_of_the_pieces_drawn_at_a_time(monkeypatch):
    expected = Generator(3).gaussian(200_000, 0, 1)
    monkeypatch.setattr("torchcaffe.random.rng._PIECE", 997)
    assert np.array_equal(Generator(3).gaussian(200_000, 0, 1), expected)


@settings(max_examples=25)
@given(seed=SEEDS, before=st.integers(0, 1500), kind=st.sampled_from(sorted(KINDS)))
def test_a_restored_state_goes_on_as_if_nothing_had_been(seed, before, kind):
    rng = Generator(seed)
    rng.raw(before)
    state = rng.state()
    expected = KINDS[kind](rng, 1000)
    other = Generator(0)
    other.restore(state)
    assert np.array_equal(KINDS[kind](other, 1000), expected)
    rng.restore(state)
    assert np.array_equal(KINDS[kind](rng, 1000), expected)


def test_a_state_is_made_of_plain_arrays(tmp_path):
    rng = Generator(1)
    rng.raw(100)
    np.savez(tmp_path / "state", **rng.state())
    other = Generator(2)
    with np.load(tmp_path / "state.npz", allow_pickle=False) as state:
        other.restore(dict(state))
    assert other.rand() == rng.rand()


# ---- The ziggurat --------------------------------------------------------------------------------------------------


# ---- Bernoulli -----------------------------------------------------------------------------------------------------


def test_of_probability_0_nothing_is_drawn_and_of_1_every_number_is_1():
    rng = Generator(4)
    assert rng.bernoulli(1000, 0).sum() == 0
    assert rng.rand() == Generator(4).rand()
    assert rng.bernoulli(1000, 1).sum() == 1000


DROPOUT = """
caffe.set_random_seed(given["seed"])
net = caffe.Net(given["net"], caffe.TRAIN)
out["kept"] = np.stack([net.forward()["dropped"].copy() for _ in range(3)])
"""


@pytest.mark.parametrize("ratio", ["0.5", "0.1", "0.9", "0.3", "1e-9", "0.99999"])
def test_dropout_masks_equal_caffes_over_several_iterations(ratio, real_caffe):
    net = f"""
        layer {{ name: "ones" type: "DummyData" top: "ones"
          dummy_data_param {{ shape {{ dim: 100 dim: 4096 }} data_filler {{ value: 1 }} }} }}
        layer {{ name: "dropped" type: "Dropout" bottom: "ones" top: "dropped"
          dropout_param {{ dropout_ratio: {ratio} }} }}"""
    kept = real_caffe.run(DROPOUT, seed=11, net=real_caffe.net_file(net))["kept"] != 0
    rng, p = Generator(11), 1 - float(np.float32(ratio))
    for found in kept:
        mask = rng.bernoulli(found.size, p).reshape(found.shape)
        assert (mask != found).sum() == 0


# ---- The order over a whole run ------------------------------------------------------------------------------------

DATA = """name: "data" type: "Data" top: "data" top: "label"
  data_param {{ source: "{folder}" backend: LMDB batch_size: 4 }} transform_param {{ {transform} }}"""
NET = """
layer {{ {train} include {{ phase: TRAIN }} }}
layer {{ {test} include {{ phase: TEST }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" param {{ lr_mult: 0 }}
  convolution_param {{ num_output: 3 kernel_size: 3 weight_filler {{ {gaussian} }} bias_filler {{ {constant} }} }} }}
layer {{ name: "drop1" type: "Dropout" bottom: "conv" top: "drop1" }}
layer {{ name: "fc" type: "InnerProduct" bottom: "drop1" top: "fc"
  inner_product_param {{ num_output: 5 weight_filler {{ {xavier} }} bias_filler {{ {gaussian} }} }} }}
layer {{ name: "drop2" type: "Dropout" bottom: "fc" top: "drop2" dropout_param {{ dropout_ratio: 0.2 }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "drop2" bottom: "label" top: "loss" }}
"""
START = """
open(given["solver"], "w").write(given["text"])
solver = caffe.get_solver(given["solver"])
for phase, net in (("train", solver.net), ("test", solver.test_nets[0])):
    for name, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            out["%s %s %d" % (phase, name, i)] = blob.data.copy()
for i in range(2):
    solver.test_nets[0].forward()
    out["test data %d" % i] = solver.test_nets[0].blobs["data"].data.copy()
    solver.net.forward()
    for name in ("data", "conv", "drop1", "fc", "drop2"):
        out["%s %d" % (name, i)] = solver.net.blobs[name].data.copy()
"""
FILLERS = {
    "gaussian": 'type: "gaussian" std: 0.01',
    "xavier": 'type: "xavier"',
    "constant": 'type: "constant" value: 1',
}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("crop_size: 6 mirror: true", "crop_size: 6"),  # as AlexNet has it
        ("crop_size: 6", "crop_size: 6 mirror: true"),
        ("", ""),
    ],
)
def test_data_fillers_and_dropout_of_a_train_and_a_test_net_draw_in_caffes_order(train, test, real_caffe, tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (10, 3, 9, 8)).astype(np.uint8)
    records = [(lmdb_file.key(i, ""), datum.encode(image, i % 5)) for i, image in enumerate(pixels)]
    lmdb_file.write(tmp_path / "lmdb", records)
    sources = [DATA.format(folder=tmp_path / "lmdb", transform=transform) for transform in (train, test)]
    net = real_caffe.net_file(NET.format(train=sources[0], test=sources[1], **FILLERS))
    text = f'net: "{net}" test_iter: 1 test_interval: 1 base_lr: 1 lr_policy: "fixed" random_seed: 42 solver_mode: CPU'
    expected = real_caffe.run(START, solver=str(tmp_path / "solver.prototxt"), text=text)

    rng = Generator(42)
    size = (6, 6) if train else (9, 8)
    conv, fc = (3, 3, 3, 3), (5, 3 * (size[0] - 2) * (size[1] - 2))
    layers = [prototxt.parse(source, LayerParameter(), "layer") for source in sources]
    start = [
        ("train", DatumSource(layers[0], TRAIN, rng)),
        ("train conv 0", fill("gaussian", conv, rng)),
        ("train conv 1", fill("constant", (3,), rng)),
        ("train fc 0", fill("xavier", fc, rng)),
        ("train fc 1", fill("gaussian", (5,), rng)),
        ("test", DatumSource(layers[1], TEST, rng)),
        ("test conv 0", fill("gaussian", conv, rng)),
        ("test conv 1", fill("constant", (3,), rng)),
        ("test fc 0", fill("xavier", fc, rng)),
        ("test fc 1", fill("gaussian", (5,), rng)),
    ]
    sources = {name: thing for name, thing in start if isinstance(thing, DatumSource)}
    found = {name: thing for name, thing in start if name not in sources}
    for i in range(2):
        found[f"test data {i}"] = sources["test"].next_batch(4)[0]
        found[f"data {i}"] = sources["train"].next_batch(4)[0]
        for bottom, top, ratio in ((f"conv {i}", f"drop1 {i}", "0.5"), (f"fc {i}", f"drop2 {i}", "0.2")):
            found[top] = dropout(expected[bottom], np.float32(ratio), rng)
    assert {*found, "conv 0", "conv 1", "fc 0", "fc 1"} == set(expected)
    assert [name for name in found if not np.array_equal(found[name], expected[name])] == []


def fill(kind: str, shape: tuple[int, ...], rng: Generator) -> np.ndarray:
    return fillers.fill(prototxt.parse(FILLERS[kind], FillerParameter(), "filler"), shape, rng)


def dropout(values: np.ndarray, ratio: np.float32, rng: Generator) -> np.ndarray:
    keep = 1 - float(ratio)
    return values * rng.bernoulli(values.size, keep).reshape(values.shape) * np.float32(1 / keep)
