"""Running the engine: its log, the lines that the caller sees, its exit status, and that it dies with the caller."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.shell_scripts import stand_in
from tools.training.engine import Engine
from tools.training.process import describe_exit, run_engine

TALKS = 'echo "$@"; echo "gpu=$CUDA_VISIBLE_DEVICES tz=$TZ" >&2; printf "\\377 no UTF-8\\n"; exit 3'


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """A program that prints its arguments, its GPU and a line that is no text, and exits with 3."""
    return Engine(stand_in(tmp_path, "talks", TALKS))


def test_every_line_goes_into_the_log_below_the_command_and_to_the_caller(engine: Engine, tmp_path: Path) -> None:
    lines: list[str] = []
    status, command = run_engine(engine, ["train", "--solver=x"], None, tmp_path / "log", lines.append)
    assert (status, command) == (3, f"{engine.path} train --solver=x")
    assert lines[0] == "train --solver=x\n"
    assert lines[1].endswith("tz=UTC\n")
    assert lines[2] == "\ufffd no UTF-8\n"
    assert (tmp_path / "log").read_text() == f"# {command}\n" + "".join(lines)


def test_on_a_gpu_the_engine_sees_that_one_alone(engine: Engine, tmp_path: Path) -> None:
    lines: list[str] = []
    _, command = run_engine(engine, ["train"], "5", tmp_path / "log", lines.append)
    assert command.endswith("train --gpu=0")
    assert lines[1] == "gpu=5 tz=UTC\n"


def test_a_log_can_be_continued(engine: Engine, tmp_path: Path) -> None:
    for append in (False, False, True):
        run_engine(engine, ["train"], None, tmp_path / "log", lambda line: None, append)
    assert (tmp_path / "log").read_text().count("# ") == 2


def test_real_caffe_fails_with_its_own_words(caffe: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    status, _ = run_engine(
        Engine(caffe), ["train", f"--solver={tmp_path}/none.prototxt"], None, tmp_path / "log", lines.append
    )
    assert status == -signal.SIGABRT
    assert any("none.prototxt" in line for line in lines)
    assert describe_exit(status, ["one", "two"]) == "(signal 6); it said last:\n    one\n    two"
    assert describe_exit(2, []) == "(exit 2); it said last:\n    (nothing)"


def test_an_error_of_the_caller_ends_the_engine(tmp_path: Path) -> None:
    engine = Engine(stand_in(tmp_path, "endless", "echo $$; [ $1 = --version ] || exec sleep 600"))
    pids: list[int] = []

    def fail(line: str) -> None:
        pids.append(int(line))
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        run_engine(engine, ["train"], None, tmp_path / "log", fail)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_the_engine_dies_with_a_caller_that_is_killed(tmp_path: Path, checkout: Path) -> None:
    engine = stand_in(tmp_path, "endless", "echo $$ > pid; exec sleep 600")
    code = (
        "from pathlib import Path; from tools.training.engine import Engine; "
        "from tools.training.process import run_engine\n"
        f"run_engine(Engine(Path({str(engine)!r})), [], None, Path('log'), print)"
    )
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    caller = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment)
    give_up = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert caller.poll() is None and time.monotonic() < give_up
        time.sleep(0.02)
    caller.kill()
    caller.wait()
    stat = Path("/proc") / (tmp_path / "pid").read_text().strip() / "stat"
    while stat.exists() and stat.read_text().rpartition(") ")[2][0] != "Z":
        assert time.monotonic() < give_up, "the engine is still there"
        time.sleep(0.02)


def test_the_engine_gets_the_precision_unless_it_is_fp32(engine: Engine, tmp_path: Path) -> None:
    rounding = replace(engine, precision="bf16")
    _, command = run_engine(rounding, ["train", "--solver=x"], "5", tmp_path / "log", lambda line: None)
    assert command == f"{engine.path} train --solver=x --precision=bf16 --gpu=0"
