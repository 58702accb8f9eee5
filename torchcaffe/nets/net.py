"""Net: the layers and blobs of a net, and which of them need a gradient.

Source followed: BVLC Caffe's net.cpp, in all details, so that a prototxt means the same in both.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch

from caffeformat.caffeformat_pb2 import LayerParameter, NetParameter, NetState, ParamSpec, Phase
from torchcaffe import layer_types
from torchcaffe.common import log
from torchcaffe.common.blob import Blob, ShapeError
from torchcaffe.common.context import Context, current
from torchcaffe.common.log import Fatal, check, number, shape_string
from torchcaffe.layer_types.recurrent import RecurrentLayer
from torchcaffe.nets import debug_info
from torchcaffe.nets.params import Params
from torchcaffe.nets.parsed_net import ParsedNet, filtered
from torchcaffe.nets.splits import with_splits

_NAMED_ERRORS = (MemoryError, RuntimeError)


class Net:
    """The net in `parsed`, built for `state`; without one, for that in `parsed`. Raises Fatal.

    `layers[i]` reads `bottoms[i]` and writes `tops[i]`. `blobs` are all blobs, in the order in which layers produce
    them; `by_name` finds one by its name. `params` are the parameters. `outputs` are the names of the blobs that no
    layer reads, in alphabetical order. With `debug_info`, the log shows the mean of every blob and gradient.
    """

    def __init__(self, parsed: ParsedNet, state: NetState | None, context: Context | None = None):
        self.context = replace(context or current())
        self.debug_info = parsed.param.debug_info
        if state is not None:
            parsed.param.state.CopyFrom(state)
        self.phase = parsed.param.state.phase
        parsed = filtered(parsed)
        log.info("net.cpp:53", f"Initializing net from parameters: \n{log.debug_string(parsed.param)}")
        parsed = with_splits(parsed)
        self.name = parsed.param.name
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
        self._unread: set[str] = set()  # names of blobs that no layer has read yet
        # id() of a blob -> all blobs that have the same memory in Caffe
        self._same_memory: dict[int, list[Blob]] = {}
        # index of a layer that works in place -> pairs of its top and another blob that it changes too
        self._in_place_writes: dict[int, list[tuple[Blob, Blob]]] = {}
        self._same_gradient: dict[int, list[Blob]] = {}  # likewise for the memory of the gradients
        # index of a layer -> the blobs whose values, and whose gradients, have the same memory once it ran
        self._joins: dict[int, tuple[list[Blob], list[Blob]]] = {}
        # What a script wants to be called with the index of each layer, before and after its passes.
        self.before_forward: list[Callable[[int], None]] = []
        self.after_forward: list[Callable[[int], None]] = []
        self.before_backward: list[Callable[[int], None]] = []
        self.after_backward: list[Callable[[int], None]] = []
        self._bytes = 0
        self._no_loss = torch.zeros((), dtype=self.context.dtype, device=self.context.device)
        for layer, place in zip(parsed.param.layer, parsed.places, strict=True):
            if not layer.HasField("phase"):
                layer.phase = self.phase
            _check_propagate_down(layer, place)
            log.info("layer_factory.hpp:77", f"Creating layer {layer.name}")
            self._append(layer_types.create(layer, self.context, place))
        self._drop_unneeded_gradients()
        if parsed.param.force_backward:
            self._force_backward()
        # The blobs that no layer computes, whose shapes a script may change between two passes, and their last shapes.
        self._sources = [
            blob for tops, below in zip(self.tops, self.bottoms, strict=True) if not below for blob in tops
        ]
        self._source_shapes = [blob.shape for blob in self._sources]
        self.outputs = sorted(self._unread)
        for name in self.outputs:
            log.info("net.cpp:244", f"This network produces output {name}")
        self.params.share()
        log.info("net.cpp:257", "Network initialization done.")

    # Construction

    def _append(self, layer: layer_types.Layer) -> None:
        log.info("net.cpp:86", f"Creating Layer {layer.name}")
        bottom = [self._bottom(layer, index) for index in range(len(layer.param.bottom))]
        # propagate_down in the prototxt decides whether a bottom gets a gradient. Without it, the layers below decide.
        self._propagate_down.append(list(layer.param.propagate_down) or [id(b) in self._backward_blobs for b in bottom])
        need_backward = any(id(blob) in self._backward_blobs for blob in bottom)
        top = [self._top(layer, index, bottom) for index in range(len(layer.param.top))]
        if layer.is_loss and not top:
            top = [self._add_automatic_top(layer)]
        self.layers.append(layer)
        self.bottoms.append(bottom)
        self.tops.append(top)
        if isinstance(layer, RecurrentLayer):
            layer.build_net = partial(self._unrolled, layer.where)
        try:
            layer.setup(bottom, top)
        except _NAMED_ERRORS as error:
            _add_place(error, layer)
            raise
        self._log_setup(layer, top)
        self._record_same_memory(layer, bottom, top)
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

    def _unrolled(self, where: str, param: NetParameter) -> "Net":
        """The net inside a recurrent layer, which is at `where`."""
        return Net(ParsedNet(param, [where] * len(param.layer)), None, self.context)

    def owned(self) -> list[tuple[layer_types.Layer, int]]:
        """Layer and index of each parameter that is not another layer's."""
        return [(param.layer, param.index) for param in self.params.learnable]

    def _record_same_memory(self, layer: layer_types.Layer, bottom: list[Blob], top: list[Blob]) -> None:
        """In Caffe the tops of some layers (Split, Flatten, ...) share the memory of their bottom. A later layer that
        works in place on one of these blobs changes them all."""
        in_place = [blob for blob in top if any(blob is below for below in bottom)]
        pairs = [
            (blob, other) for blob in in_place for other in self._same_memory.get(id(blob), []) if other is not blob
        ]
        if pairs:
            self._in_place_writes[len(self.layers) - 1] = pairs
            written = {id(other) for _, other in pairs}
            for earlier, read in zip(self.layers[:-1], self.bottoms, strict=False):
                earlier.bottom_is_overwritten |= any(id(blob) in written for blob in read)
        if layer.shares_memory(bottom, top):
            values = _joined(self._same_memory, bottom[0], top)
            gradients = _joined(self._same_gradient, bottom[0], top) if layer.shares_gradient else []
            self._joins[len(self.layers) - 1] = values, gradients

    def _bottom(self, layer: layer_types.Layer, index: int) -> Blob:
        name = layer.param.bottom[index]
        unknown = f"{layer.where}: Unknown bottom blob '{name}' (layer '{layer.name}', bottom index {index})"
        check(name in self._unread, unknown, "net.cpp:404")
        log.info("net.cpp:408", f"{layer.name} <- {name}")
        self._unread.discard(name)
        return self.by_name[name]

    def _top(self, layer: layer_types.Layer, index: int, bottom: list[Blob]) -> Blob:
        name = layer.param.top[index]
        if index < len(bottom) and bottom[index].name == name:
            log.info("net.cpp:369", f"{layer.name} -> {name} (in-place)")
            self._unread.add(name)
            return bottom[index]
        twice = f"{layer.where}: Top blob '{name}' produced by multiple sources."
        check(name not in self.by_name, twice, "net.cpp:377")
        log.info("net.cpp:382", f"{layer.name} -> {name}")
        blob = Blob(self.context, name=name)
        self.blobs.append(blob)
        self.by_name[name] = blob
        self._unread.add(name)
        if layer.type == "Input":
            self.inputs.append(name)
        return blob

    def _add_automatic_top(self, layer: layer_types.Layer) -> Blob:
        """Gives a loss layer without a top one that no other layer can read."""
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

    def _drop_unneeded_gradients(self) -> None:
        """Switches off the backward pass of layers that do not contribute to a loss, or whose tops get no gradient."""
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

    # Passes

    def fetch(self) -> None:
        """Reads the next batches on the host, for a forward pass with `fetched`."""
        for index, (layer, top) in enumerate(zip(self.layers, self.tops, strict=True)):
            layer.fetch(top)
            if layer.resized:
                self.reshape(index + 1)

    def forward(
        self, start: int = 0, end: int | None = None, fetched: bool = False, reshapes: bool = False
    ) -> torch.Tensor:
        """Runs the layers from `start` to `end` (included) and returns the loss, a tensor without axes.

        With `fetched`, data layers use the batches that `fetch` has read. With `reshapes`, or if the shape of a blob
        that no layer computes is not that of the last pass, every layer first looks at the shapes of its bottoms.
        """
        if not self.layers:
            phase = Phase.Name(self.phase)
            raise Fatal(
                f"net '{self.name}' has no layers in phase {phase}: its file is empty, or rules leave all out",
                "net.cpp:520",
            )
        shapes = [blob.shape for blob in self._sources]
        reshapes |= shapes != self._source_shapes
        self._source_shapes = shapes
        loss = self._no_loss
        last = len(self.layers) - 1 if end is None else end
        resized = False  # whether a layer below has changed the size of its tops
        for index in range(start, last + 1):
            layer, top = self.layers[index], self.tops[index]
            for call in self.before_forward:
                call(index)
            if (resized or reshapes) and not layer.reshapes_itself:
                self.reshape(index, index)
            try:
                (layer.compute if fetched else layer.forward)(self.bottoms[index], top)
            except _NAMED_ERRORS as error:
                _add_place(error, layer)
                raise
            for blob, other in self._in_place_writes.get(index, ()):
                other.value = blob.value.reshape(other.shape)
            if index in self._joins:
                self._join(*self._joins[index])
            if not self.layer_need_backward[index]:
                layer.release_saved()
            resized |= layer.resized and not fetched
            if any(layer.loss_weights):
                for blob, weight in zip(top, layer.loss_weights, strict=True):
                    if weight:
                        loss = loss + _weighted(blob, weight)
            if self.debug_info:
                debug_info.forward(layer, top)
            for call in self.after_forward:
                call(index)
        if resized:
            self.reshape(last + 1)
        return loss

    def _join(self, values: list[Blob], gradients: list[Blob]) -> None:
        """Tells the blobs of a layer that ran which of them have the same memory in Caffe."""
        for blob in values:
            blob.same_memory = values
        for blob in gradients:
            blob.same_gradient = gradients

    def settle_values(self, start: int, end: int) -> None:
        """After a forward pass of some layers: blobs that have the same memory as a top in Caffe get its values."""
        for blob in [blob for tops in self.tops[start : end + 1] for blob in tops]:
            for other in blob.same_memory:
                other.value = blob.value.reshape(other.shape)

    def settle_gradients(self, start: int, end: int) -> None:
        """After a backward pass of some layers: the same for the gradients of their bottoms."""
        for blob in [blob for bottoms in self.bottoms[end : start + 1][::-1] for blob in bottoms]:
            for other in blob.same_gradient:
                other.grad = None if blob.grad is None else blob.grad.reshape(other.shape)

    def backward(self, start: int | None = None, end: int = 0) -> None:
        """Runs the backward passes of the layers from `start` down to `end` that need one. Gradients of parameters are
        added to those that the blobs hold. Raises Fatal without a forward pass, where the layer needs one (in Caffe its
        blobs of zeros count)."""
        first = len(self.layers) - 1 if start is None else start
        for index in range(first, end - 1, -1):
            for call in self.before_backward:
                call(index)
            if self.layer_need_backward[index]:
                layer = self.layers[index]
                try:
                    layer.backward(self.tops[index], self._propagate_down[index], self.bottoms[index])
                except AttributeError as error:
                    if error.obj is not layer:
                        raise
                    raise layer.refuse("a backward pass needs what a forward pass keeps; run one before") from None
                except _NAMED_ERRORS as error:
                    _add_place(error, layer)
                    raise
                if self.debug_info:
                    debug_info.backward(self.layers[index], self.bottoms[index], self._propagate_down[index])
            for call in self.after_backward:
                call(index)
        if self.debug_info and start is None and end == 0:
            debug_info.all_params(self.params)

    @property
    def is_hooked(self) -> bool:
        """Whether a script wants to be called around layers: then a pass cannot be replayed from a recording."""
        return bool(self.before_forward or self.after_forward or self.before_backward or self.after_backward)

    def reshape(self, start: int = 0, end: int | None = None) -> None:
        """Computes the shapes of the tops of the layers from `start` to `end` (included) again, after an input has
        changed its shape. Raises Fatal for a shape that a layer does not take."""
        last = len(self.layers) - 1 if end is None else end
        for index in range(start, last + 1):
            layer, top = self.layers[index], self.tops[index]
            try:
                layer.reshape(self.bottoms[index], top)
            except ShapeError as error:
                raise layer.refuse(str(error)) from None
            layer.keep_loss_weights(top)

    def output_values(self) -> Iterator[tuple[str, float, float]]:
        """Each value of each output blob: the blob's name, the value, the blob's loss weight."""
        for name in self.outputs:
            for value in self.by_name[name].values().ravel():
                yield name, value, self.loss_weights[name]

    def share_params_with(self, other: "Net") -> None:
        """Uses the parameters of `other` in the layers that have the same names. Raises Fatal for different shapes."""
        self.params.part_values()
        other.params.settle_reshaped()
        mine = {layer.name: layer for layer in reversed(self.layers)}
        for source in other.layers:
            target = mine.get(source.name)
            if target is None:
                log.info("net.cpp:678", f"Ignoring source layer {source.name}")
                continue
            wrong = f"Incompatible number of blobs for layer {source.name}"
            check(len(target.blobs) == len(source.blobs), wrong, "net.cpp:684")
            for index, (blob, source_blob) in enumerate(zip(target.blobs, source.blobs, strict=True)):
                shapes = f"{shape_string(source_blob.shape)}; target param shape is {shape_string(blob.shape)}"
                cannot = f"Cannot share param {index} weights from layer '{source.name}'; shape mismatch.  "
                check(blob.shape == source_blob.shape, f"{cannot}Source param shape is {shapes}", "net.cpp:688")
                blob.value, blob.rounded = source_blob.value, source_blob.rounded


def _joined(groups: dict[int, list[Blob]], bottom: Blob, top: list[Blob]) -> list[Blob]:
    """The group of `bottom`, to which the tops now belong."""
    group = groups.setdefault(id(bottom), [bottom])
    group.extend(top)
    groups.update((id(blob), group) for blob in top)
    return group


def _check_propagate_down(layer: LayerParameter, place: str) -> None:
    count = len(layer.propagate_down)
    wrong = f"{place}: layer '{layer.name}': propagate_down must be specified either 0 or bottom_size times"
    check(count in (0, len(layer.bottom)), wrong, "net.cpp:79")


def _add_place(error: Exception, layer: layer_types.Layer) -> None:
    """Adds the layer's name and place to an error of PyTorch or numpy, such as a lack of memory."""
    error.add_note(f"{layer.where}: layer '{layer.name}' ({layer.type})")


def _weighted(blob: Blob, weight: float) -> torch.Tensor:
    """A top's share of the loss: as in Caffe, the dot product of the top with its diff.

    Setup fills the diff with the loss weight. A layer that reads the top may overwrite it in its backward pass.
    """
    if blob.grad is None or blob.grad.shape != blob.value.shape:
        return blob.value.sum() * weight
    share = blob.value * blob.grad
    return share.sum() if share.dim() else share
