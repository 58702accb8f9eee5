"""A job of the graph: the mark or note that it leaves, the times of the marks that it waited for, and its end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tools.planning.job import GRAPH, NOTE, command, describe

STAND_IN = """\
import os, signal, sys, time
print(os.getcwd(), sys.argv[1:], flush=True)
what = sys.argv[2]
if what.startswith("signal"):
    os.kill(os.getpid(), int(what.split()[1]))
time.sleep(600 if what == "sleep" else 0)
sys.exit(int(what) if what.isdigit() else 0)
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep's folder, and beside it a root with a `tools` that does what its first argument says."""
    (tmp_path / "root" / "tools").mkdir(parents=True)
    (tmp_path / "root" / "tools" / "__init__.py").touch()
    (tmp_path / "root" / "tools" / "__main__.py").write_text(STAND_IN)
    (tmp_path / "sweep" / "run" / "A2B" / "n0004" / "base").mkdir(parents=True)
    return tmp_path / "sweep"


def job(sweep: Path, mark: str, *arguments: str, runs: dict[str, str | None] | None = None) -> "subprocess.Popen[str]":
    """Starts the job as Snakemake does, through a shell."""
    root = str(sweep.parent / "root")
    graph = {"root": root, "arguments": arguments, "stages": ["mean", "summarize"], "runs": runs or {}}
    graph |= {"tables": ["summarize", "claims"], "options": {"pack": ["--needed"]}}
    (sweep / GRAPH).write_text(json.dumps(graph))
    environment = os.environ | {"TOOLS_PYTHON": sys.executable, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.Popen(
        ["bash", "-c", command(os.getpid(), mark)],
        cwd=sweep,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_verb_that_succeeds_leaves_a_mark(sweep: Path) -> None:
    process = job(sweep, "mean", "x $(touch pwned) {x}.yaml", "--set", "path='a b'")
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    arguments = ["mean", "x $(touch pwned) {x}.yaml", "--set", "path='a b'"]
    assert out == f"{sweep.parent / 'root'} {arguments}\n"
    assert (sweep / "mean").exists() and not list(sweep.rglob(f"*{NOTE}"))
    assert not list(sweep.parent.rglob("pwned"))


def test_the_options_of_a_verb_come_first(sweep: Path) -> None:
    out, _ = job(sweep, "pack", "--", "x.yaml").communicate()
    assert out.endswith(" ['pack', '--needed', '--', 'x.yaml']\n")


def test_a_run_is_named_after_the_arguments(sweep: Path) -> None:
    out, _ = job(sweep, "run/A2B/n0004/base/seed0", "x.yaml").communicate()
    assert out.endswith("['run', 'x.yaml', 'A2B/n0004/base/seed0']\n")
    assert (sweep / "run/A2B/n0004/base/seed0").exists()


@pytest.mark.parametrize(
    ("what", "status", "note", "said"),
    [
        ("2", 2, "exit 2", ""),
        ("signal 9", 137, "killed by signal 9 (SIGKILL): most likely for lack of memory", "error: mean: killed by sig"),
        ("signal 11", 139, "killed by signal 11 (SIGSEGV)", "error: mean: killed by signal 11 (SIGSEGV)\n"),
    ],
)
def test_a_verb_that_fails_leaves_a_note_of_how(sweep: Path, what: str, status: int, note: str, said: str) -> None:
    process = job(sweep, "mean", what)
    _, err = process.communicate()
    assert process.returncode == status
    assert (sweep / f"mean{NOTE}").read_text().startswith(note)
    assert err.startswith(said) and not (sweep / "mean").exists()


def test_a_job_makes_the_marks_that_it_waited_for_old_and_no_others(sweep: Path) -> None:
    """So that its own mark is newer whatever the clock says."""
    source, own, other = (f"A2B/n0004/base/seed{n}" for n in range(3))
    for mark in ("mean", f"run/{source}", f"run/{other}"):
        (sweep / mark).touch()
    job(sweep, f"run/{own}", "x.yaml", runs={source: None, own: source, other: None}).communicate()
    old = {str(path.relative_to(sweep)) for path in sweep.rglob("*") if path.is_file() and path.stat().st_mtime == 0}
    assert old == {"mean", f"run/{source}"}


def test_verbs_of_tables_take_turns_with_those_of_another_sweep(sweep: Path) -> None:
    other = sweep.with_name("other")
    other.mkdir()
    first = job(sweep, "summarize", "sleep")
    assert first.stdout is not None and "summarize" in first.stdout.readline()
    second, data = job(other, "claims", "0"), job(sweep, "mean", "0")
    assert data.wait() == 0
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(0.5)
    first.kill()
    assert second.wait() == 0
    first.communicate()


def test_the_verb_ends_with_its_job(sweep: Path) -> None:
    process = job(sweep, "mean", "sleep")
    assert process.stdout is not None
    process.stdout.readline()
    (verb,) = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    end = time.monotonic() + 5
    while verb.is_running() and verb.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_unknown_signal_has_a_number_only() -> None:
    assert describe(-99) == "killed by signal 99 (unknown)"
