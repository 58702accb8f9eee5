"""What the graph gets, and what it says of its end. Whole graphs are in tests/sweep."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.helpers.shell_scripts import stand_in
from tools.planning.graph import PYTHON, _command, carry_out, graph_of
from tools.planning.job import GRAPH
from tools.planning.stages import RESULTS
from tools.planning.state import make_plan
from tools.protocol.experiment import Experiment, load
from tools.protocol.runs import find_run, runs_of
from tools.training.engine import Engine


def test_the_graph_has_what_is_to_do_and_each_runs_source_if_that_is_to_do(trained: Experiment, engine: Engine) -> None:
    for key in ("A2B/n0004/S1T/seed0", "A2B/n0004/base/seed0"):
        find_run(trained, "caffe", key).manifest.unlink()
    graph = graph_of(trained, make_plan(trained, engine))
    assert graph == {
        "root": os.getcwd(),
        "options": {"pack": ("--needed",)},
        "arguments": ["--set=", "--", "experiments/quick.yaml"],
        "tables": list(RESULTS),
        "stages": list(RESULTS),
        "runs": {"A2B/n0004/base/seed0": None, "A2B/n0004/S1T/seed0": None},
        "priorities": {},
    }
    find_run(trained, "caffe", "B2A/n0012/base/seed0").manifest.unlink()
    runs = graph_of(trained, make_plan(trained, engine))["runs"]
    assert runs == {
        "B2A/n0012/base/seed0": None,
        "A2B/n0012/S1T/seed0": "B2A/n0012/base/seed0",
        "A2B/n0004/base/seed0": None,
        "A2B/n0004/S1T/seed0": "B2A/n0012/base/seed0",
    }


def test_runs_that_others_wait_for_begin_first_then_those_that_take_longer(
    trained: Experiment, engine: Engine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    exp = load(trained.file, "conditions=[S1T,base,base+] sizes=[4]")
    for run in runs_of(exp, "caffe"):
        run.manifest.unlink(missing_ok=True)
    monkeypatch.setenv("SNAKEMAKE_FLAGS", "--until run")  # which leaves out S1T, too, that waits for a run
    assert carry_out(exp, engine, make_plan(exp, engine), 1).status == 0
    ended = re.findall(r"\[\d/4\] (\S+):", capfd.readouterr().out)
    assert ended == ["B2A/n0012/base/seed0", "A2B/n0004/base+/seed0", "A2B/n0004/base/seed0"]


@pytest.mark.parametrize(
    ("flags", "status", "messages"),
    [("--no-such-option", 2, "Snakemake: exit 2"), ("--dry-run", 0, "")],
)
def test_a_graph_that_fails_by_itself_says_how(
    trained: Experiment, engine: Engine, monkeypatch: pytest.MonkeyPatch, flags: str, status: int, messages: str
) -> None:
    find_run(trained, "caffe", "A2B/n0004/base/seed0").manifest.unlink()
    monkeypatch.setenv("SNAKEMAKE_FLAGS", flags)
    monkeypatch.setenv("HOME", "/dev/null")
    outcome = carry_out(trained, engine, make_plan(trained, engine), 1)
    assert (outcome.status, outcome.failed, outcome.messages) == (status, {}, messages)
    assert not [path for path in Path("results/quick").iterdir() if "graph" in path.name]


def test_what_snakemake_says_is_kept_for_an_end_that_nothing_explains(
    trained: Experiment, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job whose shell cannot start leaves no note."""
    find_run(trained, "caffe", "A2B/n0004/base/seed0").manifest.unlink()
    monkeypatch.setattr("tools.planning.graph.PYTHON", "NOT_SET")
    outcome = carry_out(trained, engine, make_plan(trained, engine), 1)
    assert outcome.status == 1 and not outcome.failed
    assert outcome.messages.startswith("Snakemake: exit 1\n") and "run" in outcome.messages


@pytest.mark.parametrize("given", [None, pytest.param("0", marks=pytest.mark.slow)])
def test_the_jobs_engines_may_start_warm_for_as_long_as_the_sweep_runs(
    trained: Experiment, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str | None
) -> None:
    """TORCHCAFFE_WARM is the sweep's process id, unless the user has set it."""
    find_run(trained, "caffe", "A2B/n0004/base/seed0").manifest.unlink()
    monkeypatch.delenv("TORCHCAFFE_WARM", raising=False)
    if given is not None:
        monkeypatch.setenv("TORCHCAFFE_WARM", given)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$TORCHCAFFE_WARM" > {tmp_path}/given\nexit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr("tools.planning.graph.PYTHON", "NOT_USED")
    monkeypatch.setenv("TOOLS_PYTHON", str(python))
    carry_out(trained, engine, make_plan(trained, engine), 1)
    assert (tmp_path / "given").read_text().strip() == (given or str(os.getpid()))


def test_the_runs_of_a_sweep_do_not_ask_again_for_openblas_kernels(
    trained: Experiment, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = f'[ -z "$OPENBLAS_VERBOSE" ] || echo >> "{tmp_path}/asked"; exec "{engine.path}" "$@"'
    own = Engine(stand_in(tmp_path / "bin", "caffe", notes))
    monkeypatch.setenv("CAFFE", str(own.path))
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    for key in ("A2B/n0004/base/seed0", "A2B/n0004/S1T/seed0", "A2B/n0012/S1T/seed0"):
        find_run(trained, "caffe", key).manifest.unlink()
    assert carry_out(trained, own, make_plan(trained, own), 1).status == 0
    assert len((tmp_path / "asked").read_text()) <= 2  # by the sweep, and by its warm process or once more


def test_snakemake_does_not_get_a_thread_more_for_each_job_that_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its limit of starts a second would bring one, which wakes it each second."""
    runs = {f"A2B/n0004/base/seed{seed}": None for seed in range(8)}
    graph = {"stages": ["summarize"], "tables": ["summarize"], "runs": runs, "priorities": {}}
    (tmp_path / GRAPH).write_text(json.dumps(graph))
    counts = "for mark; do :; done; mkdir -p $(dirname $mark); ls /proc/$PPID/task | wc -l | tee -a threads > $mark"
    monkeypatch.setenv(PYTHON, str(stand_in(tmp_path, "job", counts)))
    subprocess.run(_command(tmp_path, 1), check=True)
    threads = list(map(int, (tmp_path / "threads").read_text().split()))
    assert len(threads) == 9 and max(threads) <= threads[0] + 1
