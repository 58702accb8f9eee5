"""pycaffe's solvers: which rule they train by, and what a script can do between iterations."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from tests.helpers.real_caffe import RealCaffe
from torchcaffe.common import context

NET = """
layer { name: "d" type: "DummyData" top: "x" top: "label" dummy_data_param { shape { dim: 4 dim: 3 dim: 6 dim: 6 }
  shape { dim: 4 } data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param { num_output: 4 kernel_size: 3
  weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 5
  weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
TYPES = ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"]
PROGRAM = """
import os
os.chdir(given["folder"])
solver = SOLVER
weights = [blob.data for blobs in solver.net.params.values() for blob in blobs]
def keep(name, *values):
    out[name] = np.concatenate([np.ravel(np.array(value)) for value in values])
keep("lr", solver.lr, solver.iter, solver.param.base_lr)
solver.step(1)
diffs = [blob.diff for blobs in solver.net.params.values() for blob in blobs]
keep("updates", *diffs)
keep("weights 1", *weights)
weights[0].reshape(-1)[:20] = 0
seen = []
solver.add_callback(lambda: seen.append(float(np.abs(weights[0]).sum())),
                    lambda: seen.append(float(np.abs(solver.net.params["ip"][0].diff).sum())))
solver.step(2)
keep("weights 3", *weights)
keep("updates 3", *diffs)
keep("seen", seen)
for diff in diffs:
    diff[...] = 0.5
solver.apply_update()
keep("applied", solver.iter, *weights)
keep("blobs", *[solver.net.blobs[name].data for name in ("conv", "ip", "loss")])
solver.test_nets[0].forward()
keep("test", *[blob.data for blobs in solver.test_nets[0].params.values() for blob in blobs])
other = caffe.Net("net.prototxt", 1)
solver.share_weights(other)
keep("shared", *[blob.data for blobs in other.params.values() for blob in blobs])
"""
UNREAD = """
import os
os.chdir(given["folder"])
solver = SOLVER
solver.step(1)
solver.step(1)
solver.apply_update()
weights = [blob.data for blobs in solver.net.params.values() for blob in blobs]
out["weights"] = np.concatenate([np.ravel(np.array(value)) for value in weights])
del weights
solver.snapshot()
solver.step(1)
solver.restore("snap_iter_3.solverstate")
out["updates"] = np.concatenate([blob.diff.ravel() for blobs in solver.net.params.values() for blob in blobs])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.prototxt").write_text(NET)
    return tmp_path


def write_solver(folder: Path, type_: str) -> None:
    momentum = 0.0 if type_ in ("AdaGrad", "RMSProp") else 0.9
    (folder / "solver.prototxt").write_text(f"""
net: "net.prototxt" test_iter: 1 test_interval: 2 base_lr: 0.01 momentum: {momentum} lr_policy: "step" stepsize: 2
gamma: 0.5 weight_decay: 0.01 max_iter: 10 random_seed: 7 type: "{type_}" snapshot_prefix: "snap" """)


def agree(
    real_caffe: RealCaffe, folder: Path, monkeypatch: pytest.MonkeyPatch, solver: str, program: str = PROGRAM
) -> None:
    monkeypatch.chdir(folder)
    program = program.replace("SOLVER", solver)
    right = real_caffe.run(program, folder=str(folder))
    found: dict[str, np.ndarray] = {}
    exec(program, {"caffe": caffe, "np": np, "given": {"folder": str(folder)}, "out": found})
    assert found.keys() == right.keys()
    for name in right:
        np.testing.assert_allclose(found[name], right[name], rtol=2e-3, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("type_", TYPES)
def test_each_class_trains_by_its_rule_and_a_script_sees_and_changes_weights_and_updates(
    real_caffe: RealCaffe, folder: Path, monkeypatch: pytest.MonkeyPatch, type_: str
) -> None:
    write_solver(folder, type_)
    agree(real_caffe, folder, monkeypatch, f'caffe.{type_}Solver("solver.prototxt")')


@pytest.mark.parametrize("type_", ["SGD", "Nesterov"])
def test_updates_that_nobody_has_read_are_the_next_gradients_and_outlive_a_restore(
    real_caffe: RealCaffe, folder: Path, monkeypatch: pytest.MonkeyPatch, type_: str
) -> None:
    """SGD's updates are its history, and are copied when they are read, or before the history changes."""
    write_solver(folder, type_)
    agree(real_caffe, folder, monkeypatch, f'caffe.{type_}Solver("solver.prototxt")', UNREAD)


def test_get_solver_takes_the_type_of_the_file(
    real_caffe: RealCaffe, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_solver(folder, "Adam")
    agree(real_caffe, folder, monkeypatch, 'caffe.get_solver("solver.prototxt")')
    assert type(caffe.get_solver("solver.prototxt")) is caffe.AdamSolver
    assert issubclass(caffe.AdamSolver, caffe.SGDSolver)


def test_a_class_does_not_take_the_type_of_the_file_and_says_so(
    real_caffe: RealCaffe, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_solver(folder, "Adam")
    agree(real_caffe, folder, monkeypatch, 'caffe.SGDSolver("solver.prototxt")')
    assert "says type: Adam, but SGDSolver trains by SGD; get_solver takes" in capsys.readouterr().err


def test_the_log_is_that_of_pycaffe_line_for_line(
    pycaffe: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A solver without a type, and the old form of Net, as in BVLC's notebooks brewing-logreg and 02."""
    monkeypatch.chdir(folder)
    write_solver(folder, "SGD")
    solver = folder / "solver.prototxt"
    solver.write_text(solver.read_text().replace('type: "SGD"', ""))
    program = 'caffe.get_solver("solver.prototxt").net.save("w"); caffe.Net("net.prototxt", "w", 1)'
    right = subprocess.run([pycaffe, "-c", f"import caffe; {program}"], capture_output=True, text=True, check=True)
    exec(program, {"caffe": caffe})
    assert lines_of(capsys.readouterr().err) == lines_of(right.stderr)


def lines_of(text: str) -> list[str]:
    """The lines of a log, without their dates, times and process ids."""
    lines = [re.sub(r"^([IWE])\d{4} [\d:.]+ +\d+ ", r"\1 ", line).rstrip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("WARNING: Logging before InitGoogleLogging")]


def test_a_solver_resumes_from_its_snapshot_and_a_missing_file_is_a_runtime_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    write_solver(folder, "SGD")
    solver = caffe.get_solver("solver.prototxt")
    solver.step(3)
    solver.snapshot()
    held = solver.net.params["conv"][0].data
    after_3 = held.copy()
    solver.solve()
    assert solver.iter == 10 and not np.array_equal(held, after_3)
    solver.restore("snap_iter_3.solverstate")
    assert solver.iter == 3 and np.array_equal(held, after_3)
    with pytest.raises(RuntimeError, match=r"Could not open file none\.prototxt"):
        caffe.get_solver("none.prototxt")


def test_the_nets_of_a_solver_stay_and_a_step_is_a_whole_number(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    write_solver(folder, "SGD")
    solver = caffe.get_solver("solver.prototxt")
    for name in ("net", "test_nets", "iter"):
        with pytest.raises(AttributeError):
            setattr(solver, name, 1)
    with pytest.raises(TypeError, match="'float' object cannot be interpreted as an integer"):
        solver.step(1.5)
    assert solver.iter == 0


@pytest.mark.parametrize("type_", ["SGD", "Adam"])
def test_a_recorded_step_shows_a_script_the_same_arrays(
    folder: Path, monkeypatch: pytest.MonkeyPatch, type_: str
) -> None:
    """As on a GPU, where a step is a CUDA graph."""
    monkeypatch.chdir(folder)
    write_solver(folder, type_)
    seen: dict[str, list[np.ndarray]] = {"eager": [], "static": []}
    for step, kept in seen.items():
        monkeypatch.setattr(context.current(), "step", step)
        solver = caffe.get_solver("solver.prototxt")
        held = [solver.net.params["conv"][0].data, solver.net.params["ip"][0].diff, solver.net.blobs["ip"].data]
        for number in range(6):
            solver.step(1 + number % 2)
            kept += [array.copy() for array in held]
            kept += [solver.net.blobs["conv"].data.copy(), solver.net.params["conv"][1].diff.copy()]
            held[0].reshape(-1)[number] = 0.5
    for eager, static in zip(seen["eager"], seen["static"], strict=True):
        np.testing.assert_allclose(static, eager, rtol=1e-5, atol=1e-7)
