"""Python layers: the same user's class in real Caffe and here."""

import sys
from pathlib import Path

import numpy as np
import pytest

import torchcaffe
from caffeformat import FormatError
from tests.helpers import engine_runs
from tests.helpers.both_engines import Both, net_of
from tests.helpers.data_batches import batches_of_both, equal_batches
from tests.helpers.layer_text import between_layers, layer

CLASSES = Path(__file__).parents[2] / "helpers" / "python_layers.py"
MODULE = "python_layers"


@pytest.fixture(autouse=True)
def _path(monkeypatch, real_caffe) -> None:
    """Both find the module, as PYTHONPATH would make them."""
    monkeypatch.syspath_prepend(str(CLASSES.parent))
    real_caffe.run('import sys; sys.path.insert(0, given["folder"])', folder=str(CLASSES.parent))
    yield
    sys.modules.pop(MODULE, None)


def python(name: str, param_str: str = "", more: str = "", module: str = MODULE) -> str:
    return f'{more} python_param {{ module: "{module}" layer: "{name}" param_str: "{param_str}" }}'


@pytest.mark.parametrize("phase", [torchcaffe.TRAIN, torchcaffe.TEST], ids=["train", "test"])
def test_a_layer_with_parameters_between_others(real_caffe, tmp_path, figures, phase) -> None:
    text = net_of(between_layers("Python", python("Weighted", "-1.5")), x=(2, 3, 5, 6))
    Both(real_caffe, text, tmp_path, phase).agree(figures, "Python")


def test_share_in_parallel_changes_nothing_for_one_solver(real_caffe, tmp_path, figures) -> None:
    settings = python("Weighted", "2").replace("python_param {", "python_param { share_in_parallel: true")
    assert "share_in_parallel" in settings
    Both(real_caffe, net_of(layer("Python", settings), x=(2, 3, 1, 1)), tmp_path).agree(figures, "Python")


def test_parameters_that_the_prototxt_gives(real_caffe, tmp_path, figures) -> None:
    given = "blobs { shape { dim: 3 } data: 1 data: 2 data: 3 }"
    both = Both(real_caffe, net_of(layer("Python", python("Weighted", "2", given)), x=(2, 3, 1, 1)), tmp_path)
    both.agree(figures, "Python")


@pytest.mark.parametrize("down", ["true true", "true false", "false true"])
def test_a_loss(real_caffe, tmp_path, figures, down: str) -> None:
    asked = "loss_weight: 3 loss_weight: 0 " + "".join(f"propagate_down: {word} " for word in down.split())
    text = net_of(
        layer("Power", "power_param { scale: 2 }", "x", "a", "a")
        + layer("InnerProduct", "inner_product_param { num_output: 5 }", "y", "b", "b")
        + layer("Python", python("Distance", more=asked), "a b", "loss asked"),
        x=(4, 5),
        y=(4, 2),
    )
    text = text.replace("force_backward: true", "")
    Both(real_caffe, text, tmp_path, backward=True).agree(figures, "Python loss")


def test_a_data_layer_that_changes_the_size_of_its_batches(real_caffe, tmp_path, figures) -> None:
    """Its `reshape` runs once before each forward pass, and once at the setup; what lies above takes the size on."""
    text = (
        layer("Python", python("Batches"), "", "x label", "first")
        + layer("Python", python("Batches"), "", "z label2", "second")
        + layer("Flatten", "", "x", "flat", "flat")
        + layer("Concat", "concat_param { axis: 0 }", "label label2", "labels", "labels")
        + layer("Eltwise", "", "x z", "sum", "sum")
    )
    equal_batches(figures, "Python", *batches_of_both(real_caffe, tmp_path, text, torchcaffe.TRAIN, count=9))


def test_arrays_that_a_layer_keeps_are_the_nets_memory_also_between_layers_in_place(
    real_caffe, tmp_path, figures
) -> None:
    text = (
        layer("DummyData", 'dummy_data_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } data_filler { type: "gaussian" }}',
              "", "x", "x")
        + layer("Pooling", "pooling_param { kernel_size: 2 }", "x", "p", "p")
        + layer("Python", python("KeepsItsArrays"), "p", "y")
        + layer("ReLU", "", "y", "y", "relu")
    )  # fmt: skip
    equal_batches(figures, "Python", *batches_of_both(real_caffe, tmp_path, text, torchcaffe.TRAIN, count=5))


TRAINING = f"""
layer {{ name: "x" type: "DummyData" top: "x" dummy_data_param {{ shape {{ dim: 6 dim: 4 dim: 3 dim: 3 }}
  data_filler {{ type: "gaussian" }} }} }}
layer {{ name: "weighted" type: "Python" bottom: "x" top: "w" param {{ lr_mult: 0.5 }} {python("Weighted", "0.3")} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "w" top: "ip" inner_product_param {{ num_output: 3
  weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "y" type: "DummyData" top: "y" dummy_data_param {{ shape {{ dim: 6 dim: 3 }} }} }}
layer {{ name: "loss" type: "Python" bottom: "ip" bottom: "y" top: "loss" top: "asked" loss_weight: 1 loss_weight: 0
  {python("Distance")} }}
"""
SOLVER = """net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 max_iter: 10 display: 1 random_seed: 3
solver_mode: CPU snapshot_prefix: "out" """


def test_ten_steps_are_caffes_and_the_log_names_the_module(caffe, tmp_path, figures) -> None:
    (tmp_path / "net.prototxt").write_text(TRAINING)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    arguments = ("train", "--solver=solver.prototxt")
    right = engine_runs.real(caffe, tmp_path, *arguments, CAFFE_PYTHONPATH=str(CLASSES.parent))
    weights = torchcaffe.Net(tmp_path / "net.prototxt", torchcaffe.TRAIN, weights=tmp_path / "out_iter_10.caffemodel")
    found = engine_runs.ours(tmp_path, *arguments)
    assert (found.code, right.code) == (0, 0), found.log[-2000:] + right.log[-2000:]
    named = [line for line in found.log.splitlines(keepends=True) if f"of the Python module {CLASSES}" in line]
    assert len(named) == 2
    for line in named:
        found.log = found.log.replace(line, "")
    engine_runs.same(found, right)
    ours = torchcaffe.Net(tmp_path / "net.prototxt", torchcaffe.TRAIN, weights=tmp_path / "out_iter_10.caffemodel")
    for name, blobs in ours.params.items():
        figures.note_arrays("Python: weights after ten steps", blobs[0].data, weights.params[name][0].data, 1e-5)


def test_a_step_with_a_python_layer_is_not_recorded_and_the_log_says_why(tmp_path) -> None:
    (tmp_path / "net.prototxt").write_text(TRAINING)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    run = engine_runs.ours(tmp_path, "train", "--solver=solver.prototxt", "--step=static")
    assert run.code == 0
    assert run.lines("not recorded")[0].endswith("the layer weighted (Python) works on the host")


@pytest.mark.parametrize("method", ["setup", "reshape", "forward", "backward"])
def test_an_error_in_the_users_code_keeps_its_type_and_names_the_layer(tmp_path, method: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer("Python", python("Fails", method)), x=(1,)))

    def run() -> None:
        net = torchcaffe.Net(path, torchcaffe.TEST)
        net.forward()
        net.backward()

    with pytest.raises(KeyError) as caught:
        run()
    assert caught.value.__notes__ == [f"{path}:3: layer 'it' (Python): in {method} of {MODULE}.Fails"]


def test_the_command_line_prints_the_users_traceback_alone(tmp_path) -> None:
    (tmp_path / "net.prototxt").write_text(net_of(layer("Python", python("Fails", "forward")), x=(1,)))
    run = engine_runs.ours(tmp_path, "time", "--model=net.prototxt")
    assert run.code == 134
    _, _, told = run.log.partition("Traceback (most recent call last):\n")
    lines = told.splitlines()
    assert [line.split(", ", 2)[2] for line in lines if line.startswith("  File ")] == ["in forward", "in fail"]
    assert "KeyError: 'forward'" in lines
    assert f"net.prototxt:3: layer 'it' (Python): in forward of {MODULE}.Fails: KeyError: 'forward'" in lines[-2]


REFUSALS = {
    "no module": (
        python("Fails", module="no_such_module"),
        r"no Python module 'no_such_module' is found; .*PYTHONPATH",
    ),
    "no name": (python("Fails", module=""), "names no module"),
    "no class": (python("NoSuchLayer"), r"python_layers\.py: `NoSuchLayer` is to be a class of caffe\.Layer"),
    "another class": (python("NoLayer"), "`NoLayer` is to be a class of caffe.Layer; found <class"),
    "no forward": (python("WithoutForward"), "class WithoutForward has no method forward"),
}


@pytest.mark.parametrize(("settings_", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_is_no_layer_is_refused(tmp_path, settings_, message) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer("Python", settings_), x=(1,)))
    with pytest.raises(FormatError, match=rf"net\.prototxt:3: layer 'it' \(Python\): .*{message}"):
        torchcaffe.Net(path, torchcaffe.TEST)


def test_a_layer_that_the_phase_leaves_out_is_not_imported(tmp_path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer("Python", python("Weighted", "1", "include { phase: TRAIN }")), x=(1, 1, 1, 1)))
    torchcaffe.Net(path, torchcaffe.TEST)
    assert MODULE not in sys.modules
    net = torchcaffe.Net(path, torchcaffe.TRAIN)
    assert type(net.layers[1]).__name__ == "Weighted"
    assert sys.modules[MODULE].caffe is torchcaffe
    np.testing.assert_array_equal(net.params["it"][0].data, [1])
