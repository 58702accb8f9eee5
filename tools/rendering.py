"""How a run's train_val.prototxt and solver.prototxt come from the templates.

A template is parsed, changed as a message and written back, never pasted together from strings. What changes is named
at the top of each template; everything else stays as the template has it.
"""

from dataclasses import dataclass
from pathlib import Path

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import TEST, TRAIN, LayerParameter, NetParameter, SolverParameter
from tools.conditions import Condition
from tools.errors import UserError
from tools.experiment import Experiment
from tools.files import read_json
from tools.layout import NET, Run, condition_of, mean_of, net_template, random_seed, split_of, template
from tools.weighted import Block, blob_count, weighted_blocks

SOLVER = "solver.prototxt"
RENAMED = "_T"  # what a layer that starts anew in a target net bears behind its name: Caffe copies by name


@dataclass(frozen=True)
class LayerPlan:
    """What becomes of one weighted layer: its name in the template, its name in the run, and what it does there."""

    layer: str
    name: str
    what: str  # copied or random, frozen or learning: `copied, frozen`


@dataclass(frozen=True)
class Rendered:
    net: str
    solver: str
    plan: list[LayerPlan]
    train_batch: int
    accuracy: str  # the test output that is the headline: the first top-1 Accuracy layer's top
    loss: str  # the loss layer's top


def render(exp: Experiment, run: Run, split: dict | None = None) -> Rendered:
    """The two prototxts of a run, as text. Reads the templates and the run's split.json, writes nothing.

    `split` stands for a split.json that is not there yet: its `classes` and `counts`.
    Raises UserError or FormatError for a template that is missing, broken or does not fit the experiment.
    """
    split = split or read_json(split_of(exp, run.seed).marker)
    if split is None:
        raise UserError(
            f"{split_of(exp, run.seed).marker}: not there yet; run `python -m tools split {exp.file}` first"
        )
    net, net_file = net_template(exp)
    blocks = weighted_blocks(net, net_file)
    plan = _set_condition(exp, run, net, blocks, condition_of(run))
    _set_outputs(exp, blocks[-1].main, len(split["classes"][run.target]))
    train, test = (_data_layer(net, phase, net_file) for phase in (TRAIN, TEST))
    _set_data(exp, run, train, test)
    solver = _solver(exp, run, split["counts"][run.target]["val"], test)
    batch = train.data_param.batch_size
    return Rendered(prototxt.to_text(net), prototxt.to_text(solver), plan, batch, *headline_outputs(net, net_file))


def headline_outputs(net: NetParameter, file: Path) -> tuple[str, str]:
    """The columns of test.csv that results are read from: the tops of the first top-1 Accuracy and the loss layer."""
    accuracy = [x.top[0] for x in net.layer if x.type == "Accuracy" and x.accuracy_param.top_k == 1 and x.top]
    loss = [x.top[0] for x in net.layer if x.type.endswith("Loss") and x.top]
    if not accuracy or not loss:
        raise UserError(f"{file}: no top-1 Accuracy layer or no loss layer; the results are read from their tops")
    return accuracy[0], loss[0]


def _set_condition(
    exp: Experiment, run: Run, net: NetParameter, blocks: list[Block], condition: Condition
) -> list[LayerPlan]:
    """Freezes the copied layers, or renames those that must start random, and says which."""
    depth = _depth(exp, condition, len(blocks))
    plan, new_names = [], {}
    for number, block in enumerate(blocks, 1):
        start = "copied" if condition.origin and number <= depth else "random"
        frozen = condition.frozen and number <= depth
        for layer in block.layers:
            old = layer.name
            if condition.origin and start == "random":
                layer.name = new_names[old] = old + RENAMED
            if frozen and start == "random" and layer.type == "BatchNorm":
                found = f"{condition.name} in {exp.model}"
                raise exp.fault("conditions", found, "a BatchNorm cannot be frozen before it has learnt")
            if frozen:
                freeze(layer)
            plan.append(LayerPlan(old, layer.name, f"{start}, {'frozen' if frozen else 'learning'}"))
    taken = {x.name for x in net.layer if x.name not in new_names.values()} & set(new_names.values())
    if taken:
        raise exp.fault(
            "model", f"{exp.model} has a layer {min(taken)!r}", f"no layer of a template ends in {RENAMED!r}"
        )
    return plan


def _depth(exp: Experiment, condition: Condition, layers: int) -> int:
    """How many of the net's weighted layers the condition means. Raises UserError for more than all but the last."""
    if condition.depth is None:
        return layers - 1
    kind, plus = condition.name[0], "" if condition.frozen else "+"
    if condition.depth >= layers:
        right = f"{exp.model} has {layers} weighted layers: at most {kind}{layers - 1}T{plus}"
        raise exp.fault("conditions", condition.name, right)
    if condition.depth == layers - 1 and condition.origin == "source" and not condition.frozen:
        right = f"in a net of {layers} weighted layers that is FTall; write FTall"
        raise exp.fault("conditions", condition.name, right)
    return condition.depth


def freeze(layer: LayerParameter) -> None:
    """lr_mult 0 and decay_mult 0 on every blob; a `param` block is added where the template has none."""
    while len(layer.param) < blob_count(layer):
        layer.param.add()
    for param in layer.param:
        param.lr_mult = param.decay_mult = 0
    if layer.type == "BatchNorm":
        layer.batch_norm_param.use_global_stats = True  # else its running mean and variance move without learning


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
    found = [x for x in net.layer if x.type == "Data" and any(rule.phase == phase for rule in x.include)]
    if len(found) != 1:
        raise UserError(f"{file}: {len(found)} Data layers with include {{ phase: {name} }}; there must be exactly one")
    return found[0]


def _set_data(exp: Experiment, run: Run, train: LayerParameter, test: LayerParameter) -> None:
    split = split_of(exp, run.seed)
    train.data_param.source = str(split.train_lmdb(run.target, run.size))
    test.data_param.source = str(split.val_lmdb(run.target))
    train.data_param.batch_size = exp.train_batch_size or train.data_param.batch_size
    test.data_param.batch_size = exp.test_batch_size or test.data_param.batch_size
    for layer in (train, test):
        layer.data_param.backend = layer.data_param.LMDB
        layer.transform_param.crop_size = exp.crop_size or layer.transform_param.crop_size
        if layer.transform_param.crop_size > exp.image_size:
            wrong = f"crops of {layer.transform_param.crop_size} in images of {exp.image_size}"
            raise exp.fault("crop_size", wrong, "at most image_size")
        if layer.transform_param.HasField("mean_file"):  # a template may subtract a mean_value, or nothing
            layer.transform_param.mean_file = str(mean_of(exp, run))


def _solver(exp: Experiment, run: Run, val_images: int, test: LayerParameter) -> SolverParameter:
    file = template("solvers", f"{exp.solver}.prototxt")
    if not file.exists():
        raise exp.fault("solver", exp.solver, "the name of a file of solvers/, without .prototxt")
    solver = prototxt.read_solver(file)
    batch = test.data_param.batch_size
    if val_images % batch:
        near = max(n for n in range(1, batch + 1) if val_images % n == 0)
        found = f"{val_images} validation images in test batches of {batch}"
        raise exp.fault("test_batch_size", found, f"it must divide them exactly, as {near} does")
    for key in ("max_iter", "test_interval", "display", "snapshot", "base_lr"):
        if getattr(exp, key) is not None:
            setattr(solver, key, getattr(exp, key))
    if exp.test_interval is None:
        solver.test_interval = min(solver.test_interval, solver.max_iter)
    if not solver.test_interval or solver.max_iter % solver.test_interval:
        found = f"{solver.test_interval} with max_iter {solver.max_iter}"
        raise exp.fault(
            "test_interval", found, "it must divide max_iter: the headline accuracy is the test at the last iteration"
        )
    del solver.test_iter[:]
    solver.test_iter.append(val_images // batch)
    for field in ("train_net", "test_net", "net_param", "train_net_param", "test_net_param", "weights"):
        solver.ClearField(field)
    solver.net = str(run.folder / NET)
    solver.snapshot_prefix = str(run.folder / "net")
    solver.random_seed = random_seed(exp, run)
    solver.solver_mode = SolverParameter.CPU  # `--gpu` on the command line decides
    return solver
