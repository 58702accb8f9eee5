"""Net: layers by name, blobs by name, and which of them need a gradient.

Source followed: BVLC Caffe's net.cpp, decision for decision, so that a net means the same in both.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from caffeformat.caffeformat_pb2 import LayerParameter, NetState, ParamSpec
from torchcaffe import layer_types
from torchcaffe.common import log
from torchcaffe.common.blob import Blob
from torchcaffe.common.context import Context, current
from torchcaffe.common.log import Fatal, check, number, shape_string
from torchcaffe.nets import debug_info, parsed_net
from torchcaffe.nets.params import Params
from torchcaffe.nets.parsed_net import Source


class Net:
    """A net built from `source` for `state`.

    `layers[i]` has the blobs `bottoms[i]` and `tops[i]`. `blobs` are all blobs in the order in which they arise, with
    `blob_names`; `by_name` finds one. `params` are the learnable parameters. `outputs` are the names of the blobs
    that nothing reads, in alphabetical order. With `debug_info` the log tells the size of all values and gradients.
    """

    def __init__(self, source: Source, state: NetState, context: Context | None = None):
        self.context = replace(context or current())
        self.phase = state.phase
        self.debug_info = source.param.debug_info
        source.param.state.CopyFrom(state)
        source = parsed_net.filtered(source)
        log.info("net.cpp:53", f"Initializing net from parameters: \n{log.debug_string(source.param)}")
        source = parsed_net.with_splits(source)
        self.name = source.param.name
        self.layers: list[layer_types.Layer] = []
        self.bottoms: list[list[Blob]] = []
        self.tops: list[list[Blob]] = []
        self.blobs: list[Blob] = []
        self.by_name: dict[str, Blob] = {}
        self.inputs: list[str] = []
        self.loss_weights: dict[str, float] = {}
        self.params = Params()
        self._propagate_down: list[list[bool]] = []
        self._backward_blobs: set[int] = set()  # id() of each blob that a gradient reaches
        self.layer_need_backward: list[bool] = []
        self._free: set[str] = set()  # blobs that no layer has read yet
        self._shared: dict[int, list[Blob]] = {}  # id() of a blob -> all that are one memory with it in Caffe
        self._written: dict[int, list[tuple[Blob, Blob]]] = {}  # layer in place -> its top, what else it changes
        self._bytes = 0
        for layer, place in zip(source.param.layer, source.places, strict=True):
            if not layer.HasField("phase"):
                layer.phase = self.phase
            self._append(layer_types.create(self._announced(layer, place), self.context, place))
        self._drop_needless_gradients()
        if source.param.force_backward:
            self._force_backward()
        self.outputs = sorted(self._free)
        for name in self.outputs:
            log.info("net.cpp:244", f"This network produces output {name}")
        self.params.share()
        log.info("net.cpp:257", "Network initialization done.")

    # Construction

    def _announced(self, layer: LayerParameter, place: str) -> LayerParameter:
        count = len(layer.propagate_down)
        wrong = f"{place}: layer '{layer.name}': propagate_down must be specified either 0 or bottom_size times"
        check(count in (0, len(layer.bottom)), wrong, "net.cpp:79")
        log.info("layer_factory.hpp:77", f"Creating layer {layer.name}")
        return layer

    def _append(self, layer: layer_types.Layer) -> None:
        log.info("net.cpp:86", f"Creating Layer {layer.name}")
        bottom = [self._bottom(layer, index) for index in range(len(layer.param.bottom))]
        # Whether a gradient is wanted below is the user's word, propagate_down, or follows from what is below.
        self._propagate_down.append(list(layer.param.propagate_down) or [id(b) in self._backward_blobs for b in bottom])
        need_backward = any(id(blob) in self._backward_blobs for blob in bottom)
        top = [self._top(layer, index, bottom) for index in range(len(layer.param.top))]
        if layer.is_loss and not top:
            top = [self._automatic_top(layer)]
        self.layers.append(layer)
        self.bottoms.append(bottom)
        self.tops.append(top)
        with _named(layer):
            layer.setup(bottom, top)
        self._log_setup(layer, top)
        self._note_shared(layer, bottom, top)
        specs = list(layer.param.param)
        check(
            len(specs) <= len(layer.blobs),
            f"{layer.where}: Too many params specified for layer {layer.name}: {len(specs)}, but it has "
            f"{len(layer.blobs)} parameter blobs",
            "net.cpp:143",
        )
        specs += [ParamSpec()] * (len(layer.blobs) - len(specs))
        layer.learns = [spec.lr_mult != 0 for spec in specs]
        for index, spec in enumerate(specs):
            self.params.append(layer, index, spec)
        need_backward |= any(layer.learns)
        self.layer_need_backward.append(need_backward)
        if need_backward:
            self._backward_blobs.update(id(blob) for blob in top)

    def _note_shared(self, layer: layer_types.Layer, bottom: list[Blob], top: list[Blob]) -> None:
        in_place = [blob for blob in top if any(blob is below for below in bottom)]
        pairs = [(blob, other) for blob in in_place for other in self._shared.get(id(blob), []) if other is not blob]
        if pairs:
            self._written[len(self.layers) - 1] = pairs
        if layer.shares_memory(bottom, top):
            group = self._shared.setdefault(id(bottom[0]), [bottom[0]])
            for blob in top:
                group.append(blob)
                self._shared[id(blob)] = group

    def _bottom(self, layer: layer_types.Layer, index: int) -> Blob:
        name = layer.param.bottom[index]
        unknown = f"{layer.where}: Unknown bottom blob '{name}' (layer '{layer.name}', bottom index {index})"
        check(name in self._free, unknown, "net.cpp:404")
        log.info("net.cpp:408", f"{layer.name} <- {name}")
        self._free.discard(name)
        return self.by_name[name]

    def _top(self, layer: layer_types.Layer, index: int, bottom: list[Blob]) -> Blob:
        name = layer.param.top[index]
        if index < len(bottom) and bottom[index].name == name:
            log.info("net.cpp:369", f"{layer.name} -> {name} (in-place)")
            self._free.add(name)
            return bottom[index]
        twice = f"{layer.where}: Top blob '{name}' produced by multiple sources."
        check(name not in self.by_name, twice, "net.cpp:377")
        log.info("net.cpp:382", f"{layer.name} -> {name}")
        blob = Blob(self.context, name=name)
        self.blobs.append(blob)
        self.by_name[name] = blob
        self._free.add(name)
        if layer.type == "Input":
            self.inputs.append(name)
        return blob

    def _automatic_top(self, layer: layer_types.Layer) -> Blob:
        """A loss layer without a top gets one that no other layer can read."""
        log.info("net.cpp:382", f"{layer.name} -> (automatic)")
        blob = Blob(self.context, name="(automatic)")
        self.blobs.append(blob)
        return blob

    def _log_setup(self, layer: layer_types.Layer, top: list[Blob]) -> None:
        log.info("net.cpp:124", f"Setting up {layer.name}")
        for blob, weight in zip(top, layer.loss_weights, strict=True):
            self.loss_weights[blob.name] = weight
            log.info("net.cpp:131", f"Top shape: {shape_string(blob.shape)}")
            if weight:
                log.info("net.cpp:134", f"    with loss weight {number(weight)}")
            self._bytes += 4 * blob.count
        log.info("net.cpp:139", f"Memory required for data: {self._bytes}")

    def _drop_needless_gradients(self) -> None:
        """Takes back what does not contribute to a loss, or has nothing to learn below it."""
        under_loss: set[str] = set()
        skipped: set[str] = set()
        for index in reversed(range(len(self.layers))):
            layer, top, bottom = self.layers[index], self.tops[index], self.bottoms[index]
            pairs = list(zip(top, layer.loss_weights, strict=True))
            contributes = any(weight or blob.name in under_loss for blob, weight in pairs)
            if self.layer_need_backward[index] and all(blob.name in skipped for blob in top):
                self.layer_need_backward[index] = False
                self._propagate_down[index] = [False] * len(bottom)
            if not contributes:
                self.layer_need_backward[index] = False
                self._propagate_down[index] = [False] * len(bottom)
            if self.layer_need_backward[index]:
                log.info("net.cpp:200", f"{layer.name} needs backward computation.")
            else:
                log.info("net.cpp:202", f"{layer.name} does not need backward computation.")
            if contributes:
                under_loss.update(blob.name for blob in bottom)
            down = zip(bottom, self._propagate_down[index], strict=True)
            skipped.update(blob.name for blob, wanted in down if not wanted)

    def _force_backward(self) -> None:
        for index, layer in enumerate(self.layers):
            self.layer_need_backward[index] = True
            layer.learns = [True] * len(layer.blobs)
            down = self._propagate_down[index]
            self._propagate_down[index] = [d or layer.allow_force_backward(i) for i, d in enumerate(down)]

    # Work

    def fetch(self) -> None:
        """What comes from the host, for a pass that then finds it `fetched`."""
        for index, (layer, top) in enumerate(zip(self.layers, self.tops, strict=True)):
            layer.fetch(top)
            if layer.resized:
                self.reshape(index + 1)

    def forward(self, start: int = 0, end: int | None = None, fetched: bool = False) -> torch.Tensor:
        """Runs the layers from `start` to `end`, included; gives the loss, a tensor of no axes."""
        loss = torch.zeros((), dtype=self.context.dtype, device=self.context.device)
        last = len(self.layers) - 1 if end is None else end
        for index in range(start, last + 1):
            layer, top = self.layers[index], self.tops[index]
            with _named(layer):
                (layer.compute if fetched else layer.forward)(self.bottoms[index], top)
            for blob, other in self._written.get(index, ()):
                other.value = blob.value.reshape(other.shape)
            if not self.layer_need_backward[index]:
                layer.release_saved()
            if layer.resized and not fetched:
                self.reshape(index + 1)
            for blob, weight in zip(top, layer.loss_weights, strict=True):
                if weight:
                    loss = loss + _weighted(blob, weight)
            if self.debug_info:
                debug_info.forward(layer, top)
        return loss

    def backward(self, start: int | None = None, end: int = 0) -> None:
        """Runs the gradients back from layer `start` to `end`, where any is needed. Those of parameters are added."""
        first = len(self.layers) - 1 if start is None else start
        for index in range(first, end - 1, -1):
            if self.layer_need_backward[index]:
                with _named(self.layers[index]):
                    self.layers[index].backward(self.tops[index], self._propagate_down[index], self.bottoms[index])
                if self.debug_info:
                    debug_info.backward(self.layers[index], self.bottoms[index], self._propagate_down[index])
        if self.debug_info and start is None and end == 0:
            debug_info.all_params(self.params)

    def reshape(self, start: int = 0) -> None:
        """Lets the shapes of the inputs reach all layers, from `start` on."""
        for index in range(start, len(self.layers)):
            self.layers[index].reshape(self.bottoms[index], self.tops[index])

    def output_values(self) -> Iterator[tuple[str, float, float]]:
        """Each value of each output blob: name, value, loss weight of the blob."""
        for name in self.outputs:
            for value in self.by_name[name].data.ravel():
                yield name, value, self.loss_weights[name]

    def share_params_with(self, other: "Net") -> None:
        """Takes over the parameters of the layers that `other` has by the same names. Raises Fatal."""
        mine = {layer.name: layer for layer in reversed(self.layers)}
        for source in other.layers:
            target = mine.get(source.name)
            if target is None:
                log.info("net.cpp:678", f"Ignoring source layer {source.name}")
                continue
            wrong = f"Incompatible number of blobs for layer {source.name}"
            check(len(target.blobs) == len(source.blobs), wrong, "net.cpp:684")
            for index, (blob, given) in enumerate(zip(target.blobs, source.blobs, strict=True)):
                if blob.shape != given.shape:
                    raise Fatal(
                        f"Cannot share param {index} weights from layer '{source.name}'; shape mismatch.  Source param "
                        f"shape is {shape_string(given.shape)}; target param shape is {shape_string(blob.shape)}",
                        "net.cpp:688",
                    )
                blob.value = given.value


@contextmanager
def _named(layer: layer_types.Layer) -> Iterator[None]:
    """Adds the layer to what says that there is no memory for it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        error.add_note(f"{layer.where}: layer '{layer.name}' ({layer.type})")
        raise


def _weighted(blob: Blob, weight: float) -> torch.Tensor:
    """Caffe's dot product of a top with its diff: setup wrote the weight there, and since then what reads the top has
    left its gradient there."""
    if blob.grad is None or blob.grad.shape != blob.value.shape:
        return blob.value.sum() * weight
    return (blob.value * blob.grad).sum()
