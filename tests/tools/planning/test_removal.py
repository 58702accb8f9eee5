"""LMDBs that nothing needs any more: when they go, when they stay, and how they come again."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.common.errors import UserError
from tools.common.files import lock_shared, sha256
from tools.common.lmdb_removal import is_removed
from tools.pack import pack
from tools.planning.removal import remove_lmdbs
from tools.planning.state import Plan, make_plan
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import lmdb_users
from tools.protocol.runs import find_run, lmdbs_of
from tools.run import run_one
from tools.training.engine import Engine


@pytest.fixture
def finished(trained: Experiment, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """All runs are done; tables and figures count as done."""
    monkeypatch.setattr(Plan, "is_complete", property(lambda plan: not plan.remaining))
    return load(Path("experiments/quick.yaml"), "keep_lmdbs=none")


def data_files() -> dict[Path, str]:
    return {path: sha256(path) for path in Path("data").rglob("data.mdb")}


def test_lmdbs_go_when_all_runs_are_finished_and_the_runs_stay_done(finished: Experiment, engine: Engine) -> None:
    small = {path: sha256(path) for path in Path("data").rglob("*/*/*/*.*") if path.suffix != ".mdb"}
    count = len(data_files())
    assert remove_lmdbs(load(Path("experiments/quick.yaml")), engine) == "", "the default keeps them"
    assert len(data_files()) == count
    assert f"{count} LMDBs removed" in remove_lmdbs(finished, engine)
    assert not data_files() and {path: sha256(path) for path in small} == small
    plan = make_plan(finished, engine)
    assert set(plan.runs.values()) == {"done"} and not {"fetch", "split", "pack", "mean"} & {*plan.to_do}
    assert remove_lmdbs(finished, engine) == ""


def test_they_stay_while_a_run_is_left(finished: Experiment, engine: Engine) -> None:
    find_run(finished, engine.name, "A2B/n0004/S1T/seed0").manifest.unlink()
    assert remove_lmdbs(finished, engine) == "" and data_files()


def test_they_stay_while_anybody_uses_the_data_set_and_go_after_its_kill(finished: Experiment, engine: Engine) -> None:
    """Another experiment's sweep or pilot, or a run by hand: the kernel knows."""
    hold = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_SH); print(flush=True); input()"
    command = [sys.executable, "-c", hold, str(lmdb_users(finished))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline()
        assert "stay for now: another sweep or run uses this data set" in remove_lmdbs(finished, engine)
        with lock_shared(lmdb_users(finished)):
            assert data_files(), "any number may use them at a time"
        other.kill()
    assert "LMDBs removed" in remove_lmdbs(finished, engine) and not data_files()


def test_what_could_not_be_made_again_stays(finished: Experiment, engine: Engine) -> None:
    images = Path(finished.path or "")
    images.rename(images.with_suffix(".away"))  # other tests have them, too
    try:
        assert "the images that they are made of are not here" in remove_lmdbs(finished, engine)
    finally:
        images.with_suffix(".away").rename(images)
    for marker in Path("data").rglob("n0004/pack.json"):
        record = json.loads(marker.read_text())
        del record["data"], record["checksum"]
        marker.write_text(json.dumps(record))  # of an earlier version
    remove_lmdbs(finished, engine)
    assert {path.parent.name for path in data_files()} == {"n0004"}


def test_a_run_that_is_left_gets_its_lmdbs_again_byte_by_byte_and_no_others(
    finished: Experiment, engine: Engine
) -> None:
    before, means = data_files(), {path: sha256(path) for path in Path("data").rglob("mean.binaryproto")}
    remove_lmdbs(finished, engine)
    run = find_run(finished, engine.name, "A2B/n0004/S1T/seed0")
    model = sha256(next(run.folder.glob("*.caffemodel")))
    shutil.rmtree(run.folder)
    plan = make_plan(finished, engine)
    assert plan.removed == {*lmdbs_of(finished, run)}
    assert plan.to_do[:2] == ["pack", "mean"] and plan.runs_to_do == [run]
    with pytest.raises(UserError, match=r"removed \(keep_lmdbs\); run `python -m tools pack "):
        run_one(finished, run, engine)
    assert pack(finished, 0, plan.removed) and not pack(finished, 0, plan.removed)
    again = data_files()
    assert {path.parent for path in again} == plan.removed and again.items() <= before.items()
    assert not make_plan(finished, engine).removed
    run_one(finished, run, engine)
    assert sha256(next(run.folder.glob("*.caffemodel"))) == model
    assert pack(finished, 0), "called by hand it makes all"
    assert data_files() == before and {path: sha256(path) for path in means} == means


def test_a_list_that_changed_makes_all_of_them_again(finished: Experiment, engine: Engine) -> None:
    """More runs may be trained again than the plan knew."""
    remove_lmdbs(finished, engine)
    list_file = next(Path("data").rglob("A/n0004.txt"))
    marker = list_file.parents[1] / "split.json"
    text = list_file.read_text()
    list_file.write_text("\n".join(reversed(text.splitlines())) + "\n")
    marker.write_text(marker.read_text().replace(_digest(text), sha256(list_file)))
    assert pack(finished, 0, frozenset())
    assert not [folder for folder in Path("data").rglob("A/*") if is_removed(folder)]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
