"""Renders a run's train_val.prototxt and solver.prototxt from the templates.

A template is parsed into a protobuf message, changed, and written back; no prototxt is put together from strings.
docs/templates.md lists the fields that are changed. Everything else stays as it is in the template.
"""

import math
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import LayerParameter, NetParameter, SolverParameter
from tools.common.errors import Faults, UserError
from tools.common.files import read_json
from tools.nets.data_layers import check_transforms, data_layers, set_data
from tools.nets.gradients import with_what_learns
from tools.nets.learning_rate import rate_faults
from tools.nets.surgery import LayerPlan, set_condition
from tools.protocol.conditions import Condition
from tools.protocol.experiment import Experiment
from tools.protocol.heads import SMOOTHED, Headline, Places, headline_of
from tools.protocol.layout import NET, Half, Run, split_of
from tools.protocol.net_graph import PHASES, graph_of
from tools.protocol.runs import mean_of, net_template, random_seed, solver_template, train_set
from tools.protocol.weighted_layers import weighted_layers

SOLVER = "solver.prototxt"
FEWEST = {"iter_size": 1, "max_iter": 1, "test_interval": 1, "display": 1, "snapshot": 0}  # numbers of a solver
SOLVER_TYPES = ("AdaDelta", "AdaGrad", "Adam", "Nesterov", "RMSProp", "SGD")
OTHER_NETS = ("train_net", "test_net", "net_param", "train_net_param", "test_net_param", "weights")  # of a solver


@dataclass(frozen=True)
class Rendered:
    """The prototxts of a run as text, and what other modules need to know about them."""

    net: str
    solver: str
    plan: list[LayerPlan]
    train_batch: int  # images an iteration: the training batch times iter_size
    seed: int  # random_seed
    accuracy: str  # the test output for the headline accuracy (tools/protocol/heads.py)
    loss: str  # the test output for the headline loss
    training_loss: str | None = (
        SMOOTHED  # the column of train.csv with the log loss of the same scores, if there is one
    )
    is_log_loss: bool = True  # whether `loss` is a log loss


def render(exp: Experiment, run: Run, split: dict[str, Any] | None = None) -> Rendered:
    """The two prototxts of a run, as text. Reads the templates and the run's split.json; writes nothing.

    `split` replaces a split.json that does not exist yet; it has its `classes` and `counts`. No classes mean that their
    number is not known: then the layers that give the scores have no outputs, and nothing is refused for its sake.
    Raises UserError or FormatError for templates that are missing, broken or do not fit the experiment: all faults of
    net, solver and experiment at once.
    """
    split = split or read_json(split_of(exp, run.seed).marker)
    if not isinstance(split, dict) or not {"classes", "counts"} <= split.keys():
        raise UserError(
            f"{split_of(exp, run.seed).marker}: not there yet; run `python -m tools split {exp.file}` first"
        )
    net, net_file = net_template(exp)
    solver, solver_file = solver_template(exp)
    half, _ = train_set(exp, run)
    kind = _Kind(
        exp.model_dump_json(),
        run.condition,
        half,
        len(split["classes"][half]),
        tuple((name, count["val"]) for name, count in split["counts"].items()),
        net.SerializePartialToString(deterministic=True),
        solver.SerializePartialToString(deterministic=True),
        _Sources(exp, net_file, solver_file),
    )
    shared = _changed(kind)
    net.CopyFrom(shared.net)
    solver.CopyFrom(shared.solver)
    _set_run(exp, run, net, solver, shared.data)
    return Rendered(
        prototxt.to_text(net),
        prototxt.to_text(solver),
        list(shared.plan),
        shared.train_batch,
        solver.random_seed,
        *shared.headline.outputs,
        shared.headline.training_loss,
        shared.headline.is_log_loss,
    )


@dataclass(frozen=True)
class _Sources:
    """What a template and its faults come from."""

    exp: Experiment
    net_file: Path
    solver_file: Path


@dataclass(frozen=True)
class _Kind:
    """Everything that `_changed` depends on: runs that are equal in it differ only in their files and their seed."""

    config: str  # the experiment's keys, as JSON
    condition: str
    half: Half  # that the run trains on
    classes: int  # of that half; 0 where that is not known yet
    val: tuple[tuple[str, int], ...]  # half -> its validation images
    net: bytes  # the template's message
    solver: bytes
    sources: _Sources = field(compare=False)  # the same for the same config, but for the text of faults


@dataclass(frozen=True)
class _Changed:
    """A template as it is in all runs of a kind."""

    net: NetParameter
    solver: SolverParameter
    data: tuple[int, int]  # the positions of the TRAIN and the TEST phase's Data layer
    plan: list[LayerPlan]
    headline: Headline
    train_batch: int


@lru_cache(maxsize=512)
def _changed(kind: _Kind) -> _Changed:
    """The templates, changed for a kind of run: worked out once for all of them. Raises UserError with all faults."""
    exp, net_file, solver_file = kind.sources.exp, kind.sources.net_file, kind.sources.solver_file
    net, solver = NetParameter.FromString(kind.net), SolverParameter.FromString(kind.solver)
    condition, faults = Condition.of_run(kind.condition), Faults()
    with faults:
        data = data_layers(net, net_file, solver)
        train, test = (net.layer[position] for position in data)
        with faults:
            check_transforms(exp, net, net_file, data)
        with faults:
            set_data(exp, train, test)
        with faults:
            _set_solver(exp, solver, solver_file)
        with faults:
            _set_test_iter(exp, solver, dict(kind.val), kind.half, test)
    with faults:
        weighted = weighted_layers(net, net_file, solver)
        headline = weighted.headline or headline_of(net, net_file, solver)
        with faults:
            _set_classes(exp, net, net_file, solver, weighted.classifiers, kind.classes)
        with faults:
            plan = with_what_learns(set_condition(exp, net, weighted, condition), net, net_file, solver)
    faults.raise_all()
    if condition.trainings > 1:
        _lengthen(solver, condition.trainings)
    data = data_layers(net, net_file, solver)
    return _Changed(net, solver, data, plan, headline, train.data_param.batch_size * solver.iter_size)


def check_classes(exp: Experiment, classes: int) -> None:
    """Raises UserError or FormatError if the templates do not fit halves of so many classes. Needs no split."""
    net, file = net_template(exp)
    solver, _ = solver_template(exp)
    _set_classes(exp, net, file, solver, weighted_layers(net, file, solver).classifiers, classes)


def headline_in(folder: Path) -> Headline:
    """The headline of the net that was rendered into `folder`, a run's."""
    own = [(folder / name).read_bytes() if (folder / name).exists() else b"" for name in (NET, SOLVER)]
    return _headline(_Texts(folder, *(_OWN.sub(rb"\1", text) for text in own)))


# What a run has of its own, and no headline depends on.
_OWN = re.compile(rb'^(\s*(?:source|mean_file|net|snapshot_prefix|random_seed):) (?:"(?:[^"\\\n]|\\.)*"|\d+)$', re.M)


@dataclass(frozen=True)
class _Texts:
    """The prototxts of a run, without what only names its files and its seed."""

    folder: Path = field(compare=False)
    net: bytes
    solver: bytes


@lru_cache(maxsize=512)
def _headline(texts: _Texts) -> Headline:
    """That of the nets with these texts: read once for all of them."""
    folder = texts.folder
    solver = prototxt.read_solver(folder / SOLVER) if texts.solver else None
    return headline_of(prototxt.read_net(folder / NET), folder / NET, solver)


def _set_classes(
    exp: Experiment,
    net: NetParameter,
    file: Path,
    solver: SolverParameter,
    classifiers: list[LayerParameter],
    classes: int,
) -> None:
    """Gives the classifiers their outputs. Raises UserError, with all faults, for what does not fit their number."""
    faults = Faults()
    with faults:
        _set_outputs(exp, classifiers, classes)
    if outputs := exp.fc8_outputs or classes:
        with faults:
            _check_top_k(net, file, solver, outputs)
    faults.raise_all()


def _set_outputs(exp: Experiment, classifiers: list[LayerParameter], classes: int) -> None:
    outputs = exp.fc8_outputs or classes
    if outputs < classes:
        raise exp.fault("fc8_outputs", str(outputs), f"at least the {classes} classes of a half")
    for layer in classifiers:
        if layer.type == "InnerProduct":
            layer.inner_product_param.num_output = outputs
        elif outputs % layer.convolution_param.group:
            value = f"{layer.name} with group: {layer.convolution_param.group} and {outputs} classes"
            raise exp.fault("model", value, "the groups of a layer that gives the scores divide the classes")
        else:
            layer.convolution_param.num_output = outputs


def _check_top_k(net: NetParameter, file: Path, solver: SolverParameter, outputs: int) -> None:
    """Raises UserError for Accuracy layers whose top_k is more than there are scores: Caffe refuses them."""
    places = Places(net, file)
    wrong = [
        f"{places[position]}: Accuracy layer {net.layer[position].name!r}: top_k: "
        f"{net.layer[position].accuracy_param.top_k} of {outputs} classes; at most {outputs}, or remove the layer"
        for position in sorted({at for phase in PHASES for at in graph_of(net, phase, solver).layers})
        if net.layer[position].type == "Accuracy" and net.layer[position].accuracy_param.top_k > outputs
    ]
    if wrong:
        raise UserError("\n".join(wrong))


def _set_test_iter(
    exp: Experiment, solver: SolverParameter, val: dict[str, int], half: Half, test: LayerParameter
) -> None:
    """As many test batches as the validation images (`val`) of a half make. The hint fits both halves."""
    batch, images = test.data_param.batch_size, val[half]
    if not batch or images % batch:
        shared = math.gcd(*val.values())
        divisor = max(n for n in range(1, max(batch, 1) + 1) if shared % n == 0)
        value = f"{images} validation images in test batches of {batch}"
        raise exp.fault("test_batch_size", value, f"it must divide them exactly, as {divisor} does")
    del solver.test_iter[:]
    solver.test_iter.append(images // batch)


def _set_solver(exp: Experiment, solver: SolverParameter, file: Path) -> None:
    """Sets what the experiment file gives. Raises UserError for what would train nothing, or could not be read."""
    for key in ("max_iter", "test_interval", "display", "snapshot", "base_lr"):
        if getattr(exp, key) is not None:
            setattr(solver, key, getattr(exp, key))
    faults = _number_faults(solver, file)
    if not solver.display:
        place = prototxt.place_of(file, "display")
        faults.append(f"{place}: display: 0 or not given; give an interval: the training loss is read from the log")
    if not solver.max_iter:
        place = prototxt.place_of(file, "max_iter")
        faults.append(f"{place}: max_iter: 0 or not given; give the number of iterations")
    if len(solver.test_state) > 1:
        place = prototxt.place_of(file, "test_state")
        faults.append(f"{place}: test_state: {len(solver.test_state)} test nets; there must be at most one")
    faults += rate_faults(solver, file) + _rule_faults(solver, file)
    if exp.test_interval is None:
        solver.test_interval = min(solver.test_interval, solver.max_iter)
    divides = solver.test_interval and solver.max_iter % solver.test_interval == 0
    if solver.max_iter > 0 and solver.test_interval >= 0 and not divides:
        value = f"{solver.test_interval} with max_iter {solver.max_iter}"
        right = "it must divide max_iter: the headline accuracy is the test at the last iteration"
        faults.append(str(exp.fault("test_interval", value, right)))
    if faults:
        raise UserError("\n".join(faults))


def _number_faults(solver: SolverParameter, file: Path) -> list[str]:
    """A line for each number below Caffe's default: 1 of iter_size, 0 of the others."""
    default = SolverParameter()
    return [
        f"{prototxt.place_of(file, key)}: {key}: {getattr(solver, key)}; give {fewest} or more"
        for key, fewest in FEWEST.items()
        if getattr(solver, key) < getattr(default, key)
    ]


def _rule_faults(solver: SolverParameter, file: Path) -> list[str]:
    """A line for each thing in the rule of the update at which Caffe ends."""
    faults = []
    if solver.type not in SOLVER_TYPES:
        place = prototxt.place_of(file, "type")
        faults.append(f'{place}: type: "{solver.type}"; there are {", ".join(SOLVER_TYPES)}')
    if solver.type in ("AdaGrad", "RMSProp") and solver.momentum:
        place = prototxt.place_of(file, "momentum")
        faults.append(f'{place}: momentum: {solver.momentum:g}; type: "{solver.type}" takes none: remove it')
    if solver.weight_decay and solver.regularization_type not in ("L1", "L2"):
        place = prototxt.place_of(file, "regularization_type")
        faults.append(f'{place}: regularization_type: "{solver.regularization_type}"; there are L1, L2')
    return faults


def _set_run(exp: Experiment, run: Run, net: NetParameter, solver: SolverParameter, data: tuple[int, int]) -> None:
    """Sets the run's own files and seed. `data`: the positions of the Data layers of TRAIN and TEST."""
    split, (half, size) = split_of(exp, run.seed), train_set(exp, run)
    for position, lmdb in zip(data, (split.train_lmdb(half, size), split.val_lmdb(half)), strict=True):
        net.layer[position].data_param.source = str(lmdb)
        transform = net.layer[position].transform_param
        if transform.HasField("mean_file"):  # else the template subtracts a mean_value, or nothing
            transform.mean_file = str(mean_of(exp, run))
    for name in OTHER_NETS:
        solver.ClearField(name)
    solver.snapshot_after_train = True
    if solver.HasField("snapshot_format"):
        solver.snapshot_format = SolverParameter.BINARYPROTO  # caffemodels are read to prove what was copied
    solver.net = str(run.folder / NET)
    solver.snapshot_prefix = str(run.folder / "net")
    if solver.snapshot_format == SolverParameter.HDF5:  # proofs and other verbs read a caffemodel
        solver.snapshot_format = SolverParameter.BINARYPROTO
    solver.random_seed = random_seed(exp, run)
    solver.solver_mode = SolverParameter.CPU  # the option `--gpu` overrides it


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
