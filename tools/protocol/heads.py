"""The heads of a net: its Accuracy and loss layers that read scores of the classes, and which of them is the headline.

A head's classifier is the weighted layer that gives the scores: the first one on the way back from the head, through
layers that keep the number of classes (Softmax, Pooling, ReLU, Dropout). Where an Eltwise layer adds the scores of
several layers, all of these are the classifier.

The headline accuracy is the top-1 Accuracy layer of the TEST phase with the deepest classifier: the one with the most
weighted layers on its longest way from the data. Of equally deep classifiers it is the one whose loss has the largest
loss_weight. Of several Accuracy layers that read one classifier it is the first in the file. The headline loss is the
loss layer of the TEST phase that reads the same classifier: the first SoftmaxWithLoss, or else the first. A net whose
graph does not decide this is refused, with the names of the layers; so is one where a less deep classifier has a larger
loss_weight.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from caffeformat import FormatError, prototxt
from caffeformat.caffeformat_pb2 import TEST, TRAIN, LayerParameter, LossParameter, NetParameter, SolverParameter
from tools.common.errors import UserError
from tools.protocol.net_graph import NOBODY, PHASES, NetGraph, graph_of

MAIN = ("Convolution", "Deconvolution", "InnerProduct")
PREDICTED = "predicted"  # the blob and layer that `predict` adds
SMOOTHED = "SmoothedLoss"  # the column of train.csv with the net's whole loss
_CLASS_LOSSES = ("SoftmaxWithLoss", "MultinomialLogisticLoss", "HingeLoss", "InfogainLoss")
_LABELS_AS_THEY_ARE = ("Split", "Reshape", "Flatten")
_COLUMNS = ("NumIters", "Seconds", "LearningRate", "TestNet", "TestLoss", SMOOTHED)  # of train.csv and test.csv


@dataclass(frozen=True)
class Headline:
    """The Accuracy and loss layer that a run's results are read from, by their place in the net's graph."""

    accuracy: LayerParameter
    loss: LayerParameter
    classifier: frozenset[int]  # the positions in net.layer of the layers that give the scores
    way: frozenset[int]  # the positions of all layers of the TEST phase that the scores depend on
    training_loss: str | None  # the column of train.csv with the classifier's own log loss; None if there is none
    is_log_loss: bool  # whether `loss` is the mean of -ln(probability of the right class)

    @property
    def outputs(self) -> tuple[str, str]:
        """The names of the two outputs."""
        return self.accuracy.top[0], self.loss.top[0]


@dataclass(frozen=True)
class Heads:
    """All heads of a net. Without Accuracy layers a net has no headline."""

    headline: Headline | None
    classifiers: frozenset[int]  # the positions of the layers that give scores of the classes to any head
    faults: list[str]  # why there is no headline, or a head cannot be given other classes


class _Unclear(Exception):
    """The graph does not say which layer gives a head's scores. The text says why."""


class Places:
    """Where the layers of a net are written: `prototxt/mini/train_val.prototxt:17`."""

    def __init__(self, net: NetParameter, file: Path) -> None:
        self._file, self._layers = file, len(net.layer)

    @cached_property
    def _lines(self) -> list[int]:
        """Read for the first fault: a net without faults costs no time."""
        try:
            lines = prototxt.layer_lines(self._file)
        except FormatError:
            return []  # a net that was parsed from a text
        return lines if len(lines) == self._layers else []

    def __getitem__(self, position: int | None) -> str:
        return str(self._file) if position is None or not self._lines else f"{self._file}:{self._lines[position]}"


def headline_of(net: NetParameter, file: Path, solver: SolverParameter | None = None) -> Headline:
    """The headline of the net in `file`; `solver` has the states of its phases. Raises UserError with all faults."""
    heads = find_heads(net, file, solver)
    if heads.faults or heads.headline is None:
        raise UserError("\n".join(heads.faults or [_no_accuracy(net, Places(net, file))]))
    return heads.headline


def find_heads(net: NetParameter, file: Path, solver: SolverParameter | None = None) -> Heads:
    places = Places(net, file)
    graphs = {phase: graph_of(net, phase, solver) for phase in PHASES}
    classifiers: dict[int, dict[int, frozenset[int]]] = {phase: {} for phase in PHASES}
    faults: dict[str, None] = {}
    for phase, graph in graphs.items():
        for head in filter(lambda position: _reads_classes(graph, position), graph.layers):
            try:
                classifiers[phase][head] = frozenset(_classifier(graph, head))
            except _Unclear as reason:
                layer = net.layer[head]
                faults[f"{places[head]}: {layer.type} layer {layer.name!r}: {reason}"] = None
    headline = None
    if any(layer.type == "Accuracy" for layer in net.layer) and not faults:
        found = _choose(graphs, classifiers, places)
        headline, more = (None, found) if isinstance(found, list) else (found, _of_headline(graphs, found, places))
        faults |= dict.fromkeys(more)
    every = frozenset[int]().union(*(found for heads in classifiers.values() for found in heads.values()))
    return Heads(headline, every, list(faults))


def _reads_classes(graph: NetGraph, position: int) -> bool:
    """Whether a layer is a head: an Accuracy layer or a loss over classes whose labels are a Data layer's own.

    In a phase without a Data layer (it is refused) another layer without bottoms counts as one: its heads are no fault.
    """
    layer, sources = graph.net.layer[position], graph.sources[position]
    if layer.type not in ("Accuracy", *_CLASS_LOSSES) or len(sources) < 2:
        return False
    source = sources[1]
    while source != NOBODY and graph.net.layer[source].type in _LABELS_AS_THEY_ARE:
        source = graph.sources[source][0]
    if source == NOBODY:
        return False
    is_data = graph.net.layer[source].type in ("Data", "ImageData")
    return is_data or not (graph.sources[source] or graph.of_type("Data"))


def _classifier(graph: NetGraph, head: int) -> set[int]:
    """The positions of the weighted layers that give the scores of a head. Raises _Unclear."""
    waiting, found, seen = [graph.sources[head][0]], set(), set()
    while waiting:
        source = waiting.pop()
        if source == NOBODY or not graph.sources[source]:
            raise _Unclear("no Convolution or InnerProduct layer gives its scores")
        if source in seen:
            continue
        seen.add(source)
        layer = graph.net.layer[source]
        if layer.type in ("Concat", "Slice", "Deconvolution"):
            raise _Unclear(
                f"its scores come from the {layer.type} layer {layer.name!r}, so no layer has one output a class; put "
                "one Convolution or InnerProduct layer before the head, or remove the head"
            )
        if layer.type in MAIN:
            found.add(source)
        else:
            waiting += graph.sources[source] if layer.type == "Eltwise" else graph.sources[source][:1]
    return found


def _choose(
    graphs: dict[int, NetGraph], classifiers: dict[int, dict[int, frozenset[int]]], places: Places
) -> Headline | list[str]:
    """The headline, or why there is none."""
    graph, heads = graphs[TEST], classifiers[TEST]
    layers = graph.net.layer
    accuracies = [head for head in heads if _is_headline_accuracy(layers[head])]
    if not accuracies:
        return [_no_accuracy(graph.net, places)]
    depths = graph.depths(MAIN)
    rank = {}
    for head in accuracies:
        losses_of_head = _losses(graphs[TRAIN], classifiers[TRAIN], heads[head])
        weight = max((_weight(layers[loss]) for loss in losses_of_head), default=0.0)
        rank[head] = max(depths[layer] for layer in heads[head]), weight
    accuracy = max(accuracies, key=lambda head: rank[head])  # the first of equal ones
    classifier = heads[accuracy]
    others = [head for head in accuracies if heads[head] != classifier]
    rivals = [head for head in others if rank[head] == rank[accuracy] or rank[head][1] > rank[accuracy][1]]
    if rivals:
        named = ", ".join(
            f"{layers[head].name!r} of {_names(graph, heads[head])} ({rank[head][0]} weighted layers deep, loss_weight "
            f"{rank[head][1]:g})"
            for head in sorted([accuracy, *rivals])
        )
        return [
            f"{places[accuracy]}: none of the top-1 Accuracy layers {named} is the headline; leave one of them, or "
            "give the others `top_k: 2` or more"
        ]
    losses = {phase: _losses(graphs[phase], classifiers[phase], classifier) for phase in graphs}
    training = [loss for loss in losses[TRAIN] if _weight(layers[loss])]
    if (unnamed := _without_top(layers, classifiers, classifier, places)) and not (losses[TEST] and training):
        return unnamed
    faults = []
    if not losses[TEST]:
        elsewhere = [places[loss] for loss in losses[TRAIN]]
        faults.append(
            f"{elsewhere[0] if elsewhere else places[accuracy]}: no loss layer of the TEST phase reads the scores of "
            f"{_names(graph, classifier)}, which the headline accuracy {layers[accuracy].name!r} reads; the loss "
            f"column is read from its top: {'put the loss layer into both phases' if elsewhere else 'add one'}"
        )
    if not training:
        faults.append(
            f"{places[accuracy]}: no loss layer of the TRAIN phase with a loss_weight reads the scores of "
            f"{_names(graph, classifier)}, which the headline accuracy {layers[accuracy].name!r} reads: it would not "
            "learn; add one, or remove this Accuracy layer"
        )
    if faults:
        return faults
    return Headline(
        layers[accuracy],
        layers[losses[TEST][0]],
        classifier,
        frozenset(graph.above(accuracy, [0])),
        _training_loss(graphs[TRAIN], training),
        _is_log_loss(layers[losses[TEST][0]]),
    )


def _without_top(
    layers: Sequence[LayerParameter],
    classifiers: dict[int, dict[int, frozenset[int]]],
    classifier: frozenset[int],
    places: Places,
) -> list[str]:
    """A line for each loss that reads `classifier` and has no top: Caffe trains with it all the same."""
    found = {head for heads in classifiers.values() for head, read in heads.items() if read == classifier}
    return [
        f"{places[loss]}: {layers[loss].type} layer {layers[loss].name!r} has no top: Caffe gives it one without a "
        f'name of its own, from which no results are read; give it one: top: "{layers[loss].name}"'
        for loss in sorted(found)
        if layers[loss].type in _CLASS_LOSSES and not layers[loss].top
    ]


def _is_headline_accuracy(layer: LayerParameter) -> bool:
    param = layer.accuracy_param
    return layer.type == "Accuracy" and param.top_k == 1 and not param.HasField("ignore_label") and bool(layer.top)


def _losses(graph: NetGraph, heads: dict[int, frozenset[int]], classifier: frozenset[int]) -> list[int]:
    """The loss layers that read a classifier, in the order of the file, but each SoftmaxWithLoss first."""
    layers = graph.net.layer
    found = [head for head in heads if layers[head].type in _CLASS_LOSSES and layers[head].top]
    return sorted(
        (head for head in found if heads[head] == classifier), key=lambda head: layers[head].type != "SoftmaxWithLoss"
    )


def _weight(layer: LayerParameter) -> float:
    """The weight of a layer's first top in the net's loss."""
    return layer.loss_weight[0] if layer.loss_weight else float(layer.type.endswith("Loss"))


def loss_layers(graph: NetGraph) -> list[int]:
    """The layers whose tops the net's loss is the weighted sum of."""
    layers = graph.net.layer
    return [position for position in graph.layers if _weight(layers[position]) or any(layers[position].loss_weight)]


def _is_log_loss(layer: LayerParameter) -> bool:
    param = layer.loss_param
    plain = not param.HasField("ignore_label") and param.normalization != LossParameter.NONE
    return layer.type in ("SoftmaxWithLoss", "MultinomialLogisticLoss") and plain


def _training_loss(graph: NetGraph, losses: list[int]) -> str | None:
    """The column of train.csv with the log loss of the classifier that `losses` read."""
    layers = graph.net.layer
    logs = [loss for loss in losses if _is_log_loss(layers[loss])]
    if not logs:
        return None
    if loss_layers(graph) == logs and _weight(layers[logs[0]]) == 1:
        return SMOOTHED
    top: str = layers[logs[0]].top[0]
    return top if top in graph.outputs else None


def _of_headline(graphs: dict[int, NetGraph], headline: Headline, places: Places) -> list[str]:
    """What a training would not notice, and its end could not be read without."""
    graph, faults = graphs[TEST], []
    layers = graph.net.layer
    for layer in (headline.accuracy, headline.loss):
        position = list(layers).index(layer)
        top = layer.top[0]
        if top not in graph.outputs:
            faults.append(
                f"{places[position]}: {layer.type} layer {layer.name!r}: another layer reads its top {top!r}, so the "
                "test does not print it; results are read from there: remove that layer from the TEST phase"
            )
        if top in _COLUMNS:
            faults.append(
                f"{places[position]}: {layer.type} layer {layer.name!r}: train.csv and test.csv have a column {top!r} "
                "of their own; give its top another name"
            )
    accuracy = list(layers).index(headline.accuracy)
    for position in sorted(graph.above(accuracy)):
        layer = layers[position]
        if PREDICTED in (layer.name, *layer.top):
            faults.append(
                f"{places[position]}: layer {layer.name!r}: `predict` adds a layer and a blob named {PREDICTED!r}; "
                "give this one another name"
            )
    label = headline.accuracy.bottom[1]
    if any(character.isspace() for character in label):
        faults.append(
            f"{places[accuracy]}: the label's blob {label!r} has a space in its name; `predict` cannot read it"
        )
    return faults


def _no_accuracy(net: NetParameter, places: Places) -> str:
    others = [
        f"{layer.name!r} at {places[position]}" for position, layer in enumerate(net.layer) if layer.type == "Accuracy"
    ]
    there = f" (not {', '.join(others)})" if others else ""
    return (
        f"{places[None]}: no top-1 Accuracy layer in the TEST phase that reads the Data layer's labels and has no "
        f"ignore_label{there}; the headline accuracy is read from its top"
    )


def _names(graph: NetGraph, positions: Iterable[int]) -> str:
    return " and ".join(repr(graph.net.layer[position].name) for position in sorted(positions))
