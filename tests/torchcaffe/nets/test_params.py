"""Parameters that layers share, against real Caffe."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from tests.helpers import engine_runs
from tests.helpers.both_engines import Both, Figures, net_of

IP = 'type: "InnerProduct" inner_product_param { num_output: 3 weight_filler { type: "xavier" } }'


def shared(spec: str, second: str = "", transpose: str = "") -> str:
    return f"""
layer {{ name: "one" bottom: "x" top: "a" param {{ name: "w" lr_mult: 2 }} param {{ name: "b" }} {IP} }}
layer {{ name: "two" bottom: "a" top: "c" param {{ name: "w" {spec} }} {second} type: "InnerProduct"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} {transpose} }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "c" bottom: "x" top: "loss" }}
"""


@pytest.mark.parametrize("second", ['param { name: "b" }', ""], ids=["weights and bias", "weights alone"])
def test_shared_parameters_sum_their_gradients(real_caffe, tmp_path, figures: Figures, second: str) -> None:
    Both(real_caffe, net_of(shared("", second), x=(5, 3)), tmp_path).agree(figures, "shared parameters")


def test_a_permissive_share_keeps_its_own_shape(real_caffe, tmp_path: Path, figures: Figures) -> None:
    layers = """
layer { name: "one" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" }
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } bias_term: false } }
layer { name: "two" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" share_mode: PERMISSIVE }
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } bias_term: false } }
"""
    both = Both(real_caffe, net_of(layers, x=(5, 6)), tmp_path)
    both.agree(figures, "shared parameters")
    for side in ("data", "diff"):
        with pytest.raises(ValueError, match=rf"of \(6, 2\): an array of \(2,\) was assigned to its {side}\."):
            setattr(both.net.params["two"][0], side, np.zeros(2, np.float32))


TWO_SHAPES = """
layer { name: "conv" type: "Convolution" bottom: "x" top: "a" param { name: "w" share_mode: PERMISSIVE }
  convolution_param { num_output: 4 kernel_size: 5 bias_term: false weight_filler { type: "gaussian" std: 0.3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "z" top: "b" param { name: "w" share_mode: PERMISSIVE }
  inner_product_param { num_output: 8 bias_term: false weight_filler { type: "gaussian" std: 0.3 } } }
layer { name: "la" type: "Reduction" bottom: "a" top: "la" loss_weight: 1 reduction_param { operation: SUMSQ } }
layer { name: "lb" type: "Reduction" bottom: "b" top: "lb" loss_weight: 1 reduction_param { operation: SUMSQ } }
"""
SHARING = """
import os
os.chdir(given["folder"])
caffe.set_mode_cpu()
solver = caffe.get_solver("solver.prototxt")
other = caffe.Net("net.prototxt", caffe.TRAIN)
solver.net.share_with(other)
for name in "xz":
    solver.net.blobs[name].data[...] = given[name]
solver.step(2)
for net, its in (("mine", solver.net), ("other", other)):
    for name in ("conv", "ip"):
        out[f"{net} {name}"] = np.array(its.params[name][0].data)
"""


def shared_with_another_net(real_caffe, folder: Path, monkeypatch, script: str, net: str, shapes) -> None:
    """After `script`, both nets have in torchcaffe what they have in Caffe, from inputs of `shapes`."""
    (folder / "net.prototxt").write_text(net_of(net, **shapes))
    solver = 'net: "net.prototxt" base_lr: 0.001 momentum: 0.9 lr_policy: "fixed" max_iter: 9 random_seed: 3'
    (folder / "solver.prototxt").write_text(f'{solver} snapshot_prefix: "s"')
    random = np.random.default_rng(1)
    given = {name: random.normal(size=shape) for name, shape in shapes.items()}
    monkeypatch.chdir(folder)  # back to where it was, afterwards
    right = real_caffe.run(script, folder=str(folder), **given)
    found: dict[str, np.ndarray] = {}
    exec(script, {"caffe": caffe, "np": np, "given": {"folder": str(folder), **given}, "out": found})
    for name in right:
        np.testing.assert_allclose(found[name], right[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_another_nets_parameters_in_two_shapes_stay_the_same_memory(real_caffe, tmp_path: Path, monkeypatch) -> None:
    """The convolution's weights have another order in memory than Caffe's, and in it the second shape is no view."""
    shapes = {"x": (2, 2, 6, 6), "z": (3, 25)}
    shared_with_another_net(real_caffe, tmp_path, monkeypatch, SHARING, TWO_SHAPES, shapes)


TWO_CONVOLUTIONS = "".join(
    f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" param {{ name: "w" }} '
    "convolution_param { num_output: 2 kernel_size: 3 pad: 1 bias_term: false weight_filler { type: 'xavier' } } }\n"
    for name, bottom in (("conv", "x"), ("ip", "conv"))
)
PASSES = SHARING.replace("solver.step(2)", "solver.step(1); solver.net.forward(); solver.net.backward()").replace(
    "params[name][0].data", "params[name][0].diff"
)


def test_a_shared_convolution_of_a_net_that_takes_anothers_weights_has_gradients(
    real_caffe, tmp_path: Path, monkeypatch
) -> None:
    """Each has values of its own from then on, and one gradient."""
    loss = 'layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "z" top: "loss" }\n'
    shapes = dict.fromkeys("xz", (2, 2, 6, 6))
    shared_with_another_net(real_caffe, tmp_path, monkeypatch, PASSES, TWO_CONVOLUTIONS + loss, shapes)


NAMED = 'param { name: "w" } param { name: "b" }'
FIGURE = (
    'layer { name: "figure" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "figure" include { phase: TEST } }\n'
)
SOLVER = """
net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 max_iter: 4 display: 1 test_interval: 2
test_iter: 2 random_seed: 3 snapshot_prefix: "s" solver_mode: CPU
"""
DATA = """
layer { name: "d" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 3 } data_filler { type: "gaussian" } data_filler { type: "gaussian" } } }
"""
LOSS = 'layer { name: "loss" type: "EuclideanLoss" bottom: "c" bottom: "t" top: "loss" }\n'


def ip(name: str, bottom: str, top: str, param: str, phase: str = "") -> str:
    rule = f"include {{ phase: {phase} }}" if phase else ""
    return f'layer {{ name: "{name}" bottom: "{bottom}" top: "{top}" {param} {rule} {IP} }}\n'


TEST_NETS = {
    "of both nets": ip("one", "x", "a", NAMED) + ip("two", "a", "c", NAMED),
    "a sharer of the test net alone": ip("one", "x", "c", NAMED) + ip("two", "c", "y", NAMED, "TEST") + FIGURE,
    "an owner of the test net alone": ip("one", "x", "y", NAMED, "TEST") + FIGURE + ip("two", "x", "c", NAMED),
    "both of the test net alone": ip("one", "x", "c", "")
    + ip("two", "x", "z", NAMED, "TEST")
    + ip("three", "z", "y", NAMED, "TEST")
    + FIGURE,
    "shared in the test net alone": "".join(
        ip("one", "x", "a", param, phase) + ip("two", "a", "c", param, phase)
        for param, phase in ((NAMED, "TEST"), ("", "TRAIN"))
    ),
    "shared in the train net alone": "".join(
        ip("one", "x", "a", param, phase) + ip("two", "a", "c", param, phase)
        for param, phase in (("", "TEST"), (NAMED, "TRAIN"))
    ),
}


@pytest.mark.parametrize("layers", TEST_NETS.values(), ids=TEST_NETS.keys())
def test_a_test_net_takes_the_train_nets_parameters_layer_by_layer(caffe: Path, tmp_path: Path, layers: str) -> None:
    """A layer that the train net lacks keeps the values that it began with, whatever it shares."""
    (tmp_path / "net.prototxt").write_text(DATA + layers + LOSS)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    command = ("train", "--solver=solver.prototxt")
    right, found = engine_runs.real(caffe, tmp_path, *command), engine_runs.ours(tmp_path, *command)
    assert right.code == found.code == 0
    engine_runs.same(found, right, "Test net output", rtol=2e-4)
