"""The net that is exported: of a train_val prototxt what `test` runs, with inputs for data and predictions for losses.

Data, ImageData, ...        -> Input
SoftmaxWithLoss, ...        -> Softmax; SigmoidCrossEntropyLoss -> Sigmoid; others: the scores that they read
Accuracy, HDF5Output, ...   -> nothing, and so is every layer that no output needs
"""

from dataclasses import dataclass

from google.protobuf.message import Message

from caffeformat.caffeformat_pb2 import TEST, TRAIN, LayerParameter, NetState
from torchcaffe.common.log import Fatal
from torchcaffe.nets.parsed_net import ParsedNet, filtered

DATA = ("Data", "DummyData", "HDF5Data", "ImageData", "Input", "MemoryData", "WindowData")
WEIGHTED = (
    *("BatchNorm", "Bias", "Convolution", "Deconvolution", "Embed", "InnerProduct", "LSTM", "PReLU", "Parameter"),
    *("Python", "RNN", "Scale"),
)
_ACTIVATIONS = {"SoftmaxWithLoss": "Softmax", "InfogainLoss": "Softmax", "SigmoidCrossEntropyLoss": "Sigmoid"}
_SCORES_READ = {"EuclideanLoss": 2, "ContrastiveLoss": 2, "HingeLoss": 1, "MultinomialLogisticLoss": 1}
_LOSSES = (*_ACTIVATIONS, *_SCORES_READ)
_DROPPED = ("Accuracy", "HDF5Output", "Silence")


@dataclass
class InferenceNet:
    """`parsed` has the layers that are exported. Its Input layers have no shapes yet.

    `data` has, for each input, the layer that makes it in the prototxt, the index among its tops, and its place.
    `outputs` are the names of the blobs that the net computes for its user: first `prob` of the loss with the largest
    loss_weight, of equal ones the last. `scores` has, for each that stands for a loss, the blob that the loss reads.
    `states` has the inputs that are hidden states, each with the output that it is after the last timestep.
    `in_training` are the layers, as `drop6 (Dropout)`, that the phase TRAIN has and TEST does not, without data layers,
    losses and Accuracy.
    """

    parsed: ParsedNet
    data: dict[str, tuple[LayerParameter, int, str]]
    outputs: list[str]
    scores: dict[str, str]
    states: dict[str, str]
    in_training: tuple[str, ...] = ()

    def named_outputs(self) -> str:
        """The outputs for a line of text, those of losses with their scores: prob <- loss3/classifier."""
        return ", ".join(f"{name} <- {self.scores[name]}" if name in self.scores else name for name in self.outputs)


def inference_net(parsed: ParsedNet, state: NetState | None = None) -> InferenceNet:
    """The net that computes predictions, from the layers of `parsed` (upgraded) that the phase TEST includes.

    `state` has the stages and the level. Raises Fatal.
    """
    parsed.param.state.MergeFrom(state or NetState())
    parsed.param.state.phase = TRAIN
    trained = filtered(parsed).param.layer
    parsed.param.state.phase = TEST
    tested = filtered(parsed)
    net = _Builder(tested).net()
    also = {layer.SerializeToString() for layer in tested.param.layer}
    net.in_training = tuple(
        f"{layer.name} ({layer.type})"
        for layer in trained
        if layer.type not in (*DATA, *_LOSSES, *_DROPPED) and layer.SerializeToString() not in also
    )
    return net


class _Builder:
    def __init__(self, parsed: ParsedNet):
        self._parsed = parsed
        self._layers: list[tuple[LayerParameter, str]] = []
        self._data: dict[str, tuple[LayerParameter, int, str]] = {}
        self._made_by: dict[str, int] = {}  # blob -> the index in _layers of the layer that makes its present value
        self._sources: list[list[int]] = []  # of each layer, the layers that it reads
        self._gone: set[str] = set()  # blobs that only training and testing need
        self._wanted: dict[str, None] = {}  # predictions
        self._scores: dict[str, str] = {}
        self._scored: set[str] = set()  # what Accuracy and HDF5Output read: predictions, if nothing else reads it
        self._names = {name for layer in parsed.param.layer for name in (layer.name, *layer.top)}
        losses = [layer for layer in parsed.param.layer if layer.type in _ACTIVATIONS]
        self._main = max(reversed(losses), key=_loss_weight, default=None)  # of equal ones the last
        self._main_name = self._unused("prob")

    def net(self) -> InferenceNet:
        for layer, place in zip(self._parsed.param.layer, self._parsed.places, strict=True):
            for blob in layer.bottom:
                known = blob in self._made_by or blob in self._gone
                if not known:
                    raise Fatal(f"{place}: Unknown bottom blob '{blob}' (layer '{layer.name}')", "net.cpp:404")
            if layer.type in DATA:
                self._add_inputs(layer, place)
            elif layer.type in _LOSSES:
                self._add_prediction(layer, place)
            elif layer.type in _DROPPED or any(blob in self._gone for blob in layer.bottom):
                self._gone.update(layer.top)
                read = layer.bottom[:1] if layer.type == "Accuracy" else layer.bottom
                if layer.type != "Silence" and not any(blob in self._gone for blob in layer.bottom):
                    self._scored.update(blob for blob in read if self._is_learned(blob))
            else:
                self._append(layer, place)
        return self._pruned()

    def _append(self, layer: LayerParameter, place: str) -> None:
        copy = LayerParameter()
        copy.CopyFrom(layer)
        for field in ("include", "exclude", "loss_weight", "propagate_down", "blobs", "phase"):
            copy.ClearField(field)
        clear_fillers(copy)
        self._sources.append([self._made_by[blob] for blob in copy.bottom])
        self._made_by.update(dict.fromkeys(copy.top, len(self._layers)))
        self._layers.append((copy, place))

    def _add_inputs(self, layer: LayerParameter, place: str) -> None:
        """An Input layer for each top: labels are pruned later, and a shared layer could keep them."""
        for index, blob in enumerate(layer.top):
            self._data[blob] = (layer, index, place)
            name = layer.name if index == 0 else blob
            self._append(LayerParameter(name=name, type="Input", top=[blob]), place)

    def _add_prediction(self, layer: LayerParameter, place: str) -> None:
        self._gone.update(layer.top)
        if any(blob in self._gone for blob in layer.bottom):
            return
        if layer.type not in _ACTIVATIONS:
            read = list(layer.bottom)[: _SCORES_READ[layer.type]]
            self._wanted.update(dict.fromkeys([blob for blob in read if self._is_learned(blob)] or read[:1]))
            return
        top = self._main_name if layer == self._main else self._unused("prob")
        activation = LayerParameter(name=top, type=_ACTIVATIONS[layer.type], bottom=layer.bottom[:1], top=[top])
        if layer.type == "InfogainLoss":
            activation.softmax_param.axis = layer.infogain_loss_param.axis
        elif layer.HasField("softmax_param"):
            activation.softmax_param.CopyFrom(layer.softmax_param)
        self._append(activation, place)
        self._wanted[top] = None
        self._scores[top] = layer.bottom[0]

    def _unused(self, name: str) -> str:
        """`name`, or with a number, such that no layer and no blob has it."""
        names = [name, *(f"{name}{number}" for number in range(2, len(self._names) + 3))]
        free = next(candidate for candidate in names if candidate not in self._names)
        self._names.add(free)
        return free

    def _is_learned(self, blob: str) -> bool:
        """Whether a layer with weights is above `blob`: if not, it is a target and no prediction."""
        waiting, seen = [self._made_by[blob]], set()
        while waiting:
            index = waiting.pop()
            if self._layers[index][0].type in WEIGHTED:
                return True
            if index not in seen:
                seen.add(index)
                waiting += self._sources[index]
        return False

    def _pruned(self) -> InferenceNet:
        read = {blob for layer, _ in self._layers for blob in _read_from_others(layer)}
        unread = [
            blob
            for layer, _ in self._layers
            for blob in layer.top
            if layer.type != "Input" and blob not in read and (blob in self._scored or not self._is_for_training(blob))
        ]
        outputs = sorted(dict.fromkeys([*unread, *self._wanted]), key=lambda blob: blob != self._main_name)
        if not outputs:
            raise Fatal(f"{self._parsed.param.name or 'the net'}: it has no output: no layer computes a prediction")
        waiting, kept = [self._made_by[blob] for blob in outputs], set()
        while waiting:
            index = waiting.pop()
            if index not in kept:
                kept.add(index)
                waiting += self._sources[index]
        layers = [pair for index, pair in enumerate(self._layers) if index in kept]
        inputs = {layer.top[0] for layer, _ in layers if layer.type == "Input"}
        data = {blob: source for blob, source in self._data.items() if blob in inputs}
        return InferenceNet(self._parsed.with_layers(layers), data, outputs, self._scores, {})

    def _is_for_training(self, blob: str) -> bool:
        """Whether a loss, an Accuracy or a Silence layer reads it, so that Caffe does not print it as an output."""
        return any(blob in layer.bottom for layer in self._parsed.param.layer if layer.type in (*_LOSSES, *_DROPPED))


def _loss_weight(layer: LayerParameter) -> float:
    """Of a loss, as Caffe has it: 1 if none is given."""
    return layer.loss_weight[0] if layer.loss_weight else 1.0


def _read_from_others(layer: LayerParameter) -> list[str]:
    return [blob for blob in layer.bottom if blob not in layer.top]


def clear_fillers(message: Message) -> None:
    """Takes out all fillers: the weights come from a file, and to draw millions of numbers takes seconds."""
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.name == "FillerParameter":
            message.ClearField(field.name)
        elif field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                clear_fillers(inner)
