"""Which snapshots a killed training can go on from: whole ones, written by real Caffe, that the log has."""

import shutil
from pathlib import Path

import pytest

from caffeformat.caffeformat_pb2 import SolverState
from tools.nets.surgery import LayerPlan
from tools.nets.templates import render
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run
from tools.protocol.runs import find_run
from tools.render import write
from tools.training.caffe_train import LOG
from tools.training.engine import Engine
from tools.training.process import RunFailed, run_engine
from tools.training.snapshots import iteration, last_caffemodel, name_own_net, whole_snapshots


@pytest.fixture
def run(trained: Experiment, engine: Engine) -> Run:
    """A run whose folder has the snapshots of iterations 10, 20, 30 and 40."""
    exp = load(Path("experiments/quick.yaml"), "snapshot=10")
    run = find_run(exp, "caffe", "A2B/n0004/base/seed0")
    write(exp, run)
    run_engine(engine, ["train", f"--solver={run.folder}/solver.prototxt"], None, run.folder / LOG, lambda line: None)
    return run


@pytest.fixture
def plan(run: Run) -> list[LayerPlan]:
    return render(load(Path("experiments/quick.yaml"), "snapshot=10"), run).plan


def whole(run: Run, plan: list[LayerPlan]) -> list[int]:
    return [iteration(state) for state in whole_snapshots(run, plan, run.folder / LOG)]


def test_the_newest_whole_one_comes_first_whatever_was_cut_off_where(
    run: Run, plan: list[LayerPlan], capsys: pytest.CaptureFixture
) -> None:
    assert whole(run, plan) == [40, 30, 20, 10]
    for name in ("net_iter_40.solverstate", "net_iter_40.caffemodel"):
        file = run.folder / name
        data = file.read_bytes()
        for length in (*range(0, len(data), 97), len(data) - 1):
            file.write_bytes(data[:length])
            assert whole(run, plan) == [30, 20, 10], f"{name} of {length} of {len(data)} bytes"
        file.unlink()
        assert whole(run, plan)[0] == 30
        file.write_bytes(data)
    assert whole(run, plan)[0] == 40
    said = capsys.readouterr().out
    assert f"{run.folder}/net_iter_40.solverstate: passed over: not a solverstate, or cut off" in said
    assert f"{run.folder}/net_iter_40.caffemodel: not a caffemodel, or cut off" in said


def test_a_solverstate_that_was_cut_off_between_two_blobs_is_not_whole(run: Run, plan: list[LayerPlan]) -> None:
    file = run.folder / "net_iter_40.solverstate"
    state = SolverState.FromString(file.read_bytes())
    assert len(state.history) == 6 and state.HasField("current_step")
    del state.history[5:]
    state.ClearField("current_step")
    file.write_bytes(state.SerializeToString())
    assert whole(run, plan) == [30, 20, 10]


def test_a_caffemodel_without_the_last_layer_or_a_state_of_another_iteration_is_not_whole(
    run: Run, plan: list[LayerPlan]
) -> None:
    shutil.copy(run.folder / "net_iter_20.solverstate", run.folder / "net_iter_40.solverstate")
    other = LayerPlan("fc4", "fc4", copied=False, frozen=False)
    assert whole(run, plan) == [30, 20, 10]
    assert whole(run, [*plan, other]) == []


def test_a_snapshot_without_its_line_in_the_log_does_not_count(
    run: Run, plan: list[LayerPlan], capsys: pytest.CaptureFixture
) -> None:
    log = (run.folder / LOG).read_text()
    (run.folder / LOG).write_text(log[: log.index("net_iter_30.solverstate") + 9])
    assert whole(run, plan) == [20, 10]
    assert "net_iter_40.solverstate: passed over: caffe.log has no line of it" in capsys.readouterr().out
    (run.folder / LOG).unlink()
    assert whole(run, plan) == []


def test_files_with_other_names_are_no_snapshots(run: Run, plan: list[LayerPlan]) -> None:
    for name in ("net_iter_x.solverstate", f"net_iter_{'9' * 5000}"[:200] + ".solverstate", "net_iter_.solverstate"):
        shutil.copy(run.folder / "net_iter_40.solverstate", run.folder / name)
    assert whole(run, plan) == [40, 30, 20, 10]


def test_a_solverstate_gets_the_path_of_the_caffemodel_beside_it(run: Run) -> None:
    state = run.folder / "net_iter_40.solverstate"
    before = state.read_bytes()
    name_own_net(state)
    assert state.read_bytes() == before
    moved = run.folder.rename(run.folder.parent / "moved")
    name_own_net(moved / state.name)
    found = SolverState.FromString((moved / state.name).read_bytes())
    assert found.learned_net == str(moved / "net_iter_40.caffemodel") and found.iter == 40 and len(found.history) == 6
    (moved / f"{state.name}.more").touch()
    (moved / state.name).write_bytes(before)
    name_own_net(moved / state.name)
    assert (moved / state.name).read_bytes() == before


def test_of_a_finished_training_only_the_last_net_stays(run: Run) -> None:
    assert last_caffemodel(run, 40).name == "net_iter_40.caffemodel"
    assert [path.name for path in run.folder.glob("*.caffemodel")] == ["net_iter_40.caffemodel"]
    with pytest.raises(RunFailed, match=r"net_iter_50\.caffemodel: .* did not write it; .* there: net_iter_40\.caffe"):
        last_caffemodel(run, 50)
