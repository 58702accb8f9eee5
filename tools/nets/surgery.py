"""Changes the template's net for a condition: layers are renamed, frozen, split by filters, or get another task.

Caffe copies weights by layer name. So in a net that copies weights, a layer that must start random gets another name.
Everything else of the layer stays, including the names of its blobs. The layers of auxiliary heads start random in
every net, and learn: their classifiers are of the source net's classes, and no condition counts them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from caffeformat.caffeformat_pb2 import EltwiseParameter, LayerParameter, NetParameter
from tools.protocol.conditions import Condition, Subset
from tools.protocol.experiment import Experiment
from tools.protocol.weighted_layers import Block, WeightedLayers, blob_count

RENAMED = "_T"  # suffix of layers that must not be copied
MASK = "_mask"  # suffix of the Scale layer that selects between a layer's copied and random filters


@dataclass(frozen=True)
class LayerPlan:
    """How one weighted layer starts, and whether it learns."""

    layer: str  # its name in the net that is copied from; in the template if nothing is copied
    name: str  # its name in the run's net
    copied: bool  # else it starts random
    frozen: bool  # else it learns
    filters: str = ""  # `72 of 96`, if only some filters are copied
    learning: str = "learning"  # if it is not frozen; else what of it the template keeps from learning, and how

    @property
    def action(self) -> str:
        """`copied, frozen`, `random, learning`, `copied 72 of 96, frozen`.

        Where the template keeps it from learning: `copied, not learning (lr_mult: 0 in the template)`.
        """
        start = " ".join(["copied" if self.copied else "random", *([self.filters] if self.filters else [])])
        return f"{start}, {'frozen' if self.frozen else self.learning}"


def set_condition(
    exp: Experiment, net: NetParameter, weighted: WeightedLayers, condition: Condition
) -> list[LayerPlan]:
    """Changes `net`, whose weighted layers are `weighted`, as the condition says. Returns the plan of every layer.

    The counted layers come first, then those of auxiliary heads. Raises UserError if the net cannot have it.
    """
    blocks = weighted.blocks
    if condition.retained:
        return _retrain_heads(net, weighted, set_condition(exp, net, weighted, condition.retained))
    depth = _depth(exp, condition, len(blocks))
    plan = []
    for number, block in enumerate(blocks, 1):
        copied = condition.origin is not None and number <= depth
        frozen = condition.frozen and number <= depth
        if condition.subset and number == depth:
            plan += _split_filters(exp, net, block, condition, condition.subset)
            continue
        for layer in block.layers:
            template_name = layer.name
            if condition.origin and not copied:
                layer.name += RENAMED
            if frozen and not copied and layer.type == "BatchNorm":
                value = f"{condition.name} in {exp.model}"
                raise exp.fault("conditions", value, "a BatchNorm cannot be frozen before it has learnt")
            if frozen:
                freeze(layer)
            plan.append(LayerPlan(template_name, layer.name, copied, frozen))
    for layer in weighted.auxiliary:
        template_name = layer.name
        layer.name += RENAMED if condition.origin else ""
        plan.append(LayerPlan(template_name, layer.name, copied=False, frozen=False))
    _check_names(exp, net, plan)
    _check_shared(exp, net, plan)
    return plan


def _depth(exp: Experiment, condition: Condition, layers: int) -> int:
    """How many of the net's weighted layers the condition copies or freezes. Raises UserError for too many."""
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
    """Sets lr_mult and decay_mult of every blob to 0. Adds the `param` blocks that the template does not have."""
    while len(layer.param) < blob_count(layer):
        layer.param.add()
    for param in layer.param:
        param.lr_mult = param.decay_mult = 0
    if layer.type == "BatchNorm":
        layer.batch_norm_param.use_global_stats = True  # else its running mean and variance change although lr is 0


def _split_filters(
    exp: Experiment, net: NetParameter, block: Block, condition: Condition, subset: Subset
) -> list[LayerPlan]:
    """Splits a layer into filters that are copied and frozen, and others that are random and learn, each in its place.

    lr_mult is one number for all filters of a layer. So the layer is put into the net twice: frozen under its own name,
    and learning under another. In the frozen one the filters and biases that are not copied are 0
    (tools/training/filter_subset.py). A frozen Scale with 1 or 0 for each channel keeps only these channels of the
    learning one. The sum of both is the layer's top. Channels that are scaled by 0 get no gradient.
    """
    main = block.main
    _check_subset(exp, block, condition, subset)
    learning = LayerParameter()
    learning.CopyFrom(main)
    learning.name = main.name + RENAMED
    kept_top, drawn_top, masked_top = (f"{main.top[0]}_{part}" for part in ("kept", "drawn", "masked"))
    mask = LayerParameter(name=main.name + MASK, type="Scale", bottom=[drawn_top], top=[masked_top])
    mask.scale_param.axis = 1
    both = LayerParameter(name=main.name + "_sum", type="Eltwise", bottom=[kept_top, masked_top], top=main.top)
    both.eltwise_param.operation = EltwiseParameter.SUM
    for layer in (mask, both):
        layer.include.extend(main.include)
        layer.exclude.extend(main.exclude)
    main.top[0], learning.top[0] = kept_top, drawn_top
    freeze(main)
    freeze(mask)
    index = [layer.name for layer in net.layer].index(main.name) + 1
    for layer in (both, mask, learning):
        net.layer.insert(index, layer)
    return [
        LayerPlan(main.name, main.name, copied=True, frozen=True, filters=f"{subset.count} of {filters(main)}"),
        LayerPlan(main.name, learning.name, copied=False, frozen=False),
        LayerPlan(mask.name, mask.name, copied=True, frozen=True),
    ]


def _check_subset(exp: Experiment, block: Block, condition: Condition, subset: Subset) -> None:
    main = block.main
    if main.type == "Deconvolution" or main.inner_product_param.transpose or len(block.layers) > 1:
        value = f"{condition.name} of {main.name} ({', '.join(layer.type for layer in block.layers)})"
        right = "filters can be chosen of a plain Convolution or InnerProduct layer, without normalization of its own"
        raise exp.fault("conditions", value, right)
    if subset.count >= filters(main):
        right = (
            f"{main.name} has {filters(main)} filters: at most {filters(main) - 1}; all of them is S{condition.depth}T"
        )
        raise exp.fault("conditions", condition.name, right)


def filters(layer: LayerParameter) -> int:
    """The number of filters of a Convolution, or of rows of weights of an InnerProduct layer: K."""
    return (layer.inner_product_param if layer.type == "InnerProduct" else layer.convolution_param).num_output


def _retrain_heads(net: NetParameter, weighted: WeightedLayers, plan: list[LayerPlan]) -> list[LayerPlan]:
    """For X-retain: renames the last layer of X's net and its auxiliary heads, so that they start random.

    Freezes all others.
    """
    last = {layer.name for layer in [*weighted.blocks[-1].layers, *weighted.auxiliary]}
    by_name = {layer.name: layer for layer in net.layer}
    retained = []
    for row in plan:
        layer = by_name[row.name]
        if row.name in last:
            layer.name = row.name + RENAMED
            retained.append(LayerPlan(row.name, layer.name, copied=False, frozen=False))
        else:
            freeze(layer)
            retained.append(LayerPlan(row.name, row.name, copied=True, frozen=True))
    return retained


def _check_names(exp: Experiment, net: NetParameter, plan: Iterable[LayerPlan]) -> None:
    """Raises UserError if the template has a layer with a name that another layer was given."""
    names = [layer.name for layer in net.layer]
    twice = [row.name for row in plan if names.count(row.name) > 1]
    if twice:
        right = f"no layer of a template has another's name with {RENAMED!r} or {MASK!r} behind it"
        raise exp.fault("model", f"{exp.model} has a layer {min(twice)!r}", right)


def _check_shared(exp: Experiment, net: NetParameter, plan: list[LayerPlan]) -> None:
    """Raises UserError if layers share a parameter by name, and only one of them is copied or frozen."""
    actions = {row.name: row.action for row in plan}
    shared: dict[str, list[str]] = {}
    for layer in net.layer:
        for param in layer.param:
            if param.name and layer.name in actions:
                shared.setdefault(param.name, []).append(layer.name)
    for name, layers in shared.items():
        if len({actions[layer] for layer in layers}) > 1:
            value = f"{exp.model} shares the parameter {name!r} of {', '.join(layers)}"
            told = ", ".join(f"{layer}: {actions[layer]}" for layer in layers)
            raise exp.fault("model", value, f"layers that share one are copied and frozen together, not {told}")
