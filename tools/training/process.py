"""Starts the engine and copies its output, line by line, to a log and to the caller."""

import os
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from tools.common.errors import UserError
from tools.common.files import naming
from tools.training import kernels, output
from tools.training.engine import Engine
from tools.training.output import OutputFault, ended, lines_of, started

_KEPT = 6  # lines that are quoted
_SHORTENED = 1 << 20  # bytes that are left of a log without an end, at its beginning and at its end


class RunFailed(UserError):
    """The engine aborted or stopped early, or its output is inconsistent. The text has its last messages."""


class Contradiction(RunFailed):
    """What a finished training left behind does not fit together: it has to be trained again."""


def run_engine(
    engine: Engine,
    arguments: list[str],
    gpu: str | None,
    log: Path,
    on_line: Callable[[str], object],
    append: bool = False,
    silence: float | None = None,
    most: int | None = None,
) -> tuple[int, str]:
    """Runs the engine with `arguments` on `gpu` (None: the CPU). Returns its exit status and the command line.

    Writes the command and then every line of output to the file `log`, and calls `on_line` with each line. The engine
    is killed when this process ends. Raises RunFailed, and ends the engine, if it prints no line for `silence` seconds
    (by default ENGINE_SILENCE, or an hour) or more than `most` bytes (by default 1 GB); of such a log the beginning and
    the end are kept. An OutputFault of `on_line` is the same.
    """
    command = [str(engine.path), *arguments, *engine.flags, *([] if gpu is None else ["--gpu=0"])]
    environment = kernels.environment(engine)
    environment |= {"GLOG_logtostderr": "1", "TZ": "UTC"}  # UTC: no hour is skipped or repeated in the log
    environment |= {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
    silence = silence or output.silence_allowed()
    last: deque[str] = deque(maxlen=_KEPT)
    if append:
        _end_last_line(log)
    with naming(log), open(log, "ab" if append else "wb", buffering=0) as out:
        out.write(f"# {' '.join(command)}\n".encode(errors="surrogateescape"))
        process = started([*command], environment)
        try:
            with ended(process):
                for line in lines_of(process, silence, most or output.MOST):
                    out.write(line.encode())
                    last.append(line[:1000].rstrip("\n"))
                    on_line(line)
        except OutputFault as fault:
            _shorten(log)
            raise RunFailed(f"{log}: {engine.name} {fault}, and was ended; {last_words(last)}") from None
    return process.returncode, " ".join(command)


def describe_exit(status: int, last_lines: Iterable[str]) -> str:
    """`(exit 1); it said last:` and the lines below it, for the text of a RunFailed."""
    how = f"exit {status}" if status >= 0 else f"signal {-status}"
    return f"({how}); {last_words(last_lines)}"


def last_words(lines: Iterable[str]) -> str:
    """`it said last:` and the lines below it."""
    return "it said last:\n" + ("\n".join(f"    {line}" for line in lines) or "    (nothing)")


def _end_last_line(log: Path) -> None:
    """Ends the last line of a log whose writer was killed in the middle of it."""
    with open(log, "a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")


def _shorten(log: Path) -> None:
    """Leaves the first and the last MB of a large log, with a line between that says so."""
    if not log.is_file() or (size := log.stat().st_size) <= 3 * _SHORTENED:
        return
    with open(log, "r+b") as file:
        file.seek(size - _SHORTENED)
        end = file.read()
        file.truncate(_SHORTENED)
        file.seek(_SHORTENED)
        file.write(b"\n# (%d bytes were left out here)\n" % (size - 2 * _SHORTENED) + end)
