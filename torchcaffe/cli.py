"""The command line: `torchcaffe train --solver=...`, with the flags, the messages and the exit codes of `caffe`.

    torchcaffe train --solver=solver.prototxt [--weights=a.caffemodel,b.caffemodel] [--gpu=0]
    torchcaffe train --solver=solver.prototxt --snapshot=x.solverstate
    torchcaffe test --model=net.prototxt --weights=a.caffemodel [--iterations=50] [--gpu=0]
    torchcaffe time --model=net.prototxt [--iterations=50] [--phase=TEST] [--gpu=0]
    torchcaffe device_query [--gpu=all]

Three flags are not Caffe's: --precision, --data and --step. common/context.py explains them.
Exit codes: 0; 1 for a wrong flag or if PyTorch is missing; 134, as of a process that aborted, for every other error.
PyTorch is imported only when a command runs, so that --version answers at once.
"""

import signal
import sys
from collections.abc import Callable

from caffeformat import FormatError
from torchcaffe import __version__
from torchcaffe.flags import USAGE, BadFlag, Flags, parse

_ABORTED = 134
_COMMANDS = ("device_query", "test", "time", "train")


class _NoPyTorch(Exception):
    """PyTorch is not installed."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command in `arguments` (by default, those of the process) and returns the exit code."""
    if arguments is None:
        _restore_default_signals()
    try:
        flags, switches, words = parse(sys.argv[1:] if arguments is None else arguments)
    except BadFlag as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    if "version" in switches:
        print(f"torchcaffe version {__version__}")
        return 0
    if "help" in switches or len(words) != 1:
        print(USAGE, file=sys.stderr)
        return 1 if "help" in switches else 0
    try:
        return _run_logged(words[0], flags)
    except _NoPyTorch:
        hint = "run `pip install torch`, or `make torchcaffe` in a checkout"
        print(f"ERROR: torchcaffe needs PyTorch, which is not installed: {hint}", file=sys.stderr)
        return 1


def _run_logged(command: str, flags: Flags) -> int:
    """Runs a command with the log switched on. An error becomes the line of a failed CHECK."""
    from torchcaffe.common import log

    log.Logger.enabled = True
    try:
        return _run(command, flags)
    except FormatError as error:
        place = error.place if isinstance(error, log.Fatal) else ""
        log.fatal(place or "io.cpp:39", f"Check failed: {error}")
        return _ABORTED
    except (MemoryError, RuntimeError) as error:
        where = "".join(f" ({note})" for note in getattr(error, "__notes__", []))
        if "CUDA" in str(error):
            log.fatal("syncedmem.cpp:71", f"Check failed: the GPU reports{where}: {_gpu_message(str(error))}")
        elif _is_out_of_memory(error):
            log.fatal("syncedmem.hpp:34", f"Check failed: allocation failed{where}: {error}")
        else:
            raise
        return _ABORTED
    finally:
        log.Logger.enabled = False


def _run(command: str, flags: Flags) -> int:
    from torchcaffe.common import log

    if command not in _COMMANDS:
        log.error("caffe.cpp:78", "Available caffe actions:")
        for name in _COMMANDS:
            log.error("caffe.cpp:81", f"\t{name}")
        raise log.Fatal(f"Unknown action: {command}", "caffe.cpp:83")
    import numpy as np

    try:
        from torchcaffe import commands
    except ModuleNotFoundError as error:
        if error.name == "torch":
            raise _NoPyTorch from None
        raise
    run: Callable[[Flags], int] = getattr(commands, command)
    with np.errstate(all="ignore"):  # as in C: overflow gives inf and 0 / 0 gives nan, without a warning
        return run(flags)


def _gpu_message(text: str) -> str:
    """PyTorch's first line, with advice for the two usual causes."""
    first_line = text.splitlines()[0]
    if "out of memory" in text:
        return f"{first_line} Give a smaller batch_size, or --data=streamed, or another GPU"
    if "assert" in text:
        return f"{first_line}. A label outside of the classes does this; to see which, run on the CPU: leave out --gpu"
    return first_line


def _is_out_of_memory(error: Exception) -> bool:
    """numpy raises MemoryError. PyTorch raises a RuntimeError that only its text identifies."""
    return isinstance(error, MemoryError) or "allocate memory" in str(error)


def _restore_default_signals() -> None:
    """As in a C program, Ctrl-C (unless a command handles it) and a closed log pipe end the process without a message.

    Python would raise KeyboardInterrupt and BrokenPipeError instead.
    """
    for number in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
