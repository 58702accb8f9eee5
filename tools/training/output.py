"""The output of a program, line by line, within bounds of memory and time.

A program may hang, print without an end, print a line without an end, print what is no text, close its output and run
on, or end and leave a process behind that holds its output open. None of these may hold up the caller or fill memory.
"""

import codecs
import contextlib
import io
import os
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tools.common.errors import UserError
from tools.common.parent_death import with_this_process

LINE = 1 << 16  # characters of a line that are kept
MOST = 1 << 30  # bytes of output, for a program whose output is written to a log
ANSWER = 1 << 20  # bytes of output, for a program that is asked one question
SILENCE = 3600.0  # seconds
PATIENCE = 120.0  # seconds that a program has to answer a question
_LEAST = 64  # bytes that a line counts as at least, for a short one takes as much time to read
_STEP = 1.0  # seconds; the longest wait for output at a time
_KILLED = 30.0  # seconds to wait for the end of a killed program
_LEFT_OPEN = 3.0  # seconds to wait for output after the program has ended


class OutputFault(UserError):
    """A program printed nothing for too long, or too much."""


def silence_allowed(otherwise: float = SILENCE) -> float:
    """ENGINE_SILENCE in seconds, or `otherwise` if it is not set. Raises UserError if it is not a number above 0."""
    given = os.environ.get("ENGINE_SILENCE")
    if not given:
        return otherwise
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UserError(f"ENGINE_SILENCE={given}: not a number of seconds; ENGINE_SILENCE=7200 waits for two hours")
    return seconds


def lines_of(process: "subprocess.Popen[bytes]", silence: float, most: int = MOST) -> Iterator[str]:
    """The lines that `process` prints on its stdout, a pipe, each with its line end; then waits for the process.

    Bytes that are not UTF-8 are replaced. Of a line longer than LINE characters the rest is left out. Raises
    OutputFault after `silence` seconds without a whole line, and after `most` bytes (a line counts as 64 at least).
    Time in which this process is stopped (Ctrl-Z) or does other work does not count.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)
    rest, waited, count = "", 0.0, 0
    for seconds, data in _pieces(process, min(_STEP, silence)):
        waited += seconds
        count += len(data)
        if count > most:
            raise OutputFault(f"printed more than {most:,} bytes")
        lines = (rest + decoder.decode(data, final=False)).split("\n")
        rest = _cut(lines.pop())
        count += sum(max(0, _LEAST - len(line)) for line in lines)
        for line in lines:
            waited = 0.0
            yield _cut(line) + "\n"
        if waited >= silence:
            raise OutputFault(f"printed no line for {silence:g} s (ENGINE_SILENCE sets this time)")
    rest += decoder.decode(b"", final=True)
    if rest:
        yield _cut(rest)
    try:
        process.wait(silence)
    except subprocess.TimeoutExpired:
        raise OutputFault(f"closed its output, and did not end in {silence:g} s") from None


def answer_of(
    command: list[str | Path], with_stderr: bool = True, more: dict[str, str] | None = None
) -> tuple[int, list[str]]:
    """Runs a program that answers at once, with `more` in its environment. Returns its exit status, and the lines of
    its stdout (and stderr).

    Raises OSError if it cannot be started, OutputFault if it does not end within ENGINE_SILENCE (by default two
    minutes) or prints more than ANSWER bytes.
    """
    patience = silence_allowed(PATIENCE)
    deadline = time.monotonic() + patience
    stderr = subprocess.STDOUT if with_stderr else subprocess.DEVNULL
    process = started(command, os.environ | more if more else None, stderr)
    lines = []
    with ended(process):
        for line in lines_of(process, patience, ANSWER):
            lines.append(line.rstrip("\n"))
            if time.monotonic() > deadline:
                raise OutputFault(f"did not end in {patience:g} s (ENGINE_SILENCE sets this time)")
    return process.returncode, lines


def started(
    command: list[str | Path], environment: dict[str, str] | None = None, stderr: int = subprocess.STDOUT
) -> "subprocess.Popen[bytes]":
    """The started program, with its stdout (and stderr) in a pipe. It is killed when this process ends."""
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        preexec_fn=with_this_process(),
    )


@contextlib.contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """At the end of the context the process has ended. It is killed if the body raises."""
    try:
        yield
    except BaseException:
        process.kill()
        raise
    finally:
        _pipe(process).close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # a process that waits for a dead disk cannot be killed
            process.wait(_KILLED)


def _pieces(process: "subprocess.Popen[bytes]", step: float) -> Iterator[tuple[float, bytes]]:
    """Pairs: seconds waited, and what came then (possibly nothing). Ends at the end of the output."""
    pipe = _pipe(process)
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    left_open = 0.0
    while True:
        began = time.monotonic()
        ready = poll.poll(step * 1000)
        waited = min(step, time.monotonic() - began)
        data = os.read(pipe.fileno(), 1 << 16) if ready else b""
        if ready and not data:
            return
        if not ready and process.poll() is not None:
            left_open += waited
            if left_open >= _LEFT_OPEN:
                return
        yield waited, data


def _cut(line: str) -> str:
    return line if len(line) <= LINE else line[: LINE - 3] + "..."


def _pipe(process: "subprocess.Popen[bytes]") -> IO[bytes]:
    assert process.stdout is not None, "it was started with a pipe"
    return process.stdout
