"""What a condition does to the template's net: layers renamed, frozen, parted or led to another task; and the plan.

Caffe copies weights by layer name. So a layer that must start random in a net that copies gets another name; nothing
else of it changes, and the blobs keep theirs.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from caffeformat.caffeformat_pb2 import EltwiseParameter, LayerParameter, NetParameter
from tools.protocol.conditions import Condition
from tools.protocol.experiment import Experiment
from tools.protocol.weighted_layers import Block, blob_count

RENAMED = "_T"  # what a layer that starts anew bears behind the name that it has in the net that is copied from
MASK = "_mask"


@dataclass(frozen=True)
class LayerPlan:
    """What becomes of one weighted layer: its name in the net that is copied from (the template, where none is), its
    name in the run, and what it does there."""

    layer: str
    name: str
    what: str  # copied or random, frozen or learning: `copied, frozen`; of a parted layer `copied 72 of 96, frozen`


def set_condition(exp: Experiment, net: NetParameter, blocks: list[Block], condition: Condition) -> list[LayerPlan]:
    """Changes `net`, whose weighted layers are `blocks`, into the condition's, and says what has become of them.

    Raises UserError for a condition that the net cannot have.
    """
    if condition.retained:
        return _set_task(net, blocks, set_condition(exp, net, blocks, condition.retained))
    depth = _depth(exp, condition, len(blocks))
    plan = []
    for number, block in enumerate(blocks, 1):
        start = "copied" if condition.origin and number <= depth else "random"
        frozen = condition.frozen and number <= depth
        if condition.subset and number == depth:
            plan += _part(exp, net, block, condition)
            continue
        for layer in block.layers:
            old = layer.name
            if condition.origin and start == "random":
                layer.name = old + RENAMED
            if frozen and start == "random" and layer.type == "BatchNorm":
                found = f"{condition.name} in {exp.model}"
                raise exp.fault("conditions", found, "a BatchNorm cannot be frozen before it has learnt")
            if frozen:
                freeze(layer)
            plan.append(LayerPlan(old, layer.name, f"{start}, {'frozen' if frozen else 'learning'}"))
    _check_names(exp, net, plan)
    return plan


def _depth(exp: Experiment, condition: Condition, layers: int) -> int:
    """How many of the net's weighted layers the condition means. Raises UserError for more than all but the last."""
    if condition.depth is None:
        return layers - 1
    if condition.depth >= layers:
        deepest = condition.name.replace(str(condition.depth), str(layers - 1), 1)
        right = f"{exp.model} has {layers} weighted layers: at most {deepest}"
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


def _part(exp: Experiment, net: NetParameter, block: Block, condition: Condition) -> list[LayerPlan]:
    """Parts a layer into filters that are copied and frozen and others that are random and learn, each in its place.

    lr_mult is one number for all filters of a layer. So the layer is there twice: frozen under its own name, and
    learning under another; a frozen Scale by 1 or 0 for each channel lets through those of the second that the first
    does not have (its other filters and biases are 0: tools/training/filter_subset.py), and their sum is the
    layer's top. What is not let through has no gradient.
    """
    main, subset = block.main, condition.subset
    _check_subset(exp, block, condition)
    drawn = LayerParameter()
    drawn.CopyFrom(main)
    drawn.name = main.name + RENAMED
    kept_top, drawn_top, masked_top = (f"{main.top[0]}_{part}" for part in ("kept", "drawn", "masked"))
    mask = LayerParameter(name=main.name + MASK, type="Scale", bottom=[drawn_top], top=[masked_top])
    mask.scale_param.axis = 1
    both = LayerParameter(name=main.name + "_sum", type="Eltwise", bottom=[kept_top, masked_top], top=main.top)
    both.eltwise_param.operation = EltwiseParameter.SUM
    for layer in (mask, both):
        layer.include.extend(main.include)
        layer.exclude.extend(main.exclude)
    main.top[0], drawn.top[0] = kept_top, drawn_top
    freeze(main)
    freeze(mask)
    behind = [layer.name for layer in net.layer].index(main.name) + 1
    for layer in (both, mask, drawn):
        net.layer.insert(behind, layer)
    return [
        LayerPlan(main.name, main.name, f"copied {subset.count} of {filters(main)}, frozen"),
        LayerPlan(main.name, drawn.name, "random, learning"),
        LayerPlan(mask.name, mask.name, "copied, frozen"),
    ]


def _check_subset(exp: Experiment, block: Block, condition: Condition) -> None:
    main, subset = block.main, condition.subset
    if main.type == "Deconvolution" or main.inner_product_param.transpose or len(block.layers) > 1:
        found = f"{condition.name} of {main.name} ({', '.join(layer.type for layer in block.layers)})"
        right = "filters can be chosen of a plain Convolution or InnerProduct layer, without normalization of its own"
        raise exp.fault("conditions", found, right)
    if subset.count >= filters(main):
        right = (
            f"{main.name} has {filters(main)} filters: at most {filters(main) - 1}; all of them is S{condition.depth}T"
        )
        raise exp.fault("conditions", condition.name, right)


def filters(layer: LayerParameter) -> int:
    """How many filters, or rows of weights, a Convolution or InnerProduct layer has: K."""
    return (layer.inner_product_param if layer.type == "InnerProduct" else layer.convolution_param).num_output


def _set_task(net: NetParameter, blocks: list[Block], plan: list[LayerPlan]) -> list[LayerPlan]:
    """Freezes all that the net of `plan` has learnt but its last layer, which starts anew."""
    last = {layer.name for layer in blocks[-1].layers}
    by_name = {layer.name: layer for layer in net.layer}
    retained = []
    for row in plan:
        layer = by_name[row.name]
        if row.name in last:
            layer.name = row.name + RENAMED
            retained.append(LayerPlan(row.name, layer.name, "random, learning"))
        else:
            freeze(layer)
            retained.append(LayerPlan(row.name, row.name, "copied, frozen"))
    return retained


def _check_names(exp: Experiment, net: NetParameter, plan: Iterable[LayerPlan]) -> None:
    """Raises UserError where a name that a layer was given is the template's for another one."""
    ours = [row.name for row in plan]
    twice = [name for name in ours if [layer.name for layer in net.layer].count(name) > 1]
    if twice:
        right = f"no layer of a template has another's name with {RENAMED!r} or {MASK!r} behind it"
        raise exp.fault("model", f"{exp.model} has a layer {min(twice)!r}", right)
