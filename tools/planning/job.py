"""One job of the graph: has a verb done, and leaves a mark if it succeeded, else a note of how it ended.

    python -m tools.planning.job PARENT MARK

Snakefile starts it in the sweep's own folder. PARENT is Snakemake's process id. MARK is a verb (`split`) or a run
(`run/A2B/n0300/S3T/seed0`), and the file to make. This process and the verb end when Snakemake ends.
The verb is a process of the sweep's warm process (warm.py) if there is one, otherwise a new one.
Of the verbs that write into results/<experiment>/ one works at a time, for another sweep may be there, too.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tools.common.files import lock
from tools.common.parent_death import die_with_parent, with_this_process

Result = TypeVar("Result")

GRAPH = "graph.json"  # what the graph holds, in the sweep's folder
MESSAGES = "snakemake.log"  # Snakemake's own, in that folder
NOTE = ".failed"  # ending of the note beside a mark
WARM = "warm"  # the socket of the warm process, in that folder
PYTHON = "TOOLS_PYTHON"  # the environment variable that names the interpreter: so no path is in a shell command


def command(parent: int, mark: str) -> str:
    """The shell command of a job. The shell is replaced by it, so that it is a child of Snakemake, process `parent`.

    -S: the job itself needs no installed package, and starts in half the time without a look for them.
    """
    return f'exec "${PYTHON}" -P -S -m tools.planning.job {parent} {mark}'


def arguments_of(graph: dict[str, Any], mark: str) -> list[str]:
    """The arguments of `python -m tools` for a mark."""
    verb, _, run = mark.partition("/")
    return [verb, *graph["options"].get(verb, []), *graph["arguments"], *([run] if run else [])]


def main() -> int:
    die_with_parent(int(sys.argv[1]))
    mark = sys.argv[2]
    graph = json.loads(Path(GRAPH).read_text(encoding="ascii"))
    verb, _, run = mark.partition("/")
    with lock(Path("..", ".tables.lock")) if verb in graph["tables"] else contextlib.nullcontext():
        status = _done_warm(mark)
        if status is None:
            status = _done_cold(graph, mark)
    if status:
        how = describe(status)
        if status < 0:
            print(f"error: {' '.join(filter(None, (verb, run)))}: {how}", file=sys.stderr)
        with contextlib.suppress(FileNotFoundError):  # an interrupted sweep removes its folder: nobody reads the note
            Path(mark + NOTE).write_text(how, encoding="utf-8")
        return status if status > 0 else 128 - status
    _age(graph, mark)
    Path(mark).touch()
    return 0


def _done_warm(mark: str) -> int | None:
    """How the verb ended in a process of the warm process: as `Popen.returncode`. None if there is no warm process."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as warm:
        try:
            warm.connect(WARM)
            warm.send(mark.encode("ascii"))
        except OSError:
            return None
        try:
            answer = _through_interrupts(lambda: warm.recv(16))
        except ConnectionResetError:
            answer = b""
    return int(answer or -signal.SIGKILL)  # it ends together with the warm process


def _done_cold(graph: dict[str, Any], mark: str) -> int:
    command = [sys.executable, "-m", "tools", *arguments_of(graph, mark)]
    process = subprocess.Popen(command, cwd=graph["root"], stdin=subprocess.DEVNULL, preexec_fn=with_this_process())
    return _through_interrupts(process.wait)


def _through_interrupts(wait: Callable[[], Result]) -> Result:
    while True:
        try:
            return wait()
        except KeyboardInterrupt:  # Ctrl-C reaches the verb, too, which ends by itself
            continue


def describe(status: int) -> str:
    """`exit 2`; for a signal its name, and for SIGKILL what sends it."""
    if status >= 0:
        return f"exit {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = "unknown"
    cause = ""
    if -status == signal.SIGKILL:
        cause = ": most likely for lack of memory (see `dmesg`, or the limit of the container); use fewer JOBS"
    return f"killed by signal {-status} ({name}){cause}"


def _age(graph: dict[str, Any], mark: str) -> None:
    """Gives the marks that this job waited for the oldest time.

    Snakemake fails a job whose output is older than an input, as it is where the clock was set back between the two.
    """
    runs = graph["runs"]
    waited_for = runs if mark == "summarize" else filter(None, [runs.get(mark.removeprefix("run/"))])
    for name in [*graph["stages"], *(f"run/{run}" for run in waited_for)]:
        if Path(name).exists():
            os.utime(name, (0, 0))


if __name__ == "__main__":
    sys.exit(main())
