"""Kills, failures and retries: the same command continues and gives the same result; nothing incomplete counts."""

import contextlib
import json
import random
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.helpers import trained_project
from tests.helpers.made_once import made_once

pytestmark = pytest.mark.slow

RUN = Path("models/small/A2B/n0010/S2T/seed0")
ONE = "sizes=[10] conditions=[S2T] directions=[A2B]"


def results() -> dict[str, tuple]:
    """What a sweep's runs came to, without the clock: accuracy, loss and the net's checksum by run."""
    found = {}
    for path in sorted(Path("models").rglob("manifest.json")):
        manifest = json.loads(path.read_text())
        found[manifest["run"]] = (
            manifest["result"]["accuracy"],
            manifest["result"]["loss"],
            manifest["model"]["sha256"],
        )
    return found


def start(root, *arguments) -> subprocess.Popen:
    command = [sys.executable, "-m", "tools", *map(str, arguments)]
    return subprocess.Popen(command, env=root.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(condition, what: str, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen in {seconds} s"
        time.sleep(0.05)


def test_after_kill_9_of_a_whole_sweep_the_same_command_ends_with_the_same_result(packed, small):
    root, straight = packed, "max_iter=20 sizes=[10] directions=[A2B]"
    for run in ("B2A/n0060/base/seed0", "A2B/n0010/base/seed0", "A2B/n0010/S2T/seed0"):
        root("run", small, run, "--set", "max_iter=20")
    expected = results()
    subprocess.run(["rm", "-rf", "models", "data"], check=True)

    for moment in ("data", "models"):
        sweep = start(root, "sweep", small, "--set", straight)
        wait_for(lambda top=Path(moment): len(list(top.rglob("*"))) > 12, f"work in {moment}/")
        family = [psutil.Process(sweep.pid), *psutil.Process(sweep.pid).children(recursive=True)]
        sweep.kill()
        sweep.wait()
        wait_for(lambda family=family: not any(_alive(p) for p in family), "the end of all that the sweep had started")
        assert len(results()) < len(expected)
    for top in ("data/tiny-imagenet", "models/small+max_iter=20", "results/small+max_iter=20"):
        Path(top, ".left.1.part").touch()  # where the kills above left nothing
    root("sweep", small, "--set", straight)
    assert results() == expected
    leftovers = [path for top in ("data", "models", "results") for path in Path(top).rglob("*.part")]
    assert leftovers == []


COMMANDS = {"make": "", "sweep": "", "Snakemake": "-m snakemake", "the job": "-m tools.planning.job"}


@pytest.fixture(scope="session")
def quick_once(tmp_path_factory) -> Path:
    """A project of small images whose data are packed."""

    def prepare(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            trained_project.prepare(trained_project.write_project(folder / "images"))

    return made_once(tmp_path_factory, "quick-packed", prepare)


@pytest.mark.parametrize("victim", COMMANDS)
def test_no_process_of_a_sweep_lives_long_after_a_kill_9_while_a_run_starts(
    root, quick_once, checkout, tmp_path, victim
):
    """At random instants in the first second of a `tools run`. Every process of the sweep has a mark of its own."""
    shutil.copytree(quick_once, ".", dirs_exist_ok=True)
    quick = Path("experiments/quick.yaml")
    command = [sys.executable, "-m", "tools", "sweep", str(quick), "--jobs", "2", "--set", "max_iter=100000"]
    if victim == "make":
        command = ["make", "-f", f"{checkout}/Makefile", f"PROJECT={checkout}", f"VENV={checkout}/.venv"]
        command += ["quick-sweep", "JOBS=2", "SET=max_iter=100000"]
    for attempt in range(2):
        environment = root.environment | {"MARK": f"{tmp_path}/{attempt}"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        top = subprocess.Popen(command, env=environment, **quiet)
        wait_for(lambda mark=environment["MARK"]: family(mark, " run/"), "a training")
        time.sleep(random.random())
        chosen = family(environment["MARK"], COMMANDS[victim]) if COMMANDS[victim] else [psutil.Process(top.pid)]
        chosen[0].kill()
        if victim == "the job":  # the sweep goes on without it
            top.kill()
        top.wait()
        wait_for(lambda mark=environment["MARK"]: not family(mark, ""), "the end of all processes", 5)


def family(mark: str, words: str) -> list[psutil.Process]:
    """The living processes with this MARK in their environment and these words in their command."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("MARK") == mark and words in " ".join(process.cmdline()) and _alive(process):
                found.append(process)
    return found


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="session")
def prepared_once(tmp_path_factory, tools, packed_once) -> Path:
    """A project with the data and the source net of one run, done."""

    def train(folder: Path) -> None:
        shutil.copytree(packed_once, folder, dirs_exist_ok=True)
        tools("run", "small.yaml", "B2A/n0060/base/seed0", folder=folder)

    return made_once(tmp_path_factory, "prepared", train)


@pytest.fixture
def prepared(root, small, prepared_once):
    """`root` as a copy of that project."""
    shutil.copytree(prepared_once, ".", dirs_exist_ok=True)
    return root


def test_a_run_killed_in_training_starts_again_and_counts_its_attempts(prepared, small):
    prepared(
        "run", small, "A2B/n0010/S2T/seed0", "--set", "max_iter=400 test_interval=100 display=1", status=2
    )  # no source
    root, more = prepared, "max_iter=300 test_interval=100 display=1"
    root("run", small, "B2A/n0060/base/seed0", "--set", more)
    folder = Path("models/small+display=1+max_iter=300+test_interval=100/A2B/n0010/S2T/seed0")
    process = start(root, "run", small, "A2B/n0010/S2T/seed0", "--set", more)
    wait_for(
        lambda: (folder / "caffe.log").exists() and "Iteration 20 " in (folder / "caffe.log").read_text(), "training"
    )
    process.kill()
    process.wait()
    assert not (folder / "manifest.json").exists()
    root("run", small, "A2B/n0010/S2T/seed0", "--set", more)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["attempts"] == 2 and manifest["result"]["iters"] == 300
    assert (folder / "caffe.log").read_text().count("Solving") == 1


def test_told_to_resume_a_killed_run_goes_on_from_its_last_snapshot(prepared, small):
    more = "max_iter=300 test_interval=100 display=1 snapshot=20"
    root = prepared
    root("run", small, "B2A/n0060/base/seed0", "--set", more)
    (folder,) = (path / "A2B/n0010/S2T/seed0" for path in Path("models").glob("small+*snapshot=20*"))
    process = start(root, "run", small, "A2B/n0010/S2T/seed0", "--set", more + " resume=true")
    wait_for(lambda: (folder / "net_iter_40.solverstate").exists(), "the second snapshot")
    process.kill()
    process.wait()
    root("run", small, "A2B/n0010/S2T/seed0", "--set", more + " resume=true")
    manifest = json.loads((folder / "manifest.json").read_text())
    log = (folder / "caffe.log").read_text()
    assert manifest["attempts"] == 2 and manifest["result"]["iters"] == 300
    assert log.count("Solving") == 2 and "Resuming from" in log
    assert manifest["proofs"]["end"]["frozen_equal"] == 2
    iterations = [int(line.split(",")[0]) for line in (folder / "train.csv").read_text().splitlines()[1:]]
    assert iterations == sorted(set(iterations)) and iterations[-1] == 300


def test_an_engine_that_aborts_is_reported_with_its_last_messages_and_goes_on_once_mended(
    packed, small, tmp_path, checkout
):
    root = packed
    template = tmp_path / "prototxt" / "broken"
    template.mkdir(parents=True)
    text = (checkout / "prototxt" / "mini" / "train_val.prototxt").read_text()
    # Caffe looks at the labels, of which the measurement before the sweep has zeros alone.
    extra = """
layer { name: "one" type: "Slice" bottom: "label" top: "first" top: "others" slice_param { axis: 0 slice_point: 1 }
  include { phase: TEST } }
layer { name: "probe" type: "BatchReindex" bottom: "first" bottom: "label" top: "p" include { phase: TEST } }
layer { name: "rest" type: "Silence" bottom: "others" bottom: "p" include { phase: TEST } }
"""
    (template / "train_val.prototxt").write_text(text + extra)
    said = root("sweep", small, "--set", f"{ONE} model=broken", status=1)
    assert "batch_reindex_layer.cpp" in said and "Check failed" in said
    assert "failed: models/small+model=broken/B2A/n0060/base/seed0/" in said
    assert "1 failed" in root("status", small, "--set", f"{ONE} model=broken")
    assert "failed" in Path("results/small+model=broken/runs.csv").read_text()
    (failed,) = Path("models").rglob("failed.json")
    assert "batch_reindex_layer.cpp" in json.loads(failed.read_text())["error"]
    (template / "train_val.prototxt").write_text(text)
    assert "2 of 2 runs to do" in root("sweep", small, "--set", f"{ONE} model=broken")
    assert not list(Path("models").rglob("failed.json"))


def test_a_template_that_no_engine_can_train_is_told_before_any_work(root, small, tmp_path, checkout):
    template = tmp_path / "prototxt" / "broken"
    template.mkdir(parents=True)
    text = (checkout / "prototxt" / "mini" / "train_val.prototxt").read_text()
    (template / "train_val.prototxt").write_text(
        text.replace('bottom: "pool2" top: "conv3"', 'bottom: "pool9" top: "conv3"')
    )
    assert "layer 'conv3': unknown bottom blob 'pool9'" in root("sweep", small, "--set", "model=broken", status=2)
    assert not Path("data").exists() and not Path("models").exists()


def test_two_processes_never_train_the_same_run(prepared, small):
    calls = [start(prepared, "run", small, "A2B/n0010/S2T/seed0") for _ in range(2)]
    assert [call.wait() for call in calls] == [0, 0]
    assert json.loads((RUN / "manifest.json").read_text())["attempts"] == 1


def test_a_run_that_diverges_is_flagged_and_kept_out_of_the_means(prepared, small):
    said = prepared("run", small, "B2A/n0060/base/seed0", "--set", "base_lr=100000.0")
    assert "DIVERGED" in said
    table = prepared("summarize", small, "--set", "base_lr=100000.0")
    assert "diverged" in table
    rows = Path("results/small+base_lr=100000.0/summary.csv").read_text().splitlines()
    assert rows[1].startswith("60,base,,,0,1")


def test_an_engine_that_copies_nothing_is_caught_by_the_proofs(prepared, small, caffe, tmp_path):
    """A real engine behind a wrapper that drops --weights: the run must not come to a manifest."""
    wrapper = tmp_path / "bin" / "caffe"
    wrapper.parent.mkdir()
    wrapper.write_text(f'''#!/bin/sh
for a; do shift; case $a in --weights=*) ;; *) set -- "$@" "$a";; esac; done
exec "{caffe}" "$@"
''')
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    prepared.environment["CAFFE"] = str(wrapper)
    said = prepared("run", small, "A2B/n0010/S2T/seed0", status=2)
    assert "layer conv1 should start as a copy of the source net's conv1, and does not" in said
    assert not (RUN / "manifest.json").exists()


def test_a_missing_engine_is_told(root, small):
    root.environment["CAFFE"] = "no-such-caffe"
    assert "CAFFE=no-such-caffe: no such executable" in root("sweep", small, status=2)
