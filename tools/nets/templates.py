"""Renders a run's train_val.prototxt and solver.prototxt from the templates.

A template is parsed into a protobuf message, changed, and written back; no prototxt is put together from strings.
docs/templates.md lists the fields that are changed. Everything else stays as it is in the template.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffeformat import FormatError, prototxt
from caffeformat.caffeformat_pb2 import TEST, TRAIN, LayerParameter, NetParameter, SolverParameter
from tools.common.checkout import own_file
from tools.common.errors import UserError
from tools.common.files import read_json
from tools.nets.surgery import LayerPlan, set_condition
from tools.protocol.experiment import Experiment
from tools.protocol.layout import NET, Run, split_of
from tools.protocol.heads import Headline, Places, headline_of
from tools.protocol.net_graph import PHASES, graph_of
from tools.protocol.runs import condition_of, mean_of, net_template, random_seed, solver_template, train_set
from tools.protocol.weighted_layers import weighted_layers

SOLVER = "solver.prototxt"


@dataclass(frozen=True)
class Rendered:
    """The prototxts of a run as text, and what other modules need to know about them."""

    net: str
    solver: str
    plan: list[LayerPlan]
    train_batch: int
    seed: int  # random_seed
    accuracy: str  # the test output for the headline accuracy: the top of the first top-1 Accuracy layer
    loss: str  # the top of the loss layer


def render(exp: Experiment, run: Run, split: dict[str, Any] | None = None) -> Rendered:
    """The two prototxts of a run, as text. Reads the templates and the run's split.json; writes nothing.

    `split` replaces a split.json that does not exist yet; it has its `classes` and `counts`.
    Raises UserError or FormatError for a template that is missing, broken or does not fit the experiment.
    """
    split = split or read_json(split_of(exp, run.seed).marker)
    if split is None:
        raise UserError(
            f"{split_of(exp, run.seed).marker}: not there yet; run `python -m tools split {exp.file}` first"
        )
    net, net_file = net_template(exp)
    blocks = weighted_blocks(net, net_file)
    plan = set_condition(exp, net, blocks, condition_of(run))
    half, _ = train_set(exp, run)
    _set_outputs(exp, blocks[-1].main, len(split["classes"][half]))
    train, test = (_data_layer(net, phase, net_file) for phase in (TRAIN, TEST))
    _set_data(exp, run, train, test)
    solver = _solver(exp, run, split["counts"][half]["val"], test)
    batch = train.data_param.batch_size
    texts = prototxt.to_text(net), prototxt.to_text(solver)
    return Rendered(*texts, plan, batch, solver.random_seed, *headline_outputs(net, net_file))


def headline_outputs(net: NetParameter, file: Path) -> tuple[str, str]:
    """The outputs that results are read from: the tops of the first top-1 Accuracy layer and of the loss layer."""
    accuracy = [x.top[0] for x in net.layer if x.type == "Accuracy" and x.accuracy_param.top_k == 1 and x.top]
    loss = [x.top[0] for x in net.layer if x.type.endswith("Loss") and x.top]
    if not accuracy or not loss:
        raise UserError(f"{file}: no top-1 Accuracy layer or no loss layer; the results are read from their tops")
    return accuracy[0], loss[0]


def _set_outputs(exp: Experiment, last: LayerParameter, classes: int) -> None:
    outputs = exp.fc8_outputs or classes
    if outputs < classes:
        raise exp.fault("fc8_outputs", str(outputs), f"at least the {classes} classes of a half")
    if last.type == "InnerProduct":
        last.inner_product_param.num_output = outputs
    else:
        last.convolution_param.num_output = outputs


def _data_layer(net: NetParameter, phase: int, file: Path) -> LayerParameter:
    """The one Data layer of a phase."""
    name = "TRAIN" if phase == TRAIN else "TEST"
    data = [x for x in net.layer if x.type == "Data" and any(rule.phase == phase for rule in x.include)]
    if len(data) != 1:
        raise UserError(f"{file}: {len(data)} Data layers with include {{ phase: {name} }}; there must be exactly one")
    return data[0]


def _set_data(exp: Experiment, run: Run, train: LayerParameter, test: LayerParameter) -> None:
    split, (half, size) = split_of(exp, run.seed), train_set(exp, run)
    train.data_param.source = str(split.train_lmdb(half, size))
    test.data_param.source = str(split.val_lmdb(half))
    train.data_param.batch_size = exp.train_batch_size or train.data_param.batch_size
    test.data_param.batch_size = exp.test_batch_size or test.data_param.batch_size
    for layer in (train, test):
        layer.data_param.backend = layer.data_param.LMDB
        layer.transform_param.crop_size = exp.crop_size or layer.transform_param.crop_size
        if layer.transform_param.crop_size > exp.image_size:
            value = f"crops of {layer.transform_param.crop_size} in images of {exp.image_size}"
            raise exp.fault("crop_size", value, "at most image_size")
        if layer.transform_param.HasField("mean_file"):  # else the template subtracts a mean_value, or nothing
            layer.transform_param.mean_file = str(mean_of(exp, run))


def _solver(exp: Experiment, run: Run, val_images: int, test: LayerParameter) -> SolverParameter:
    file = own_file("solvers", f"{exp.solver}.prototxt")
    if not file.exists():
        raise exp.fault("solver", exp.solver, "the name of a file of solvers/, without .prototxt")
    solver = prototxt.read_solver(file)
    batch = test.data_param.batch_size
    if val_images % batch:
        divisor = max(n for n in range(1, batch + 1) if val_images % n == 0)
        value = f"{val_images} validation images in test batches of {batch}"
        raise exp.fault("test_batch_size", value, f"it must divide them exactly, as {divisor} does")
    for key in ("max_iter", "test_interval", "display", "snapshot", "base_lr"):
        if getattr(exp, key) is not None:
            setattr(solver, key, getattr(exp, key))
    if not solver.display:
        raise UserError(f"{file}: display: 0 or not given; give an interval: the training loss is read from the log")
    if exp.test_interval is None:
        solver.test_interval = min(solver.test_interval, solver.max_iter)
    if not solver.test_interval or solver.max_iter % solver.test_interval:
        value = f"{solver.test_interval} with max_iter {solver.max_iter}"
        raise exp.fault(
            "test_interval", value, "it must divide max_iter: the headline accuracy is the test at the last iteration"
        )
    del solver.test_iter[:]
    solver.test_iter.append(val_images // batch)
    for field in ("train_net", "test_net", "net_param", "train_net_param", "test_net_param", "weights"):
        solver.ClearField(field)
    solver.snapshot_after_train = True
    if solver.HasField("snapshot_format"):
        solver.snapshot_format = SolverParameter.BINARYPROTO  # caffemodels are read to prove what was copied
    solver.net = str(run.folder / NET)
    solver.snapshot_prefix = str(run.folder / "net")
    solver.random_seed = random_seed(exp, run)
    solver.solver_mode = SolverParameter.CPU  # the option `--gpu` overrides it
    if (times := condition_of(run).trainings) > 1:
        _lengthen(solver, times)
    return solver


def _lengthen(solver: SolverParameter, times: int) -> None:
    """Multiplies max_iter, and stretches the schedule of the learning rate with it.

    The rate falls at the same fraction of the training (sgd_solver.cpp, GetLearningRate). `poly` follows max_iter.
    """
    solver.max_iter *= times
    if solver.HasField("stepsize"):
        solver.stepsize *= times
    solver.stepvalue[:] = [value * times for value in solver.stepvalue]
    if solver.lr_policy == "exp":
        solver.gamma **= 1 / times
    elif solver.lr_policy in ("inv", "sigmoid"):
        solver.gamma /= times
