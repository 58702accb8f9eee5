"""Starts the engine and copies its output, line by line, to a log and to the caller."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from tools.common.errors import UserError
from tools.common.parent_death import die_with_parent
from tools.training.engine import Engine


class RunFailed(UserError):
    """The engine aborted or stopped early, or its output is inconsistent. The text has its last messages."""


def run_engine(
    engine: Engine,
    arguments: list[str],
    gpu: str | None,
    log: Path,
    on_line: Callable[[str], object],
    append: bool = False,
) -> tuple[int, str]:
    """Runs the engine with `arguments` on `gpu` (None: the CPU). Returns its exit status and the command line.

    Writes the command and then every line of output to the file `log`, and calls `on_line` with each line. The engine
    is killed when this process ends.
    """
    command = [str(engine.path), *arguments, *([] if gpu is None else ["--gpu=0"])]
    environment = os.environ | {"GLOG_logtostderr": "1", "TZ": "UTC"}  # UTC: no hour is skipped or repeated in the log
    environment |= {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
    with open(log, "a" if append else "w", buffering=1) as out:
        print(f"# {' '.join(command)}", file=out)
        with _started(command, environment) as (process, lines):
            for line in lines:
                out.write(line)
                on_line(line)
    return process.returncode, " ".join(command)


def describe_exit(status: int, last_lines: Iterable[str]) -> str:
    """`(exit 1); it said last:` and the lines below it, for the text of a RunFailed."""
    how = f"exit {status}" if status >= 0 else f"signal {-status}"
    return f"({how}); it said last:\n" + ("\n".join(f"    {line}" for line in last_lines) or "    (nothing)")


@contextlib.contextmanager
def _started(command: list[str], environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """The process and its output. It is killed if the body raises, and when this process ends for any reason."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        preexec_fn=die_with_parent,
    )
    assert process.stdout is not None  # stdout=PIPE
    try:
        yield process, process.stdout
    except BaseException:
        process.kill()
        raise
    finally:
        process.stdout.close()
        process.wait()
