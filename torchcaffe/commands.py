"""What `torchcaffe train`, `test`, `time` and `device_query` do. Source followed: BVLC Caffe's tools/caffe.cpp."""

import time as clock

import numpy as np
import torch

from caffeformat.caffeformat_pb2 import TEST, TRAIN, NetState, SolverParameter
from torchcaffe.cli import Flags
from torchcaffe.common import context, log, memory
from torchcaffe.common.log import Fatal, check, number
from torchcaffe.common.signals import Signals
from torchcaffe.nets import parsed_net
from torchcaffe.nets.net import Net
from torchcaffe.snapshots import weights
from torchcaffe.solvers.solver import Solver, read_solver


def train(flags: Flags) -> int:
    check(flags.solver, "Need a solver definition to train: --solver=...", "caffe.cpp:167")
    both = "Give a snapshot to resume training or weights to finetune but not both."
    check(not (flags.snapshot and flags.weights), both, "caffe.cpp:168")
    memory.keep_what_is_freed()
    param = read_solver(flags.solver)
    param.train_state.level = flags.level
    param.train_state.stage.extend(_stages(flags))
    gpus = _gpus(_device_of(flags, param))
    several = f"--gpu={flags.gpu}: Multi-GPU execution is not available: a net is trained on one GPU; name one"
    check(len(gpus) < 2, several, "caffe.cpp:245")
    _use_device(flags, gpus, (197, "Use CPU."), (204, "Using GPUs {0}"), (209, "GPU {0}: {1}"))
    if flags.snapshot or flags.weights:
        del param.weights[:]
    if flags.weights:
        param.weights.append(flags.weights)
    with Signals(flags.sigint_effect, flags.sighup_effect) as signals:
        solver = Solver(param, flags.solver)
        solver.requested_action = signals.requested_action
        if flags.snapshot:
            log.info("caffe.cpp:235", f"Resuming from {flags.snapshot}")
            solver.restore(flags.snapshot)
        log.info("caffe.cpp:239", "Starting Optimization")
        solver.solve()
    log.info("caffe.cpp:250", "Optimization Done.")
    return 0


def test(flags: Flags) -> int:
    check(flags.model, "Need a model definition to score: --model=...", "caffe.cpp:258")
    check(flags.weights, "Need model weights to score: --weights=...", "caffe.cpp:259")
    with_name = ((266, "Use GPU with device ID {0}"), (270, "GPU device name: {1}"))
    _use_device(flags, _gpus(flags.gpu), (275, "Use CPU."), *with_name)
    net = _net(flags, TEST)
    weights.load(net, flags.weights)
    log.info("caffe.cpp:281", f"Running for {flags.iterations} iterations.")
    loss, sums, names = np.float32(0), None, []
    for batch in range(flags.iterations):
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
        weighted = f" (* {number(weight)} = {number(np.float32(weight) * mean)} loss)" if weight else ""
        log.info("caffe.cpp:321", f"{name} = {number(mean)}{weighted}")
    return 0


def time(flags: Flags) -> int:
    check(flags.model, "Need a model definition to time: --model=...", "caffe.cpp:331")
    check(flags.phase in ("", "TRAIN", "TEST"), 'phase must be "TRAIN" or "TEST"', "caffe.cpp:119")
    _use_device(flags, _gpus(flags.gpu), (343, "Use CPU."), (339, "Use GPU with device ID {0}"))
    net = _net(flags, TEST if flags.phase == "TEST" else TRAIN)
    log.info("caffe.cpp:351", "Performing Forward")
    log.info("caffe.cpp:356", f"Initial loss: {number(float(net.forward()))}")
    log.info("caffe.cpp:357", "Performing Backward")
    net.backward()
    net.debug_info = False  # from here on Caffe runs the layers, past the net
    log.info("caffe.cpp:365", "*** Benchmark begins ***")
    log.info("caffe.cpp:366", f"Testing for {flags.iterations} iterations.")
    forward, backward = np.zeros(len(net.layers)), np.zeros(len(net.layers))
    for iteration in range(flags.iterations):
        net.params.clear_gradients()
        before = forward.sum() + backward.sum()
        for index in range(len(net.layers)):
            forward[index] += _seconds(lambda at=index: net.forward(at, at))
        for index in reversed(range(len(net.layers))):
            backward[index] += _seconds(lambda at=index: net.backward(at, at))
        took = forward.sum() + backward.sum() - before
        log.info("caffe.cpp:394", f"Iteration: {iteration + 1} forward-backward time: {number(took * 1e3)} ms.")
    _log_times(net, forward * 1e3, backward * 1e3, flags.iterations)
    return 0


def _seconds(work: object) -> float:
    started = clock.perf_counter()
    work()
    if context.current().on_gpu:
        torch.cuda.synchronize()
    return clock.perf_counter() - started


def _log_times(net: Net, forward: np.ndarray, backward: np.ndarray, count: int) -> None:
    """Milliseconds in all, for each layer."""
    log.info("caffe.cpp:397", "Average time per layer: ")
    for layer, ahead, back in zip(net.layers, forward / count, backward / count, strict=True):
        log.info("caffe.cpp:400", f"{layer.name:>10}\tforward: {number(ahead)} ms.")
        log.info("caffe.cpp:403", f"{layer.name:>10}\tbackward: {number(back)} ms.")
    total = forward.sum() + backward.sum()
    log.info("caffe.cpp:408", f"Average Forward pass: {number(forward.sum() / count)} ms.")
    log.info("caffe.cpp:410", f"Average Backward pass: {number(backward.sum() / count)} ms.")
    log.info("caffe.cpp:412", f"Average Forward-Backward: {number(total / count)} ms.")
    log.info("caffe.cpp:414", f"Total Time: {number(total)} ms.")
    log.info("caffe.cpp:415", "*** Benchmark ends ***")


def device_query(flags: Flags) -> int:
    log.info("caffe.cpp:138", f"Querying GPUs {flags.gpu}")
    for index in _gpus(flags.gpu):
        context.set_device(index)
        for place, name, value in _facts(index, torch.cuda.get_device_properties(index)):
            log.info(f"common.cpp:{place}", f"{name + ':':<31}{value}")
    return 0


def _facts(index: int, found: object) -> list[tuple[int, str, object]]:
    """What Caffe tells of a GPU, as far as PyTorch knows it: the line in its source, name, value."""
    return [
        (178, "Device id", index),
        (179, "Major revision number", found.major),
        (180, "Minor revision number", found.minor),
        (181, "Name", found.name),
        (182, "Total global memory", found.total_memory),
        (183, "Total shared memory per block", found.shared_memory_per_block),
        (185, "Warp size", found.warp_size),
        (198, "Number of multiprocessors", found.multi_processor_count),
    ]


def _net(flags: Flags, phase: int) -> Net:
    source = parsed_net.read(flags.model)
    state = NetState()
    state.CopyFrom(source.param.state)
    state.phase, state.level = phase, flags.level
    state.stage.extend(_stages(flags))
    return Net(source, state)


def _stages(flags: Flags) -> list[str]:
    """As Caffe splits them: without --stage there is one, of no letters, and its log shows it."""
    return flags.stage.split(",")


def _device_of(flags: Flags, param: SolverParameter) -> str:
    """The GPU that --gpu names, else the solver's, if it says solver_mode: GPU."""
    in_solver = param.HasField("solver_mode") and param.solver_mode == SolverParameter.GPU
    return str(param.device_id) if in_solver and not flags.gpu else flags.gpu


def _gpus(named: str) -> list[int]:
    """The GPUs that `named`, as --gpu has it, stands for."""
    if named == "all":
        found = list(range(torch.cuda.device_count()))
        check(found, "--gpu=all: no GPU is found", "caffe.cpp:93")
        return found
    try:
        return [int(index) for index in named.split(",")] if named else []
    except ValueError:
        raise Fatal(f"--gpu={named}: a GPU's number is needed, or `all`", "caffe.cpp:102") from None


def _use_device(flags: Flags, gpus: list[int], cpu: tuple[int, str], *gpu: tuple[int, str]) -> None:
    """Uses the first of `gpus`, the CPU where there is none; logs one line for the CPU, or those for a GPU."""
    if not gpus:
        log.info(f"caffe.cpp:{cpu[0]}", cpu[1])
        context.set_mode_cpu()
    else:
        context.set_device(gpus[0])
        for place, line in gpu:
            log.info(f"caffe.cpp:{place}", line.format(gpus[0], torch.cuda.get_device_name(gpus[0])))
    context.set_precision(flags.precision)
    context.set_ways(flags.data, flags.step)
