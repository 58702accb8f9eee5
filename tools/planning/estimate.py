"""Estimates how long an experiment will take, from a measured iteration."""

import contextlib
import heapq
import os
import subprocess
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import TEST, TRAIN, NetParameter, SolverParameter
from tools.caffe_log import LogReader
from tools.common.errors import UserError
from tools.common.files import read_json, write_json
from tools.nets.templates import NET, OTHER_NETS, SOLVER, render
from tools.planning.graph import environment_of
from tools.planning.state import Plan, split_or_presumed
from tools.protocol import layout
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run
from tools.protocol.net_graph import graph_of
from tools.protocol.runs import net_template, solver_template
from tools.training import kernels
from tools.training.engine import Engine
from tools.training.gpus import selected_gpus
from tools.training.output import OutputFault, ended, lines_of, silence_allowed, started
from tools.training.patience import MEASURED
from tools.training.process import last_words

MOST = 1 << 24  # bytes of output of the measurement
START = 4.0  # seconds of a run outside of its iterations and tests: interpreters, the engine's starts, proofs
FORWARD = 0.4  # the share of an iteration that its forward pass takes: a third, and some for reading test images
ITERATIONS = 4  # measured; the first display's rate is garbage in Caffe


def time_left(exp: Experiment, engine: Engine, plan: Plan, jobs: int) -> str:
    """A sentence. An upper limit: every run counts as a training in which all layers learn.

    Tests, predictions, and the starts of engine and interpreter are in it; figures and page are not.
    """
    if not plan.untrained:
        return "Nothing is left to train."
    return _sentence(exp, plan, seconds_per_iteration(exp, engine, jobs), jobs, "here")


def time_left_on_cluster(exp: Experiment, engine: Engine, plan: Plan, jobs: int) -> str:
    """The same from an iteration that a job has measured on its node; nothing is trained on this machine."""
    if not plan.untrained:
        return "Nothing is left to train."
    measured = read_json(layout.results_folder(exp, engine.name) / MEASURED)
    known = [one for one in measured.values() if one["engine"] == engine.version] if isinstance(measured, dict) else []
    if not known:
        return f"Time left: not known: the first job that trains measures an iteration ({len(plan.untrained)} runs)."
    device = known[-1]["device"]
    where = f"on {device}" if device.startswith("cpu") else f"on GPU {device}"
    return _sentence(exp, plan, float(known[-1]["seconds"]), jobs, where)


def _sentence(exp: Experiment, plan: Plan, seconds: float, jobs: int, where: str) -> str:
    runs = plan.untrained
    hours = makespan({run: seconds_of_run(exp, run, seconds) for run in runs}, plan.copies, jobs) / 3600
    left = f"{hours:,.0f} hours" if hours >= 10 else f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.0f} minutes"
    return (
        f"Time left: at most about {left} of training: {len(runs)} runs of {max_iter(exp):,} iterations "
        f"of {seconds:.3f} s, {jobs} at a time, tests and predictions included\n"
        f"(measured {where}: an iteration of `base`, in which all layers learn; the frozen conditions are quicker)."
    )


def seconds_of_run(exp: Experiment, run: Run, seconds: float) -> float:
    """The time that `run` takes if an iteration takes `seconds`: iterations, tests, predictions, and START."""
    rendered = render(exp, run, split_or_presumed(exp, run))
    solver = prototxt.parse(rendered.solver, SolverParameter(), SOLVER)
    net = prototxt.parse(rendered.net, NetParameter(), NET)
    (batch,) = (net.layer[at].data_param.batch_size for at in graph_of(net, TEST, solver).of_type("Data"))
    passes = solver.max_iter // solver.test_interval + solver.test_initialization + 1  # the last for the predictions
    tested = passes * sum(solver.test_iter) * batch
    return START + seconds * (solver.max_iter + FORWARD * tested / rendered.train_batch)


def makespan(seconds: dict[Run, float], copies: dict[Run, Run], jobs: int) -> float:
    """When the last of the runs ends: `jobs` at a time, each after the run that it copies from. Sources come first."""
    free, ends = [0.0] * jobs, dict[Run, float]()
    for run, took in seconds.items():
        source = copies.get(run)
        begin = max(heapq.heappop(free), ends.get(source, 0.0) if source else 0.0)
        ends[run] = begin + took
        heapq.heappush(free, ends[run])
    return max(ends.values())


def max_iter(exp: Experiment) -> int:
    return exp.max_iter or solver_template(exp)[0].max_iter


def seconds_per_iteration(exp: Experiment, engine: Engine, jobs: int) -> float:
    """The time of one training iteration of the template on made-up images, with `jobs` such trainings at a time.

    Before it the engine tests a batch, which is not timed. Raises UserError if it cannot train or test the template.
    The engine measures it once; results/<experiment>/iteration.json keeps it.
    """
    net = _net_without_data(exp)
    threads = os.environ.get("OPENBLAS_NUM_THREADS") or str(max(1, len(os.sched_getaffinity(0)) // jobs))
    where = ",".join(selected_gpus(engine)) or f"cpu, {threads} threads"
    key = sha256(f"{net}{engine.version}{''.join(engine.flags)}{where}{jobs}".encode()).hexdigest()[:16]
    file = layout.results_folder(exp, engine.name) / MEASURED
    measured = read_json(file)
    if not isinstance(measured, dict):
        measured = {}
    if key not in measured:
        seconds = _measure(exp, engine, net, jobs)
        measured[key] = {"seconds": seconds, "device": where, "engine": engine.version}
        write_json(file, measured)
    return float(measured[key]["seconds"])


def _net_without_data(exp: Experiment) -> str:
    """The template with DummyData in the place of its Data layers: images of noise, all of class 0."""
    net, _ = net_template(exp)
    solver, _ = solver_template(exp)
    kept = NetParameter()
    kept.CopyFrom(net)
    del kept.layer[:]
    train, test = (graph_of(net, phase, solver).layers for phase in (TRAIN, TEST))
    for position in sorted({*train, *test}):
        layer = kept.layer.add()
        layer.CopyFrom(net.layer[position])
        if layer.type == "Accuracy":
            layer.accuracy_param.top_k = 1  # a template can have fewer outputs than its runs have classes
        if layer.type == "Data":
            given = exp.train_batch_size if position in train else exp.test_batch_size
            batch = given or layer.data_param.batch_size
            crop = exp.crop_size or layer.transform_param.crop_size or exp.image_size
            for field in ("data_param", "transform_param"):
                layer.ClearField(field)
            layer.type = "DummyData"
            layer.dummy_data_param.shape.add(dim=[batch, 1 if exp.gray else 3, crop, crop])
            layer.dummy_data_param.shape.add(dim=[batch])
            layer.dummy_data_param.data_filler.add(type="gaussian", std=50)
            layer.dummy_data_param.data_filler.add(type="constant", value=0)
    return prototxt.to_text(kept)


def _measure(exp: Experiment, engine: Engine, net: str, jobs: int) -> float:
    """On CPUs beside `jobs - 1` other trainings, which take their share of the memory's bandwidth.

    In the environment of the sweep's trainings: torchcaffe, if that is the engine, is warm for these afterwards.
    """
    gpus = selected_gpus(engine)
    environment = kernels.environment(engine, environment_of(engine, jobs)) | {"GLOG_logtostderr": "1"}
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[0]
    reader, fault = LogReader(), ""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "net.prototxt").write_text(net)
        (Path(folder) / "solver.prototxt").write_text(_solver_of_measurement(exp, Path(folder), ITERATIONS))
        (Path(folder) / "long.prototxt").write_text(_solver_of_measurement(exp, Path(folder), 1 << 30))
        command: list[str | Path] = [engine.path, "train", *engine.flags, *(["--gpu=0"] if gpus else [])]
        others = 0 if gpus else jobs - 1
        try:
            with _trainings_beside([*command, f"--solver={folder}/long.prototxt"], environment, others):
                process = started([*command, f"--solver={folder}/solver.prototxt"], environment)
                with ended(process):
                    for line in lines_of(process, silence_allowed(), MOST):
                        reader.feed(line)
        except OutputFault as error:
            fault = f": it {error}, and was ended"
    log = reader.finish()
    if fault or not log.iters_per_s > 0:
        said = last_words(log.fatal or log.tail)
        files = f"{net_template(exp)[1]} with {solver_template(exp)[1]}"
        raise UserError(f"{files}: {engine.name} could not train the templates{fault}; {said}")
    return 1 / log.iters_per_s


@contextlib.contextmanager
def _trainings_beside(command: list[str | Path], environment: dict[str, str], count: int) -> Iterator[None]:
    """`count` trainings that run while the context lasts, each begun before it is entered."""
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(_ended_by_then(started(command, environment))) for _ in range(count)]
        for process in processes:
            for line in lines_of(process, silence_allowed(), MOST):
                if "Solving" in line:
                    break
        yield


@contextlib.contextmanager
def _ended_by_then(process: "subprocess.Popen[bytes]") -> "Iterator[subprocess.Popen[bytes]]":
    with ended(process):
        try:
            yield process
        finally:
            process.kill()


def _solver_of_measurement(exp: Experiment, folder: Path, iterations: int) -> str:
    """The experiment's solver for some iterations of the net in `folder`, on any device.

    What is measured tests one batch before the first iteration: Caffe's rate of the first display is not used.
    """
    solver, _ = solver_template(exp)
    solver.max_iter, solver.snapshot, solver.snapshot_after_train = iterations, 0, False
    solver.display = 1 if iterations == ITERATIONS else 0
    for field in (*OTHER_NETS, "test_iter"):
        solver.ClearField(field)
    del solver.test_state[1:]
    solver.test_iter.append(1)
    solver.test_interval, solver.test_initialization = 1 << 30, iterations == ITERATIONS
    solver.solver_mode = SolverParameter.CPU  # the option `--gpu` overrides it
    solver.net = str(folder / "net.prototxt")
    solver.snapshot_prefix = str(folder / "x")
    return prototxt.to_text(solver)
