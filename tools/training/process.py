"""Starts the engine and tees what it says, line by line: what the verbs that drive it share."""

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tools.common.errors import UserError
from tools.training.engine import Engine


class RunFailed(UserError):
    """The engine aborted or stopped early, or what it said does not add up; the text has its last messages."""


def drive(
    engine: Engine,
    arguments: list[str],
    gpu: str | None,
    log: Path,
    take: Callable[[str], object],
    append: bool = False,
) -> tuple[int, str]:
    """Runs the engine with `arguments` on `gpu` (None: the CPU), and returns its exit status and the command.

    Every line of its output goes into the file `log`, below the command, and to `take`. The engine dies with this
    process.
    """
    command = [str(engine.path), *arguments, *([] if gpu is None else ["--gpu=0"])]
    environment = os.environ | {"GLOG_logtostderr": "1", "TZ": "UTC"}  # UTC: whose log has no hour twice, none left out
    environment |= {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
    with open(log, "a" if append else "w", buffering=1) as out:
        print(f"# {' '.join(command)}", file=out)
        with _started(command, environment) as process:
            for line in process.stdout:
                out.write(line)
                take(line)
    return process.returncode, " ".join(command)


def said_last(status: int, lines: Iterable[str]) -> str:
    """`(exit 1); it said last:` and the lines, for a RunFailed."""
    how = f"exit {status}" if status >= 0 else f"signal {-status}"
    return f"({how}); it said last:\n" + ("\n".join(f"    {line}" for line in lines) or "    (nothing)")


@contextlib.contextmanager
def _started(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen]:
    """The process, its output a stream of lines; it dies with this one, however this one dies."""
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
    try:
        yield process
    except BaseException:
        process.kill()
        raise
    finally:
        process.stdout.close()
        process.wait()


def die_with_parent() -> None:
    """Asks the kernel to kill this process when its parent ends, even by `kill -9` (prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
