"""The verb run: one run from its templates to its manifest, done once, and what a failure leaves."""

import hashlib
import re
from pathlib import Path

import pytest

from tests.helpers.file_stamp import stamp
from tests.helpers.shell_scripts import stand_in
from tests.helpers.trained_project import prepare, write_project
from tools.common.errors import UserError
from tools.common.files import checksums, load_json, read_json, write_json
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run
from tools.protocol.runs import find_run, runs_of
from tools.run import main, run_one
from tools.training.engine import Engine
from tools.training.inputs import run_inputs
from tools.training.process import RunFailed


@pytest.fixture
def run(trained: Experiment) -> Run:
    return find_run(trained, "caffe", "A2B/n0004/S1T/seed0")


def test_the_manifest_has_all_that_is_needed_to_do_it_again(trained: Experiment, run: Run, engine: Engine) -> None:
    manifest = load_json(run.manifest)
    assert (manifest["run"], manifest["experiment"], manifest["file"]) == (run.key, "quick", "experiments/quick.yaml")
    assert manifest["inputs"] == run_inputs(trained, run, engine)
    assert manifest["config"] == trained.model_dump()
    assert manifest["engine"]["version"] == "caffe version 1.0.0"
    assert manifest["engine"]["command"].startswith(f"{engine.path} train --solver={run.folder}/solver.prototxt")
    assert re.fullmatch(r"[0-9a-f]{40}\+?", manifest["commit"] or "0" * 40)
    assert manifest["began"] <= manifest["ended"]
    assert {path.name for path in run.folder.iterdir()} >= {"plan.txt", "train.csv", "test.csv", "predictions.npz"}


def test_the_manifest_has_the_checksum_of_every_file_that_the_run_leaves(run: Run) -> None:
    manifest = load_json(run.manifest)
    others = {"manifest.json", ".lock", "attempts.json", "train.json"}
    left = {path.name for path in run.folder.iterdir()} - others
    assert manifest["outputs"] == {name: hashlib.sha256((run.folder / name).read_bytes()).hexdigest() for name in left}
    assert manifest["outputs"]["net_iter_40.caffemodel"] == manifest["model"]["sha256"]
    assert manifest["machine"]["threads"]["OPENBLAS_NUM_THREADS"] == "1"


def test_a_complete_run_is_left_as_it_is(trained: Experiment, run: Run, engine: Engine) -> None:
    before = {path: stamp(path) for path in run.folder.iterdir()}
    assert run_one(trained, run, engine) == load_json(run.manifest)
    assert {path: stamp(path) for path in run.folder.iterdir()} == before


def test_lost_predictions_are_made_again_without_training(trained: Experiment, run: Run, engine: Engine) -> None:
    manifest, log = load_json(run.manifest), stamp(run.folder / "caffe.log")
    (run.folder / "predictions.npz").unlink()
    assert run_one(trained, run, engine) == manifest
    assert checksums(run.folder, manifest["outputs"]) == manifest["outputs"]
    assert (run.folder / "predictions.npz").is_file() and stamp(run.folder / "caffe.log") == log


def test_a_net_that_is_not_the_manifests_gives_no_predictions(trained: Experiment, run: Run, engine: Engine) -> None:
    (run.folder / "predictions.npz").unlink()
    (run.folder / "net_iter_40.caffemodel").write_bytes(b"another net")
    with pytest.raises(RunFailed, match=r"not the net that its manifest\.json names"):
        run_one(trained, run, engine)
    assert not run.manifest.exists() and run.stale_manifest.exists()
    assert "not the net" in load_json(run.failed)["error"]


def test_a_failed_run_says_why_and_a_later_success_removes_it(
    trained: Experiment, run: Run, engine: Engine, tmp_path: Path
) -> None:
    run.manifest.unlink()
    (run.folder / "train.json").unlink()
    version = f'[ "$1" != --version ] || exec {engine.path} --version'
    broken = Engine(stand_in(tmp_path / "bin", "caffe", f"{version}; echo 'out of memory' >&2; exit 2"))
    with pytest.raises(RunFailed, match="out of memory"):
        run_one(trained, run, broken)
    failed = load_json(run.failed)
    assert (failed["run"], failed["attempts"]) == (run.key, 2) and "out of memory" in failed["error"]
    assert read_json(run.manifest) is None
    manifest = run_one(trained, run, engine)
    assert manifest["attempts"] == 3 and not run.failed.exists()


@pytest.mark.parametrize(("key", "kept"), [("A2B/n0004/S1T/seed0", False), ("B2A/n0012/base/seed0", True)])
def test_only_nets_that_others_copy_from_are_kept_where_the_experiment_says_so(
    trained: Experiment, engine: Engine, key: str, kept: bool
) -> None:
    exp = load(Path("experiments/quick.yaml"), "keep_models=sources")
    run = find_run(exp, "caffe", key)
    run.manifest.unlink()
    run_one(exp, run, engine)
    assert (run.folder / "net_iter_40.caffemodel").exists() == kept


def test_a_deleted_net_that_is_trained_again_is_compared_with_the_first(
    trained: Experiment, run: Run, engine: Engine, capsys: pytest.CaptureFixture
) -> None:
    sha256 = load_json(run.manifest)["model"]["sha256"]
    run.manifest.rename(run.previous_manifest)
    (run.folder / "train.json").unlink()
    manifest = run_one(trained, run, engine)
    assert manifest["model"] == {"file": "net_iter_40.caffemodel", "sha256": sha256, "sha256_before": sha256}
    assert f"{run.key}: trained again: the same net, byte by byte" in capsys.readouterr().out
    assert not run.previous_manifest.exists()


def test_a_deleted_net_of_before_snapshot_after_train_was_written_is_compared_too(
    trained: Experiment, run: Run, engine: Engine
) -> None:
    previous = load_json(run.manifest)
    without = (run.folder / "solver.prototxt").read_text().replace("snapshot_after_train: true\n", "")
    previous["inputs"]["solver.prototxt"] = hashlib.sha256(without.encode()).hexdigest()
    run.manifest.unlink()
    write_json(run.previous_manifest, previous)
    (run.folder / "train.json").unlink()
    assert run_one(trained, run, engine)["model"]["sha256_before"] == previous["model"]["sha256"]


def test_the_command_prints_one_line(trained: Experiment, run: Run, capsys: pytest.CaptureFixture) -> None:
    main(["experiments/quick.yaml", str(run.folder)])
    line = capsys.readouterr().out
    assert re.fullmatch(r"\[5/5\] A2B/n0004/S1T/seed0: accuracy 0\.\d{4}, loss \d\.\d{4}, \d+ s\n", line)


@pytest.mark.parametrize("more", ["snapshot_format: HDF5", 'test_state { stage: "v" }', "snapshot: 0"])
def test_what_a_solver_says_of_snapshots_and_test_state_hinders_no_run_that_copies(
    trained: Experiment, engine: Engine, more: str
) -> None:
    text = Path("solvers/quick.prototxt").read_text()
    text = text.replace("snapshot: 40 ", "") if "snapshot:" in more else text
    Path("solvers/odd.prototxt").write_text(text + more)
    exp = load(Path("experiments/quick.yaml"), "solver=odd")
    for key in ("B2A/n0012/base/seed0", "A2B/n0004/S1T/seed0"):
        manifest = run_one(exp, find_run(exp, "caffe", key), engine)
        assert manifest["model"]["file"] == "net_iter_40.caffemodel" and manifest["predictions"]["images"] == 40


def test_two_states_for_one_test_net_are_told_before_training(trained: Experiment, engine: Engine) -> None:
    text = Path("solvers/quick.prototxt").read_text()
    Path("solvers/odd.prototxt").write_text(text + 'test_state { stage: "a" } test_state { stage: "b" }')
    exp = load(Path("experiments/quick.yaml"), "solver=odd")
    with pytest.raises(
        UserError, match=r"solvers/odd\.prototxt:\d+: test_state: 2 test nets; there must be at most one"
    ):
        run_one(exp, find_run(exp, "caffe", "A2B/n0004/base/seed0"), engine)


@pytest.mark.slow
def test_the_manifest_says_how_many_images_were_left_out(root: Path, caffe: Path, engine: Engine) -> None:
    write_project(root / "images")
    exp = load(Path("experiments/quick.yaml"), "on_bad_image=skip sizes=[4] full_size=10 conditions=[base]")
    (root / "images/train/north/00.png").write_bytes(b"no image")
    (root / "images/train/south/03.png").unlink()
    (root / "images/train/south/03.png").symlink_to("nowhere.png")
    prepare(exp)
    run = next(run for run in runs_of(exp, "caffe") if run.size == 4)
    assert run_one(exp, run, engine)["left_out"] == {"missing": 1, "unreadable": 1, "not_packed": 0}
