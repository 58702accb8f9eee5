"""The steps of a net: each layer with the values that it reads and writes, which have names of their own.

Layers that work in place write a new value here. The last value of a blob has the blob's name.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from caffeformat import FormatError
from torchcaffe.common.blob import Blob
from torchcaffe.export.hidden_states import RECURRENT, static_input
from torchcaffe.export.refusal import NeedsFixedBatch
from torchcaffe.layer_types import Layer
from torchcaffe.nets.net import Net
from torchcaffe.nets.parsed_net import ParsedNet

_SIZES = (2, 3)  # batch sizes that are compared to see which axes depend on the batch size


@dataclass(frozen=True)
class Value:
    """A value of `blob`. `varies[i]` says whether the size of axis i depends on the batch size."""

    name: str
    blob: str
    shape: tuple[int, ...]
    varies: tuple[bool, ...]

    @property
    def is_fixed(self) -> bool:
        return not any(self.varies)

    @property
    def batch_axis(self) -> int | None:
        """The first axis whose size depends on the batch size."""
        return self.varies.index(True) if any(self.varies) else None


@dataclass(frozen=True)
class Step:
    """`layer` computes `tops` from `bottoms`. With `is_copy`, the only top is the only bottom in another shape: `layer`
    has worked in place on memory that the top's blob shares."""

    layer: Layer
    bottoms: list[Value]
    tops: list[Value]
    is_copy: bool = False

    def weights(self, index: int) -> np.ndarray:
        """Blob `index` of the layer, float32."""
        return np.ascontiguousarray(self.layer.blobs[index].data, np.float32)


@dataclass(frozen=True)
class Trace:
    """`inputs` and `outputs` are values; `blobs` has the last value of each blob. `fixed` says why the batch size
    cannot vary; empty if it can. `takes_one` says whether a batch may then be a single image."""

    name: str
    steps: list[Step]
    inputs: list[Value]
    outputs: list[Value]
    blobs: dict[str, Value]
    fixed: str
    takes_one: bool = False

    def sizes(self) -> str:
        """The batch sizes that the inputs take, in words."""
        shapes = ", ".join(
            f"{value.blob} of {' x '.join(map(str, value.shape))}" for value in self.inputs if value.is_fixed
        )
        if self.fixed:
            return f"only this batch size{shapes and f', {shapes}'} ({self.fixed})"
        return f"batches of any size{shapes and f', but {shapes}'}"


def trace(net: Net, parsed: ParsedNet, outputs: list[str]) -> Trace:
    """The steps of `net`, which was built from `parsed`, for batches of any size if its layers allow that.

    The batch is that of the first input of images, else of the first input; inputs of another one keep their shapes.
    Of inputs (timesteps, streams, ...), the streams are the batch.
    Leaves the net with a batch of two images in that case, else with the batch of the prototxt.
    """
    if not net.inputs:
        return with_fixed_batch(net, parsed, outputs, "the net has no input")
    images = (name for name in net.inputs if len(net.by_name[name].shape) >= 4)
    axes, batch = _batch_axes(net, parsed), next(images, net.inputs[0])
    size_of = {name: net.by_name[name].shape[axis : axis + 1] for name, axis in axes.items()}
    axes = {name: axis for name, axis in axes.items() if size_of[name] == size_of[batch]}
    found: list[list[tuple[int, ...]]] = []
    try:
        for size in _SIZES:
            _resize(net, axes, size)
            found.append(_shapes(net))
    except FormatError as error:
        return with_fixed_batch(net, parsed, outputs, str(error))
    try:
        _resize(net, axes, 1)
        takes_one = True
    except FormatError:
        takes_one = False
    _resize(net, axes, _SIZES[0])
    return replace(_steps(net, parsed, outputs, found[0], found[1], ""), takes_one=takes_one)


def with_fixed_batch(net: Net, parsed: ParsedNet, outputs: list[str], why: str) -> Trace:
    """The steps for the batch size in the prototxt alone; `why` says why no other."""
    for layer in parsed.param.layer:
        if layer.type == "Input":
            net.by_name[layer.top[0]].reshape(*layer.input_param.shape[0].dim)
    net.reshape()
    shapes = _shapes(net)
    return _steps(net, parsed, outputs, shapes, shapes, why)


def _batch_axes(net: Net, parsed: ParsedNet) -> dict[str, int]:
    """For each input the axis of the batch: 1 for one from which blobs (timesteps, streams, ...) are made, else 0."""
    in_time: set[str] = set()
    for layer in reversed(parsed.param.layer):
        if layer.type in (*RECURRENT, "LSTMUnit"):
            static = static_input(layer) if layer.type in RECURRENT else None
            in_time.update(blob for blob in layer.bottom if blob != static)
            continue
        same = slice(1, 2) if layer.type in ("Concat", "Slice") else slice(2)
        kept = {net.by_name[top].shape[same] for top in layer.top if top in in_time}
        in_time.update(blob for blob in layer.bottom if net.by_name[blob].shape[same] in kept)
    return {name: int(name in in_time) for name in net.inputs}


def _resize(net: Net, axes: dict[str, int], size: int) -> None:
    for name, axis in axes.items():
        shape = list(net.by_name[name].shape)
        shape[axis] = size
        net.by_name[name].reshape(*shape)
    net.reshape()


def _blobs(net: Net, names: Iterable[str]) -> list[Blob]:
    return [net.by_name[name] for name in names]


def _shapes(net: Net) -> list[tuple[int, ...]]:
    return [blob.shape for blob in net.blobs]


def _steps(
    net: Net,
    parsed: ParsedNet,
    outputs: list[str],
    some: list[tuple[int, ...]],
    others: list[tuple[int, ...]],
    fixed: str,
) -> Trace:
    same_axes = [len(a) == len(b) for a, b in zip(some, others, strict=True)]
    sizes = {
        blob.name: (a, tuple(x != y for x, y in zip(a, b, strict=True)) if same else (True,) * len(a))
        for blob, a, b, same in zip(net.blobs, some, others, same_axes, strict=True)
    }
    writes = Counter(blob for layer in parsed.param.layer for blob in layer.top)
    layers = iter(net.layers)
    steps: list[Step] = []
    now: dict[str, Value] = {}
    together: dict[str, set[str]] = {}  # blobs that share memory
    taken, inputs = set(writes), set(net.inputs)

    def value(blob: str, writer: str, last: bool) -> Value:
        name = blob if last and blob not in inputs else f"{blob}/{writer}"
        while name != blob and name in taken:
            name += "_"
        taken.add(name)
        now[blob] = Value(name, blob, *sizes[blob])
        return now[blob]

    for param in parsed.param.layer:
        layer = next(layer for layer in layers if layer.name == param.name and layer.type == param.type)
        bottoms = [now[blob] for blob in param.bottom]
        writes.subtract(param.top)
        if param.type == "Input":
            now[param.top[0]] = Value(param.top[0], param.top[0], *sizes[param.top[0]])
        tops = [now[blob] if param.type == "Input" else value(blob, layer.name, not writes[blob]) for blob in param.top]
        steps.append(Step(layer, bottoms, tops))
        for blob in set(param.bottom) & set(param.top):
            for other in sorted(together.get(blob, set()) - {blob}):
                steps.append(Step(layer, [now[blob]], [value(other, layer.name, False)], is_copy=True))
        if bottoms and layer.shares_memory(_blobs(net, param.bottom), _blobs(net, param.top)):
            group = together.setdefault(param.bottom[0], {param.bottom[0]})
            group.update(param.top)
            together.update(dict.fromkeys(param.top, group))
    fed = [step.tops[0] for step in steps if step.layer.type == "Input"]
    return Trace(net.name, steps, fed, [now[blob] for blob in outputs], now, fixed)


def flexible_shape(top: Value, bottom: Value) -> list[int]:
    """The shape that makes `top` of `bottom`: sizes that vary are 0, which copies the bottom's, or -1, for the rest.

    Raises NeedsFixedBatch if two sizes would have to be inferred.
    """
    sizes = list(top.shape)
    varying = [axis for axis, varies in enumerate(top.varies) if varies]
    if len(varying) > 1 and varying[0] == 0 and bottom.varies[:1] == (True,) and bottom.shape[0] == top.shape[0]:
        sizes[0] = 0
        varying = varying[1:]
    if len(varying) > 1:
        raise NeedsFixedBatch(f"a reshape to {top.shape}, of which several sizes depend on the batch size")
    for axis in varying:
        sizes[axis] = -1
    return sizes
