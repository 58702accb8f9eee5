"""The command line: `torchcaffe train --solver=...`, with the flags, the messages and the exit codes of `caffe`.

    torchcaffe train --solver=solver.prototxt [--weights=a.caffemodel,b.caffemodel] [--gpu=0]
    torchcaffe train --solver=solver.prototxt --snapshot=x.solverstate
    torchcaffe test --model=net.prototxt --weights=a.caffemodel [--iterations=50] [--gpu=0]
    torchcaffe time --model=net.prototxt [--iterations=50] [--phase=TEST] [--gpu=0]
    torchcaffe device_query [--gpu=all]
    torchcaffe export net.prototxt a.caffemodel --to onnx|pytorch|safetensors --output PATH

`export` (torchcaffe/export) is not Caffe's, nor are its flags, nor --precision, --data and --step, which
common/context.py explains.
Exit codes: 0; 1 for a wrong flag or if PyTorch is missing; 134, as of a process that aborted, for every other error.
PyTorch is imported only when a command runs, so that --version answers at once.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from caffeformat import FormatError
from torchcaffe import __version__

if TYPE_CHECKING:
    from torchcaffe.flags import Flags

_ABORTED = 134
_COMMANDS = ("device_query", "export", "test", "time", "train")


class _NoPyTorch(Exception):
    """PyTorch is not installed."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command in `arguments` (by default, those of the process) and returns the exit code."""
    if arguments is not None:
        return _main(arguments)
    _restore_default_signals()
    try:
        if os.environ.get("TORCHCAFFE_WARM") and not set(_COMMANDS).isdisjoint(sys.argv):
            status = _run_warm()
            if status is not None:
                return status
        return _main(sys.argv[1:])
    finally:
        gc.freeze()  # Python looks for garbage as it ends, among all objects of PyTorch: 0.5 s


def _main(arguments: list[str]) -> int:
    from torchcaffe.flags import USAGE, BadFlag, parse

    try:
        flags, switches, words = parse(arguments)
    except BadFlag as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    if "version" in switches:
        print(f"torchcaffe version {__version__}")
        return 0
    if "help" in switches or (len(words) != 1 and words[:1] != ["export"]):
        print(USAGE, file=sys.stderr)
        return 1 if "help" in switches else 0
    try:
        return _run_logged(words[0], flags, words[1:])
    except _NoPyTorch:
        hint = "run `pip install torch`, or `make torchcaffe` in a checkout"
        print(f"ERROR: torchcaffe needs PyTorch, which is not installed: {hint}", file=sys.stderr)
        return 1


def _run_warm() -> int | None:
    """Runs the command in a worker of the warm parent (torchcaffe/warm), and returns the exit code.

    Returns None if there is no warm parent. This process has then left one behind, if it can. A worker begins in the
    middle of this function, with the arguments of its caller in sys.argv, and ends here.
    """
    from torchcaffe.warm import client, owner
    from torchcaffe.warm.call import this_call

    ancestor = owner.find_owner()
    call = this_call() if ancestor else None
    if ancestor is None or call is None:
        return None
    status = client.run_warm(call, ancestor)
    if status is not None:
        return status
    import numpy  # noqa: F401

    from torchcaffe.warm import parent

    threads = parent.thread_count()
    try:
        _import_commands()
    except ModuleNotFoundError:  # the command reports it
        return None
    if parent.thread_count() == threads and parent.leave(call, ancestor):
        code = _main(sys.argv[1:])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # Python's own end takes longer than the rest: it touches, and so copies, all of PyTorch
    return None


def _import_commands() -> ModuleType:
    """The module that needs PyTorch. Nothing that an import makes is garbage, so the collector, which would look at all
    of PyTorch several times, is off meanwhile."""
    gc.disable()
    try:
        from torchcaffe import commands
    finally:
        gc.enable()
    return commands


def _run_logged(command: str, flags: "Flags", files: list[str]) -> int:
    """Runs a command with the log switched on. An error becomes the line of a failed CHECK."""
    from torchcaffe.common import log
    from torchcaffe.common.log_files import LogFiles

    log.Logger.enabled = True
    log.Logger.level = log.level_of_environment() if flags.minloglevel is None else flags.minloglevel
    log.Logger.files = log_files = LogFiles(Path(flags.log_dir)) if flags.log_dir else None
    try:
        return _run(command, flags, files)
    except FormatError as error:
        place = error.place if isinstance(error, log.Fatal) else ""
        log.fatal(place or "io.cpp:39", f"Check failed: {error}")
        return _ABORTED
    except Exception as error:
        return _report(error)
    finally:
        log.Logger.enabled, log.Logger.level, log.Logger.files = False, 0, None
        if log_files is not None:
            log_files.close()


def _report(error: Exception) -> int:
    """Logs an error of a Python layer, with its traceback, or of PyTorch. Raises any other again."""
    from torchcaffe.common import log

    where = "".join(f" ({note})" for note in getattr(error, "__notes__", []))
    if layer := getattr(error, "python_layer", ""):
        from torchcaffe.common.user_module import own_traceback

        print(own_traceback(error), file=sys.stderr, end="")
        log.fatal("python_layer.hpp:42", f"Check failed: {layer}: {type(error).__name__}: {error}")
    elif not isinstance(error, MemoryError | RuntimeError):
        raise error
    elif "CUDA" in str(error):
        log.fatal("syncedmem.cpp:71", f"Check failed: the GPU reports{where}: {_gpu_message(str(error))}")
    elif _is_out_of_memory(error):
        log.fatal("syncedmem.hpp:34", f"Check failed: allocation failed{where}: {error}")
    else:
        raise error
    return _ABORTED


def _run(command: str, flags: "Flags", files: list[str]) -> int:
    from torchcaffe.common import log

    if command not in _COMMANDS:
        log.error("caffe.cpp:78", "Available caffe actions:")
        for name in _COMMANDS:
            log.error("caffe.cpp:81", f"\t{name}")
        raise log.Fatal(f"Unknown action: {command}", "caffe.cpp:83")
    import numpy as np

    try:
        commands = _import_commands()
    except ModuleNotFoundError as error:
        if error.name == "torch":
            raise _NoPyTorch from None
        raise
    run: Callable[..., int] = getattr(commands, command)
    with np.errstate(all="ignore"):  # as in C: overflow gives inf and 0 / 0 gives nan, without a warning
        return run(flags, files) if command == "export" else run(flags)


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
