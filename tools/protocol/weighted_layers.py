"""The weighted layers of a net, in order: the n of SnT counts these.

They are the layers on the way from the data to the scores that the headline accuracy reads (tools/protocol/heads.py).
Other weighted layers, those of an auxiliary head, are not counted.
"""

from dataclasses import dataclass
from pathlib import Path

from caffeformat.caffeformat_pb2 import TEST, TRAIN, LayerParameter, NetParameter, SolverParameter
from tools.common.errors import UserError
from tools.protocol.heads import MAIN, Headline, Places, find_heads
from tools.protocol.net_graph import NOBODY, PHASES, NetGraph, graph_of

BESIDE = ("BatchNorm", "Scale", "Bias", "PReLU")  # they belong to the weighted layer that gives their bottom
UNCOUNTED = ("Embed", "LSTM", "Parameter", "RNN", "Recurrent")  # they have weights, too; so has each with a `param`


@dataclass
class Block:
    """A weighted layer and the normalization that goes with it: what is frozen or renamed together.

    The last block is the classifier. It can be several layers, whose scores are added.
    """

    layers: list[LayerParameter]

    @property
    def main(self) -> LayerParameter:
        return self.layers[0]


@dataclass
class WeightedLayers:
    """The weighted layers of a net by what they are for. The messages are those of the net: a change changes it."""

    blocks: list[Block]  # on the way to the headline's scores, at least two; the last one gives them
    auxiliary: list[LayerParameter]  # all others
    classifiers: list[LayerParameter]  # those of both that have an output for each class
    headline: Headline | None  # None for a net without Accuracy layers


def weighted_blocks(net: NetParameter, file: Path, solver: SolverParameter | None = None) -> list[Block]:
    """The blocks of `weighted_layers`."""
    return weighted_layers(net, file, solver).blocks


def weighted_layers(net: NetParameter, file: Path, solver: SolverParameter | None = None) -> WeightedLayers:
    """The weighted layers of `net` in the file's order; `solver` has the states of its phases.

    In a net without Accuracy layers all are counted, and the last one gives the scores.
    Raises UserError, with all faults, for a net in an old format, one with unknown bottom blobs, one whose layers
    cannot be counted, or one whose graph does not say what its headline is.
    """
    if net.layers:
        raise UserError(
            f"{file}: the old `layers {{ type: CONVOLUTION }}` format; upgrade it with upgrade_net_proto_text"
        )
    graphs, places = {phase: graph_of(net, phase, solver) for phase in PHASES}, Places(net, file)
    if unknown := _unknown_bottoms(graphs, places):
        raise UserError("\n".join(unknown))  # other faults of such a graph would follow from these
    every = [
        position
        for position in sorted({*graphs[TRAIN].layers, *graphs[TEST].layers})
        if _is_weighted(net.layer[position])
    ]
    heads = find_heads(net, file, solver)
    faults = list(heads.faults)
    mains = [position for position in every if net.layer[position].type in MAIN]
    if heads.headline:
        way, classifier = heads.headline.way, heads.headline.classifier
        trained = graphs[TRAIN].layers
    else:
        way, classifier = frozenset(every), frozenset(mains[-1:])
        trained = every
    names = [net.layer[position].name for position in every]
    twice = {
        name: [at for at in every if net.layer[at].name == name] for name in sorted(names) if names.count(name) > 1
    }
    pairs = {name for name, same in twice.items() if _is_one_a_phase(same, graphs)}
    for position in every:
        layer = net.layer[position]
        if position not in trained and layer.name not in pairs:
            faults.append(
                f"{places[position]}: layer {layer.name!r} ({layer.type}) is not in the TRAIN phase: it would be "
                "tested without having learnt; put it into both phases, or remove it"
            )
        elif layer.type not in (*MAIN, *BESIDE) and position in way:
            faults.append(
                f"{places[position]}: layer {layer.name!r} ({layer.type}) has "
                f"{'weights' if layer.type in UNCOUNTED else 'a `param` block: weights'} that no condition can copy or "
                f"freeze; the weighted layers here are {', '.join((*MAIN, *BESIDE))}"
            )
    faults += [
        f"{places[position]}: layer {net.layer[position].name!r} gives the scores of a head, and lies on the way to "
        "the headline's scores, so FTall would copy a classifier; remove that head, or put a layer of its own before it"
        for position in sorted(heads.classifiers & way - classifier)
        if heads.headline
    ]
    blocks, orphans = _blocks(graphs, [position for position in every if position in way], classifier)
    faults += [
        f"{places[position]}: layer {net.layer[position].name!r} ({net.layer[position].type}) stands before the first "
        "weighted layer"
        for position in orphans
    ]
    faults += [
        _one_for_both_phases(net.layer[same[0]], places[same[0]])
        if name in pairs
        else f"{places[same[1]]}: two weighted layers are named {name!r}; Caffe copies by name, so each needs its own; "
        f"the first is at {places[same[0]]}"
        for name, same in twice.items()
    ]
    faults += [
        f"{places[position]}: layer {net.layer[position].name!r} ({net.layer[position].type}) has the name of the "
        f"{net.layer[same].type} layer at {places[same]}; Caffe copies by name, so each needs its own"
        for position in range(len(net.layer))
        for same in every
        if position not in every and net.layer[position].name == net.layer[same].name
    ]
    if not faults and (len(blocks) < 2 or blocks[-1].main.type == "Deconvolution"):
        faults.append(
            f"{file}: {len(blocks)} weighted layers; a net here has two or more, the last of which scores the classes"
        )
    if faults:
        raise UserError("\n".join(faults))
    auxiliary = [net.layer[position] for position in every if position not in way]
    classifiers = [net.layer[position] for position in sorted(heads.classifiers | classifier)]
    return WeightedLayers(blocks, auxiliary, classifiers, heads.headline)


def _unknown_bottoms(graphs: dict[int, NetGraph], places: Places) -> list[str]:
    """A line for each blob that a layer reads in one phase or both, and no layer above it gives there.

    A phase in which no layer gives data is no net at all, and has its own message.
    """
    phases: dict[tuple[int, str], list[str]] = {}
    for phase, graph in graphs.items():
        if all(graph.net.layer[position].bottom for position in graph.layers):
            continue
        for bottom in dict.fromkeys(graph.unknown):
            phases.setdefault(bottom, []).append(PHASES[phase])
    layers = graphs[TRAIN].net.layer
    return [
        f"{places[position]}: layer {layers[position].name!r}: unknown bottom blob {blob!r}"
        f"{f' in the {names[0]} phase' if len(names) < len(graphs) else ''}; no layer above it has that top: correct "
        "the name, or the order of the layers"
        for (position, blob), names in sorted(phases.items())
    ]


def _is_one_a_phase(same: list[int], graphs: dict[int, NetGraph]) -> bool:
    """Whether layers of one name are one layer, written once for each phase: Caffe's test net takes its weights."""
    types = {graphs[TRAIN].net.layer[position].type for position in same}
    return len(types) == 1 and all(len({*same} & {*graph.layers}) == 1 for graph in graphs.values())


def _one_for_both_phases(layer: LayerParameter, place: str) -> str:
    by_phase = ", and without use_global_stats, which Caffe sets by phase" if layer.type == "BatchNorm" else ""
    return (
        f"{place}: layer {layer.name!r} ({layer.type}) is there twice, once for each phase; write it once, without "
        f"include or exclude{by_phase}"
    )


def _blocks(
    graphs: dict[int, NetGraph], positions: list[int], classifier: frozenset[int]
) -> tuple[list[Block], list[int]]:
    """The blocks that the layers at `positions` make; and those that stand before the first block.

    A layer of BESIDE belongs to the block whose output it reads, directly or through layers without weights. Of several
    (it reads a sum) that is the last one in the file. If it reads none, it belongs to the one before it in the file.
    """
    layers = graphs[TRAIN].net.layer
    blocks: list[Block] = []
    last, at = Block([]), None
    block_of: dict[int, Block] = {}  # the position of a layer of MAIN -> its block
    orphans = []
    for position in positions:
        layer = layers[position]
        if layer.type in MAIN:
            at = block_of[position] = last if position in classifier else Block([])
            at.layers.append(layer)
            blocks += [] if position in classifier else [at]
        elif layer.type in BESIDE and at is None:
            orphans.append(position)
        elif layer.type in BESIDE and at is not None:
            read = set[int]().union(*(graph.nearest(position, MAIN) for graph in graphs.values())) & block_of.keys()
            block_of.get(max(read, default=NOBODY), at).layers.append(layer)
    return [*blocks, *([last] if last.layers else [])], orphans


def _is_weighted(layer: LayerParameter) -> bool:
    if layer.type in BESIDE:
        return blob_count(layer) > 0
    return layer.type in (*MAIN, *UNCOUNTED) or bool(layer.param)  # Caffe refuses a `param` without a blob


def blob_count(layer: LayerParameter) -> int:
    """How many parameter blobs Caffe gives a layer (its LayerSetUp), at least as many as it has `param` blocks."""
    one_bottom = len(layer.bottom) == 1
    count = {
        "Convolution": 1 + layer.convolution_param.bias_term,
        "Deconvolution": 1 + layer.convolution_param.bias_term,
        "InnerProduct": 1 + layer.inner_product_param.bias_term,
        "BatchNorm": 3,
        "Scale": one_bottom + layer.scale_param.bias_term,
        "Bias": int(one_bottom),
        "PReLU": 1,
    }[layer.type]
    return max(count, len(layer.param))
