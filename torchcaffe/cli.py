"""The command line: `torchcaffe train --solver=...`, with the flags, the messages and the exit codes of `caffe`.

    torchcaffe train --solver=solver.prototxt [--weights=a.caffemodel,b.caffemodel] [--gpu=0]
    torchcaffe train --solver=solver.prototxt --snapshot=x.solverstate
    torchcaffe test --model=net.prototxt --weights=a.caffemodel [--iterations=50] [--gpu=0]
    torchcaffe time --model=net.prototxt [--iterations=50] [--phase=TEST] [--gpu=0]
    torchcaffe device_query [--gpu=all]

What Caffe has no flag for: --precision, --data, --step (context.py says what they mean).
Exit codes: 0; 1 for a flag that is none; 134, as of a process that aborted, for everything else that goes wrong.
PyTorch is imported only when there is something to do.
"""

import signal
import sys
from dataclasses import dataclass, fields

from caffeformat import FormatError
from torchcaffe import __version__

_ABORTED = 134
_COMMANDS = ("device_query", "test", "time", "train")
_GLOG = ("alsologtostderr", "logtostderr", "log_dir", "minloglevel", "stderrthreshold", "v", "vmodule")
_SWITCHES = ("alsologtostderr", "logtostderr", "help", "version")

_USAGE = """torchcaffe: command line brew
usage: torchcaffe <command> <args>

commands:
  train           train or finetune a model
  test            score a model
  device_query    show GPU diagnostic information
  time            benchmark model execution time

  Flags:
    -data (streamed, resident on the device, or auto: resident on a GPU where it fits) default: "auto"
    -gpu (run on this GPU; `all` for device_query) default: ""
    -iterations (the number of iterations to run) default: 50
    -level (the net's level) default: 0
    -model (the net's prototxt) default: ""
    -precision (of products: fp32, tf32 or bf16) default: "fp32"
    -phase (TRAIN or TEST, for `time`) default: ""
    -sighup_effect (what SIGHUP does: snapshot, stop or none) default: "snapshot"
    -sigint_effect (what SIGINT does: snapshot, stop or none) default: "stop"
    -snapshot (the solverstate to resume from) default: ""
    -solver (the solver's prototxt) default: ""
    -step (how an iteration is run: eager, static, or auto: static, as CUDA graphs, on a GPU) default: "auto"
    -stage (the net's stages, separated by ',') default: ""
    -weights (caffemodels to start from, separated by ','; not with -snapshot) default: ""
"""


@dataclass
class Flags:
    gpu: str = ""
    solver: str = ""
    model: str = ""
    phase: str = ""
    level: int = 0
    stage: str = ""
    snapshot: str = ""
    weights: str = ""
    iterations: int = 50
    precision: str = "fp32"
    data: str = "auto"
    step: str = "auto"
    sigint_effect: str = "stop"
    sighup_effect: str = "snapshot"


class _BadFlag(Exception):
    pass


def main(arguments: list[str] | None = None) -> int:
    """Does what `arguments`, or the command line, say; returns the exit code."""
    if arguments is None:
        _take_signals_as_in_c()
    try:
        flags, switches, words = _parse(sys.argv[1:] if arguments is None else arguments)
    except _BadFlag as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    if "version" in switches:
        print(f"torchcaffe version {__version__}")
        return 0
    if "help" in switches or len(words) != 1:
        print(_USAGE, file=sys.stderr)
        return 1 if "help" in switches else 0
    from torchcaffe.common import log

    log.Logger.enabled = True
    try:
        return _run(words[0], flags)
    except FormatError as error:
        log.fatal(getattr(error, "place", "") or "io.cpp:39", f"Check failed: {error}")
        return _ABORTED
    except (MemoryError, RuntimeError) as error:
        where = "".join(f" ({note})" for note in getattr(error, "__notes__", []))
        if "CUDA" in str(error):
            log.fatal("syncedmem.cpp:71", f"Check failed: the GPU reports{where}: {_gpu_trouble(str(error))}")
        elif _is_of_memory(error):
            log.fatal("syncedmem.hpp:34", f"Check failed: allocation failed{where}: {error}")
        else:
            raise
        return _ABORTED
    finally:
        log.Logger.enabled = False


def _gpu_trouble(text: str) -> str:
    """PyTorch's first line, and what can be done."""
    if "out of memory" in text:
        return f"{text.splitlines()[0]} Give a smaller batch_size, or --data=streamed, or another GPU"
    if "assert" in text:
        return f"{text.splitlines()[0]}. A label outside of the classes does this; the CPU names it: leave out --gpu"
    return text.splitlines()[0]


def _run(command: str, flags: Flags) -> int:
    from torchcaffe.common import log

    if command not in _COMMANDS:
        log.error("caffe.cpp:78", "Available caffe actions:")
        for name in _COMMANDS:
            log.error("caffe.cpp:81", f"\t{name}")
        raise log.Fatal(f"Unknown action: {command}", "caffe.cpp:83")
    import numpy as np

    from torchcaffe import commands

    with np.errstate(all="ignore"):  # as in C: what overflows is inf, 0 / 0 is nan, and nobody is warned
        return getattr(commands, command)(flags)


def _is_of_memory(error: Exception) -> bool:
    """numpy has an error of its own for memory that is not there; PyTorch's is told by its text."""
    return isinstance(error, MemoryError) or "allocate memory" in str(error)


def _take_signals_as_in_c() -> None:
    """Ctrl-C, where no command handles it, and a log whose reader has gone end the process at once, untold."""
    for number in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)


def _parse(arguments: list[str]) -> tuple[Flags, set[str], list[str]]:
    """Flags as gflags takes them (`--name=value`, `-name value`, anywhere), switches that are set, and the rest."""
    flags, switches, words = Flags(), set(), []
    types = {field.name: field.type for field in fields(Flags)}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("-") or argument == "-":
            words.append(argument)
            continue
        if argument == "--":
            words += rest
            break
        name, given, value = argument.lstrip("-").partition("=")
        if name not in types and name not in _GLOG and name not in _SWITCHES:
            raise _BadFlag(f"unknown command line flag '{name}'")
        if name in _SWITCHES:
            switches.add(name)
            continue
        if not given:
            if not rest:
                raise _BadFlag(f"flag '--{name}' is missing its argument")
            value = rest.pop(0)
        if name in types:
            setattr(flags, name, _number(name, value) if types[name] is int else value)
    return flags, switches, words


def _number(name: str, value: str) -> int:
    try:
        number = int(value)
    except ValueError:
        number = None
    if number is None or not -(2**31) <= number < 2**31:
        raise _BadFlag(f"illegal value '{value}' specified for int32 flag '{name}'")
    return number
