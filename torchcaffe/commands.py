"""The commands `train`, `test`, `time` and `device_query`, which follow BVLC Caffe's tools/caffe.cpp, and `export`."""

import time as clock
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np
import torch

from caffeformat.caffeformat_pb2 import TEST, TRAIN, NetState, Phase, SolverParameter
from torchcaffe import __version__
from torchcaffe.common import context, log, memory
from torchcaffe.common.log import Fatal, check, number, weighted_loss
from torchcaffe.common.signals import Signals
from torchcaffe.export import command
from torchcaffe.export.exporter import Options
from torchcaffe.flags import Flags
from torchcaffe.nets import reader, threads
from torchcaffe.nets.net import Net
from torchcaffe.snapshots import weights
from torchcaffe.solvers.solver import Solver, read_solver


def train(flags: Flags) -> int:
    check(flags.solver, "Need a solver definition to train: --solver=...", "caffe.cpp:167")
    both = "Give a snapshot to resume training or weights to finetune but not both."
    check(not (flags.snapshot and flags.weights), both, "caffe.cpp:168")
    memory.keep_freed_memory()
    param = read_solver(flags.solver)
    param.train_state.level = flags.level
    param.train_state.stage.extend(_stages(flags))
    gpus = _gpus(_device_of(flags, param))
    one_gpu = f"--gpu={flags.gpu}: Multi-GPU execution is not available: a net is trained on one GPU; name one"
    check(len(gpus) < 2, one_gpu, "caffe.cpp:245")
    _use_device(flags, gpus, (197, "Use CPU."), (204, "Using GPUs {0}"), (209, "GPU {0}: {1}"))
    if flags.snapshot or flags.weights:
        del param.weights[:]
    if flags.weights:
        param.weights.append(flags.weights)
    with Signals(flags.sigint_effect, flags.sighup_effect) as signals:
        solver = Solver(param, flags.solver)
        threads.fit([solver.net, *solver.test_nets])
        solver.requested_action = signals.requested_action
        if flags.snapshot:
            log.info("caffe.cpp:235", f"Resuming from {flags.snapshot}")
            solver.restore(flags.snapshot)
        log.info("caffe.cpp:239", "Starting Optimization")
        with _without_autograd([solver.net, *solver.test_nets]):
            solver.solve()
    log.info("caffe.cpp:250", "Optimization Done.")
    return 0


def test(flags: Flags) -> int:
    check(flags.model, "Need a model definition to score: --model=...", "caffe.cpp:258")
    check(flags.weights, "Need model weights to score: --weights=...", "caffe.cpp:259")
    gpu_lines = ((266, "Use GPU with device ID {0}"), (270, "GPU device name: {1}"))
    _use_device(flags, _gpus(flags.gpu), (275, "Use CPU."), *gpu_lines)
    net = _net(flags, TEST)
    weights.load(net, flags.weights)
    log.info("caffe.cpp:281", f"Running for {flags.iterations} iterations.")
    loss = np.float32(0)
    sums: np.ndarray | None = None
    names: list[tuple[str, float]] = []
    for batch in range(flags.iterations):
        with _without_autograd([net]):
            loss += np.float32(net.forward())
        values = list(net.output_values())
        for name, value, _ in values:
            log.info("caffe.cpp:304", f"Batch {batch}, {name} = {number(value)}")
        scores = np.array([value for _, value, _ in values], np.float32)
        sums = scores if sums is None else sums + scores
        names = [(name, weight) for name, _, weight in values]
    count = np.float32(flags.iterations)
    log.info("caffe.cpp:309", f"Loss: {number(loss / count)}")
    for (name, weight), total in zip(names, [] if sums is None else sums, strict=True):
        mean = total / count
        log.info("caffe.cpp:321", f"{name} = {number(mean)}{weighted_loss(mean, weight)}")
    return 0


def time(flags: Flags) -> int:
    check(flags.model, "Need a model definition to time: --model=...", "caffe.cpp:331")
    check(flags.phase in ("", "TRAIN", "TEST"), 'phase must be "TRAIN" or "TEST"', "caffe.cpp:119")
    _use_device(flags, _gpus(flags.gpu), (343, "Use CPU."), (339, "Use GPU with device ID {0}"))
    net = _net(flags, TEST if flags.phase == "TEST" else TRAIN)
    with _without_autograd([net]):
        _time(flags, net)
    return 0


def _time(flags: Flags, net: Net) -> None:
    log.info("caffe.cpp:351", "Performing Forward")
    log.info("caffe.cpp:356", f"Initial loss: {number(float(net.forward()))}")
    log.info("caffe.cpp:357", "Performing Backward")
    net.backward()
    net.debug_info = False  # from here on Caffe runs the layers without the net, which prints these lines
    log.info("caffe.cpp:365", "*** Benchmark begins ***")
    log.info("caffe.cpp:366", f"Testing for {flags.iterations} iterations.")
    forward, backward = np.zeros(len(net.layers)), np.zeros(len(net.layers))
    for iteration in range(flags.iterations):
        net.params.clear_gradients()
        previous_total = forward.sum() + backward.sum()
        for index in range(len(net.layers)):
            forward[index] += _seconds(partial(net.forward, index, index))
        for index in reversed(range(len(net.layers))):
            backward[index] += _seconds(partial(net.backward, index, index))
        seconds = forward.sum() + backward.sum() - previous_total
        log.info("caffe.cpp:394", f"Iteration: {iteration + 1} forward-backward time: {number(seconds * 1e3)} ms.")
    _log_times(net, forward * 1e3, backward * 1e3, flags.iterations)


def _seconds(work: Callable[[], object]) -> float:
    """How long `work` takes, on a GPU too."""
    started = clock.perf_counter()
    work()
    if context.current().on_gpu:
        torch.cuda.synchronize()
    return clock.perf_counter() - started


def _log_times(net: Net, forward: np.ndarray, backward: np.ndarray, count: int) -> None:
    """`forward` and `backward` hold the milliseconds of each layer, summed over `count` iterations."""
    log.info("caffe.cpp:397", "Average time per layer: ")
    for layer, forward_mean, backward_mean in zip(net.layers, forward / count, backward / count, strict=True):
        log.info("caffe.cpp:400", f"{layer.name:>10}\tforward: {number(forward_mean)} ms.")
        log.info("caffe.cpp:403", f"{layer.name:>10}\tbackward: {number(backward_mean)} ms.")
    total = forward.sum() + backward.sum()
    log.info("caffe.cpp:408", f"Average Forward pass: {number(forward.sum() / count)} ms.")
    log.info("caffe.cpp:410", f"Average Backward pass: {number(backward.sum() / count)} ms.")
    log.info("caffe.cpp:412", f"Average Forward-Backward: {number(total / count)} ms.")
    log.info("caffe.cpp:414", f"Total Time: {number(total)} ms.")
    log.info("caffe.cpp:415", "*** Benchmark ends ***")


def export(flags: Flags, files: list[str]) -> int:
    """Prints what was written, on standard output."""
    options = Options(
        *(Path(), Path(), flags.to, Path(flags.output), flags.shape, flags.preprocess, flags.channels, flags.pycaffe),
        level=flags.level,
        stages=tuple(filter(None, _stages(flags))),
        program=f"torchcaffe {__version__}",
    )
    for line in command.run(files or [name for name in (flags.model, flags.weights) if name], options):
        print(line)
    return 0


def device_query(flags: Flags) -> int:
    log.info("caffe.cpp:138", f"Querying GPUs {flags.gpu}")
    for index in _gpus(flags.gpu):
        context.set_device(index)
        for line, name, value in _gpu_properties(index):
            log.info(f"common.cpp:{line}", f"{name + ':':<31}{value}")
    return 0


def _gpu_properties(index: int) -> list[tuple[int, str, object]]:
    """Those that Caffe logs and PyTorch has: the line in Caffe's common.cpp, the name, the value."""
    gpu = torch.cuda.get_device_properties(index)
    return [
        (178, "Device id", index),
        (179, "Major revision number", gpu.major),
        (180, "Minor revision number", gpu.minor),
        (181, "Name", gpu.name),
        (182, "Total global memory", gpu.total_memory),
        (183, "Total shared memory per block", gpu.shared_memory_per_block),
        (185, "Warp size", gpu.warp_size),
        (198, "Number of multiprocessors", gpu.multi_processor_count),
    ]


def _net(flags: Flags, phase: "Phase") -> Net:
    parsed = reader.read(flags.model)
    state = NetState()
    state.CopyFrom(parsed.param.state)
    state.MergeFrom(NetState(phase=phase, level=flags.level, stage=_stages(flags)))
    net = Net(parsed, state)
    threads.fit([net])
    return net


def _without_autograd(nets: Sequence[Net]) -> AbstractContextManager[None]:
    """Spares each call of PyTorch on the CPU what it does for autograd: a tenth of the time of a small net. A layer in
    Python may use autograd."""
    plain = all(not net.context.on_gpu and all(layer.type != "Python" for layer in net.layers) for net in nets)
    return torch.inference_mode(plain)


def _stages(flags: Flags) -> list[str]:
    """Split as in Caffe: without --stage the list holds one empty name, which Caffe's log shows."""
    return flags.stage.split(",")


def _device_of(flags: Flags, param: SolverParameter) -> str:
    """The value of --gpu. If it is empty: the solver's device_id, with solver_mode: GPU."""
    in_solver = param.HasField("solver_mode") and param.solver_mode == SolverParameter.GPU
    return str(param.device_id) if in_solver and not flags.gpu else flags.gpu


def _gpus(flag: str) -> list[int]:
    """The indices in a value of --gpu: `0`, `0,1` or `all`. Raises Fatal."""
    if flag == "all":
        gpus = list(range(torch.cuda.device_count()))
        check(gpus, "--gpu=all: no GPU is found", "caffe.cpp:93")
        return gpus
    try:
        return [int(index) for index in flag.split(",")] if flag else []
    except ValueError:
        raise Fatal(f"--gpu={flag}: a GPU's number is needed, or `all`", "caffe.cpp:102") from None


def _use_device(flags: Flags, gpus: list[int], cpu_line: tuple[int, str], *gpu_lines: tuple[int, str]) -> None:
    """Uses the first of `gpus`, or the CPU if the list is empty, and logs it.

    A log line is its line number in caffe.cpp and its text, in which {0} is the GPU's index and {1} its name.
    """
    if not gpus:
        log.info(f"caffe.cpp:{cpu_line[0]}", cpu_line[1])
        context.set_mode_cpu()
    else:
        context.set_device(gpus[0])
        for line, text in gpu_lines:
            log.info(f"caffe.cpp:{line}", text.format(gpus[0], torch.cuda.get_device_name(gpus[0])))
    context.set_precision(flags.precision)
    context.set_execution(flags.data, flags.step)
