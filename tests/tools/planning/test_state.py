"""What an experiment still needs: the state of every run and stage, and which markers are removed before the graph."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.common.errors import UserError
from tools.common.files import load_json, lock, write_json
from tools.planning.stages import graph_marks
from tools.planning.state import WEIGHTS_GONE, Plan, check_templates, make_plan, remove_stale_markers, run_state
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run
from tools.protocol.runs import find_run
from tools.training.engine import Engine

SOURCE, OWN, COPY = "B2A/n0012/base/seed0", "A2B/n0004/base/seed0", "A2B/n0004/S1T/seed0"


@pytest.fixture
def run_of(trained: Experiment) -> Callable[[str], Run]:
    return lambda key: find_run(trained, "caffe", key)


def test_after_the_trainings_every_run_is_done_and_the_tables_are_not(trained: Experiment, engine: Engine) -> None:
    plan = make_plan(trained, engine)
    assert set(plan.runs.values()) == {"done"} and len(plan.runs) == 5
    assert plan.stages == {
        **dict.fromkeys(("fetch", "split", "pack", "mean"), True),
        **dict.fromkeys(("summarize", "claims", "plot", "report"), False),
    }
    assert not plan.remaining and not plan.untrained and not plan.is_complete


def test_a_run_has_one_of_six_states(trained: Experiment, engine: Engine, run_of: Callable[[str], Run]) -> None:
    run = run_of(COPY)

    def state() -> str:
        return run_state(trained, run, engine)

    assert state() == "done"
    (run.folder / "predictions.npz").unlink()
    assert state() == "unscored"
    manifest = load_json(run.manifest)
    write_json(
        run.manifest, manifest | {"inputs": manifest["inputs"] | {"mean": "0" * 64, "engine": "caffe version 0"}}
    )
    assert state() == "stale: engine, mean changed"
    with lock(run.lock):
        assert state() == "running"
    run.manifest.unlink()
    assert state() == "waiting"
    run.failed.write_text("{}")
    assert state() == "failed"


def test_a_run_whose_source_net_is_not_finished_is_waiting(
    trained: Experiment, engine: Engine, run_of: Callable[[str], Run]
) -> None:
    run_of(SOURCE).manifest.unlink()
    assert run_state(trained, run_of(COPY), engine) == "waiting"


def test_a_source_net_whose_weights_are_gone_is_stale_only_while_a_run_needs_them(
    trained: Experiment, engine: Engine, run_of: Callable[[str], Run]
) -> None:
    (run_of(SOURCE).folder / "net_iter_40.caffemodel").unlink()
    assert make_plan(trained, engine).runs[run_of(SOURCE)] == "done"
    run_of(COPY).manifest.unlink()
    assert make_plan(trained, engine).runs[run_of(SOURCE)] == WEIGHTS_GONE


def test_markers_that_do_not_stand_are_removed_before_the_graph(
    trained: Experiment, engine: Engine, run_of: Callable[[str], Run]
) -> None:
    own, source = run_of(OWN), run_of(SOURCE)
    manifest = load_json(own.manifest)
    write_json(own.manifest, manifest | {"inputs": manifest["inputs"] | {"mean": "0" * 64}})
    (source.folder / "net_iter_40.caffemodel").unlink()
    run_of(COPY).manifest.unlink()
    marks = graph_marks(trained, "caffe")
    marks["plot"].parent.mkdir(parents=True)
    marks["plot"].touch()
    remove_stale_markers(trained, engine, make_plan(trained, engine))
    assert [name for name, mark in marks.items() if mark.exists()] == ["fetch", "split", "pack", "mean"]
    assert own.stale_manifest.exists() and not own.manifest.exists()
    assert source.previous_manifest.exists() and not (source.folder / "train.json").exists()


def test_finished_runs_that_are_not_selected_are_set_aside_too_when_they_are_stale(
    trained: Experiment, engine: Engine, run_of: Callable[[str], Run]
) -> None:
    exp = load(Path("experiments/quick.yaml"), "sizes=[12]")
    other = run_of(OWN)
    remove_stale_markers(exp, engine, make_plan(exp, engine))
    assert other.manifest.exists()
    manifest = load_json(other.manifest)
    write_json(other.manifest, manifest | {"inputs": manifest["inputs"] | {"mean": "0" * 64}})
    remove_stale_markers(exp, engine, make_plan(exp, engine))
    assert other.stale_manifest.exists() and not other.manifest.exists()


def test_what_is_left_is_what_is_not_done_and_what_is_not_trained() -> None:
    a, b, c = (Run("quick", "A2B", 4, f"S{n}T", 0) for n in (1, 2, 3))
    plan = Plan({"fetch": True}, {a: "done", b: "unscored", c: "failed"})
    assert (plan.remaining, plan.untrained) == ([b, c], [c])
    assert Plan({"fetch": True}, {a: "done"}).is_complete
    assert not Plan({"fetch": False}, {a: "done"}).is_complete


def test_templates_are_checked_before_there_is_a_split(root: Path, checkout: Path, engine: Engine) -> None:
    file = checkout / "experiments" / "tiny.yaml"
    check_templates(load(file, "sizes=[50] conditions=[base,S1T]"), engine)
    with pytest.raises(UserError, match="conditions: S8T; alexnet has 8 weighted layers: at most S7T"):
        check_templates(load(file, "sizes=[50] conditions=[S8T]"), engine)
    assert not Path("data").exists()
