"""Programs that hang, flood or print what is no text: small broken ones, in shell and Python."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.shell_scripts import stand_in
from tools.common.errors import UserError
from tools.training import output
from tools.training.engine import Engine, NoEngine
from tools.training.output import LINE, OutputFault, answer_of, ended, lines_of, silence_allowed, started
from tools.training.process import RunFailed, run_engine


def printed(folder: Path, script: str, silence: float = 10, most: int = output.MOST) -> list[str]:
    process = started([stand_in(folder, "program", script)])
    with ended(process):
        return list(lines_of(process, silence, most))


def test_lines_come_as_they_are_printed_whatever_ends_them(tmp_path: Path) -> None:
    assert printed(tmp_path, r"printf 'one\ntwo\r\nthree\rfour \303\244 \377\0x\nno end'; echo five >&2") == [
        "one\n",
        "two\n",
        "three\n",
        "four ä \ufffd\0x\n",
        "no endfive\n",
    ]
    assert printed(tmp_path, r"printf 'a \303'; sleep 0.3; printf '\244 b'") == ["a ä b"]
    assert printed(tmp_path, "exit 3") == []


@pytest.mark.parametrize(
    "script",
    ["echo ready; sleep 600", "echo ready; while :; do printf .; sleep 0.1; done", "echo ready; kill -STOP $$; exit 0"],
    ids=["prints nothing", "prints no line end", "is stopped"],
)
def test_a_program_without_a_line_is_ended(tmp_path: Path, script: str) -> None:
    began = time.monotonic()
    with pytest.raises(OutputFault, match=r"printed no line for 0\.5 s \(ENGINE_SILENCE sets this time\)"):
        printed(tmp_path, script, silence=0.5)
    assert time.monotonic() - began < 5


def test_lines_at_intervals_and_work_of_the_caller_are_no_silence(tmp_path: Path) -> None:
    process = started([stand_in(tmp_path, "program", "for n in 1 2 3 4 5 6; do echo $n; sleep 0.2; done")])
    with ended(process):
        for number, line in enumerate(lines_of(process, 0.5)):
            assert line == f"{number + 1}\n"
            time.sleep(0.7 if number == 2 else 0)


def test_a_line_without_an_end_costs_no_memory(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(OutputFault, match="printed more than 300,000,000 bytes"):
        printed(tmp_path, "exec tr '\\0' x < /dev/zero", most=300_000_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB
    (line,) = printed(tmp_path, "head -c 200000 /dev/zero | tr '\\0' x; echo")
    assert line == "x" * (LINE - 3) + "...\n"


@pytest.mark.parametrize("still", ["sleep 15 & exit 0", "(sleep 15; echo late) & exit 0"])
def test_a_process_that_is_left_behind_does_not_hold_up_the_caller(tmp_path: Path, still: str) -> None:
    began = time.monotonic()
    assert printed(tmp_path, f"echo $$; {still}", silence=60)
    assert time.monotonic() - began < 10


def test_a_program_that_closes_its_output_may_run_on_for_a_while_but_not_for_ever(tmp_path: Path) -> None:
    assert printed(tmp_path, "echo ready; exec >&- 2>&-; sleep 0.5") == ["ready\n"]
    with pytest.raises(OutputFault, match=r"closed its output, and did not end in 0\.3 s"):
        printed(tmp_path, "echo ready; exec >&- 2>&-; sleep 600", silence=0.3)


def test_time_in_which_the_caller_is_stopped_does_not_count(tmp_path: Path, checkout: Path) -> None:
    engine = stand_in(tmp_path, "slow", "echo one; sleep 2; echo two")
    code = (
        "from tools.training.output import *\n"
        f"process = started([{str(engine)!r}])\n"
        "with ended(process):\n    for line in lines_of(process, 1.5): print(line, end='', flush=True)"
    )
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    caller = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    assert caller.stdout and caller.stdout.readline() == "one\n"
    caller.send_signal(signal.SIGSTOP)
    time.sleep(2.5)
    caller.send_signal(signal.SIGCONT)
    assert caller.stdout.read() == "two\n" and caller.wait() == 0


def test_an_answer_has_little_time_and_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer_of([stand_in(tmp_path, "a", "echo yes; echo why >&2; exit 4")]) == (4, ["yes", "why"])
    assert answer_of([stand_in(tmp_path, "a", "echo yes; echo why >&2")], with_stderr=False) == (0, ["yes"])
    with pytest.raises(OutputFault, match="printed more than 1,048,576 bytes"):
        answer_of([stand_in(tmp_path, "a", "exec yes")])
    monkeypatch.setenv("ENGINE_SILENCE", "0.5")
    for script in ("sleep 600", "while :; do echo; sleep 0.1; done"):
        with pytest.raises(OutputFault, match=r"0\.5 s \(ENGINE_SILENCE sets this time\)"):
            answer_of([stand_in(tmp_path, "a", script)])


def test_the_time_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENGINE_SILENCE", raising=False)
    assert (silence_allowed(), silence_allowed(600)) == (3600, 600)
    monkeypatch.setenv("ENGINE_SILENCE", "7200")
    assert silence_allowed(600) == 7200
    for wrong in ("0", "-1", "nan", "inf", "1h"):
        monkeypatch.setenv("ENGINE_SILENCE", wrong)
        with pytest.raises(UserError, match=f"ENGINE_SILENCE={wrong}: not a number of seconds; ENGINE_SILENCE=7200"):
            silence_allowed()


def test_an_engine_whose_version_hangs_or_floods_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_SILENCE", "0.5")
    for script, what in (("sleep 600", r"printed no line for 0\.5 s"), ("exec yes", "printed more than 1,048,576")):
        with pytest.raises(NoEngine, match=rf"caffe --version: {what}"):
            Engine(stand_in(tmp_path, "caffe", script)).version  # noqa: B018
    script = "echo a warning >&2; printf '\\377caffe version 1.0.0\\nmore\\n'"
    assert Engine(stand_in(tmp_path, "caffe", script)).version == "\ufffdcaffe version 1.0.0"


def test_a_training_that_hangs_is_ended_with_its_last_messages(tmp_path: Path) -> None:
    script = "echo $$; for n in 1 2 3 4 5 6; do echo line $n; done; [ $1 = --version ] || exec sleep 600"
    engine = Engine(stand_in(tmp_path, "caffe", script))
    lines: list[str] = []
    with pytest.raises(RunFailed) as failed:
        run_engine(engine, ["train"], None, tmp_path / "log", lines.append, silence=0.5)
    said = str(failed.value).splitlines()
    assert said[0] == (
        f"{tmp_path}/log: caffe printed no line for 0.5 s (ENGINE_SILENCE sets this time), and was ended; it said last:"
    )
    assert said[1:] == [f"    line {n}" for n in range(1, 7)]
    with pytest.raises(ProcessLookupError):
        os.kill(int(lines[0]), 0)


def test_of_a_log_without_an_end_the_beginning_and_the_end_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "MOST", 20_000_000)
    engine = Engine(stand_in(tmp_path, "caffe", "echo first; exec yes it goes on and on and on"))
    with pytest.raises(RunFailed, match=r"(?s)log: caffe printed more than 20,000,000 bytes, and was ended; it said"):
        run_engine(engine, ["train"], None, tmp_path / "log", lambda line: None)
    text = (tmp_path / "log").read_text()
    assert len(text) < 3_000_000
    assert text.startswith(f"# {engine.path} train\nfirst\n") and text.endswith("it goes on and on and on\n")
    assert "bytes were left out here)" in text
