"""The walk as a whole: finished, unfinished, restored and interrupted sweeps."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.file_stamp import stamp
from tests.helpers.flipped import flip
from tools.common.checkout import CHECKOUT
from tools.common.files import lock, read_json
from tools.planning.state import make_plan
from tools.protocol.experiment import Experiment
from tools.protocol.runs import find_run
from tools.publish import publish
from tools.restore import restore
from tools.summarize import summarize
from tools.training.engine import Engine
from tools.verification.commands import Commands
from tools.verification.walk import RECORD, walk

RUN = "A2B/n0004/S1T/seed0"


def everything() -> dict[Path, tuple]:
    """All files but checked.json, which remembers how images were when they were last looked at."""
    paths = [path for top in ("data", "models", "results") for path in Path(top).rglob("*")]
    return {path: stamp(path) for path in paths if path.is_file() and path.name != "checked.json"}


def test_a_sweep_as_it_was_made_has_no_fault_and_nothing_is_written(trained: Experiment, look) -> None:
    summarize(trained, "caffe")
    before = everything()
    findings = look()
    assert findings.faults == [] and findings.unrecorded == [] and findings.gone == []
    assert findings.proofs == 2 and findings.files > 60
    assert everything() == before


def test_what_is_not_finished_is_said(trained: Experiment, look) -> None:
    find_run(trained, "caffe", RUN).manifest.unlink()
    failed = find_run(trained, "caffe", "A2B/n0012/S1T/seed0")
    failed.manifest.rename(failed.stale_manifest)
    failed.failed.write_text("{}")
    with lock(find_run(trained, "caffe", "A2B/n0012/base/seed0").lock):
        findings = look()
    assert findings.faults == []
    runs = ["A2B/n0012/base/seed0 (running)", "A2B/n0012/S1T/seed0 (failed)", RUN]
    assert sorted(findings.unfinished) == sorted([*runs, "summarize", "claims", "plot", "report"])


def test_a_run_that_is_set_aside_or_not_selected_is_looked_at_too(trained: Experiment, engine: Engine) -> None:
    narrow = trained.model_copy(update={"sizes": [12], "conditions": ["base"]})
    narrow._file, narrow._name = trained.file, trained.name
    flip(find_run(trained, "caffe", RUN).folder / "test.csv")
    (fault,) = walk(Commands(narrow, "caffe", "python"), engine).faults
    assert fault.file.name == "test.csv"
    shutil.rmtree("models/quick/A2B/n0004/S1T")
    run = find_run(trained, "caffe", "A2B/n0004/base/seed0")
    run.manifest.rename(run.stale_manifest)
    assert run.key in walk(Commands(narrow, "caffe", "python"), engine).unfinished


def test_a_restored_sweep_lacks_its_nets_which_is_no_fault(trained: Experiment, engine: Engine, look) -> None:
    summarize(trained, "caffe")
    folder = publish(trained)
    shutil.rmtree("models")
    shutil.rmtree("results")
    assert len(restore(trained, engine, folder)) == 5
    summarize(trained, "caffe")
    findings = look()
    assert findings.faults == [] and len(findings.gone) == 5 and findings.proofs == 0
    run = find_run(trained, "caffe", RUN)
    good = flip(run.folder / "predictions.npz")
    (fault,) = look().faults
    assert "tools restore" in fault.command
    (run.folder / "predictions.npz").write_bytes(good)
    (run.folder / "predictions.npz").unlink()
    assert [fault.file for fault in look().faults] == [run.folder / "predictions.npz"]
    assert set(make_plan(trained, engine).runs.values()) == {"done"}


def test_without_an_engine_the_files_are_looked_at_all_the_same(trained: Experiment) -> None:
    commands = Commands(trained, "caffe", "python")
    findings = walk(commands, None)
    assert findings.faults == [] and "no engine here" in " ".join(findings.left_out)
    flip(find_run(trained, "caffe", RUN).folder / "caffe.log")
    assert [fault.file.name for fault in walk(commands, None).faults] == ["caffe.log"]


@pytest.mark.slow
def test_after_kill_9_the_same_command_goes_on_and_ends_with_the_same_verdict(trained: Experiment, caffe: Path) -> None:
    """A large file takes a while; the record is written by then."""
    flip(find_run(trained, "caffe", RUN).folder / "test.csv")
    large = find_run(trained, "caffe", "B2A/n0012/base/seed0").folder / "caffe.log"
    with open(large, "ab") as file:
        file.truncate(8 << 30)  # sparse: no room is taken, and it takes seconds to read
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n"
        "from tools.verification import seen, walk; seen._INTERVAL = 0.0\n"
        "from tools.verify import main; sys.exit(main(['experiments/quick.yaml', '--fast']))",
    ]
    environment = os.environ | {"CAFFE": str(caffe)}
    first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    record = Path("results/quick") / RECORD
    end = time.monotonic() + 60
    while not record.exists():
        assert time.monotonic() < end and first.poll() is None
        time.sleep(0.01)
    time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.wait()
    known = read_json(record)
    assert known and str(large) not in known
    large.write_bytes(b"x")  # as in a log that is cut off
    straight = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert straight.returncode == 1 and not record.exists()
    assert "test.csv: not the bytes" in straight.stdout and f"{large}: not the bytes" in straight.stdout
    again = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert again.stdout == straight.stdout
