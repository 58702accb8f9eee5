"""What an experiment still needs: the state of every run and stage, and which markers are removed before the graph."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.image_projects import experiment
from tests.helpers.rendered_nets import edited
from tools.common.errors import UserError
from tools.common.files import load_json, lock, write_json
from tools.planning.stages import DATA, ORDER, RESULTS
from tools.planning.state import (
    SOURCE_STALE,
    WEIGHTS_GONE,
    Plan,
    check_templates,
    make_plan,
    run_state,
    set_aside_stale_manifests,
)
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run, split_of
from tools.protocol.runs import find_run
from tools.training.engine import Engine

VAL = {"val": 4}
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


def set_aside(exp: Experiment, engine: Engine) -> None:
    set_aside_stale_manifests(exp, engine, make_plan(exp, engine))


def make_stale(run: Run) -> None:
    """As if another mean had been subtracted in the training."""
    manifest = load_json(run.manifest)
    write_json(run.manifest, manifest | {"inputs": manifest["inputs"] | {"mean": "0" * 64}})


def test_manifests_that_do_not_stand_are_set_aside_before_the_graph(
    trained: Experiment, engine: Engine, run_of: Callable[[str], Run]
) -> None:
    own, source = run_of(OWN), run_of(SOURCE)
    make_stale(own)
    (source.folder / "net_iter_40.caffemodel").unlink()
    run_of(COPY).manifest.unlink()
    set_aside(trained, engine)
    assert own.stale_manifest.exists() and not own.manifest.exists()
    assert source.previous_manifest.exists() and not (source.folder / "train.json").exists()


def test_finished_runs_that_are_not_selected_are_set_aside_too_when_they_are_stale(
    trained: Experiment, engine: Engine, run_of: Callable[[str], Run]
) -> None:
    exp = load(Path("experiments/quick.yaml"), "sizes=[12]")
    other = run_of(OWN)
    set_aside(exp, engine)
    assert other.manifest.exists()
    make_stale(other)
    set_aside(exp, engine)
    assert other.stale_manifest.exists() and not other.manifest.exists()


def test_a_run_that_another_sweep_finished_after_the_plan_keeps_its_manifest(
    trained: Experiment, engine: Engine, run_of: Callable[[str], Run]
) -> None:
    """A plan is made, another sweep trains the run that it has as stale, then the plan is carried out."""
    run, source = run_of(OWN), run_of(SOURCE)
    finished = {each: each.manifest.read_bytes() for each in (run, source)}
    make_stale(run)
    make_stale(source)
    plan = make_plan(trained, engine)
    assert plan.runs[run] == plan.runs[source] == "stale: mean changed"
    for each, manifest in finished.items():
        each.manifest.write_bytes(manifest)
    set_aside_stale_manifests(trained, engine, plan)
    assert set(make_plan(trained, engine).runs.values()) == {"done"}


def test_the_manifest_of_a_run_that_is_being_trained_is_left_alone(
    trained: Experiment, engine: Engine, run_of: Callable[[str], Run]
) -> None:
    run = run_of(OWN)
    make_stale(run)
    plan = make_plan(trained, engine)
    with lock(run.lock):
        set_aside_stale_manifests(trained, engine, plan)
    assert run.manifest.exists()


def test_runs_that_copy_from_a_stale_run_are_stale_too(
    trained: Experiment, engine: Engine, run_of: Callable[[str], Run]
) -> None:
    """The forecast of --dry-run counts them: the source net will be another one."""
    make_stale(run_of(SOURCE))
    states = {run.key: state for run, state in make_plan(trained, engine).runs.items()}
    assert states == {
        SOURCE: "stale: mean changed",
        "A2B/n0012/S1T/seed0": SOURCE_STALE,
        COPY: SOURCE_STALE,
        "A2B/n0012/base/seed0": "done",
        OWN: "done",
    }
    set_aside(trained, engine)
    assert not run_of(COPY).manifest.exists() and run_of(OWN).manifest.exists()


def test_the_graph_holds_what_is_not_done_and_what_copies_from_it(
    trained: Experiment, engine: Engine, run_of: Callable[[str], Run]
) -> None:
    (run_of(SOURCE).folder / "net_iter_40.caffemodel").unlink()
    run_of(COPY).manifest.unlink()
    plan = make_plan(trained, engine)
    assert [run.key for run in plan.runs_to_do] == [SOURCE, "A2B/n0012/S1T/seed0", COPY]
    assert plan.to_do == list(RESULTS)


@pytest.mark.parametrize(
    ("gone", "verb", "to_do"),
    [("images", "fetch", []), ("lists", "split", []), ("LMDBs", "pack", [*ORDER[2:]]), ("means", "mean", [*ORDER[3:]])],
)
def test_what_is_gone_is_made_again_only_if_something_needs_it(
    trained: Experiment, engine: Engine, tmp_path: Path, gone: str, verb: str, to_do: list[str]
) -> None:
    """Raw images and lists are not needed any more once they are packed."""
    split = split_of(trained, 0)
    complete = dict.fromkeys(ORDER, True)
    if gone == "images":
        write_json(split.folder.parent / "fetch.json", {"folder": "elsewhere", "path": None})
    elif gone == "lists":
        for name in ("n0004", "val"):
            split.list_file(f"A/{name}").unlink()
    elif gone == "LMDBs":
        shutil.rmtree(split.folder / "12x12-gray")
    else:
        split.means.unlink()
    now = make_plan(trained, engine)
    plan = Plan(complete | {name: now.stages[name] for name in DATA}, now.runs, now.copies, now.outdated)
    assert not now.stages[verb]
    assert plan.to_do == to_do
    assert plan.is_complete == (not to_do)
    assert plan.stage_state(verb) == ("to do" if to_do else "not needed")


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


ACCURACY = (
    'layer { name: "three" type: "Accuracy" bottom: "fc8" bottom: "label" top: "t" accuracy_param { top_k: 3 } }\n'
)
CONVOLUTION = 'name: "fc8" type: "Convolution" bottom: "fc7"'


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('layer {\n  name: "accuracy"', ACCURACY + 'layer {\n  name: "accuracy"', "top_k: 3 of 2 classes; at most 2"),
        ('name: "fc8" type: "InnerProduct" bottom: "fc7"', CONVOLUTION, "fc8 with group: 3 and 2 classes"),
    ],
    ids=["top_k", "groups"],
)
@pytest.mark.parametrize("dataset", ["folder", "tiny-imagenet"])
def test_what_hangs_on_the_number_of_classes_is_judged_once_it_is_known(
    root: Path, checkout: Path, engine: Engine, dataset: str, old: str, new: str, told: str
) -> None:
    """Own images have a number of classes only when they are split, or where `classes` says how many are drawn."""
    edited(checkout, root, old, new)
    net = Path("prototxt/mine/train_val.prototxt")
    classifier = net.read_text().replace(
        "inner_product_param {\n    num_output: 5", "convolution_param {\n    group: 3"
    )
    net.write_text(classifier if new == CONVOLUTION else net.read_text())
    keys = {"dataset": dataset, "path": "images", "model": "mine", "conditions": "[base]"}
    exp = experiment(Path("exp.yaml"), **keys)
    check_templates(exp, engine)
    with pytest.raises(UserError, match=told):
        check_templates(experiment(Path("exp.yaml"), classes=4, **keys), engine)
    write_json(split_of(exp, 0).marker, {"classes": {"A": [0, 1], "B": [2, 3]}, "counts": {"A": VAL, "B": VAL}})
    with pytest.raises(UserError, match=told):
        check_templates(exp, engine)
