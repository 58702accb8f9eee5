"""The shapes of a net's inputs, and a batch of real ones.

The shape of a data layer's top is, in this order: what --shape says; what the layer itself gives, if its data are
there; the crop_size, with as many channels as the weights of the layer that reads it have.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from caffeformat import FormatError
from caffeformat.caffeformat_pb2 import TEST, LayerParameter
from torchcaffe import layer_types
from torchcaffe.common.blob import Blob
from torchcaffe.common.context import Context, current
from torchcaffe.common.log import Fatal
from torchcaffe.export.inference import InferenceNet

Shape = tuple[int, ...]
_MOST_REAL = 64 << 20  # values of a batch that is read to check with


def parse_shapes(text: str) -> dict[str, Shape]:
    """`data:1,3,227,227;im_info:1,3`: the shape of each input. Raises Fatal."""
    shapes = {}
    for part in filter(None, text.split(";")):
        name, colon, sizes = part.rpartition(":")
        try:
            shape = tuple(int(size) for size in sizes.split(","))
        except ValueError:
            shape = ()
        if not colon or not shape or min(shape) < 1 or max(shape) >= 1 << 31:
            raise Fatal(f"--shape={text}: found {part!r}; name:sizes is needed, as data:1,3,227,227")
        shapes[name] = shape
    return shapes


def set_shapes(
    net: InferenceNet, given: Mapping[str, Shape], weights: Mapping[str, Sequence[np.ndarray]]
) -> dict[str, np.ndarray]:
    """Writes the shape of every input into the Input layers of `net`. Returns the inputs of which the data are there.

    `given` has shapes from the command line, `weights` the blobs of a caffemodel by layer. Raises Fatal.
    """
    unknown = sorted(given.keys() - net.data.keys())
    if unknown:
        raise Fatal(f"--shape: the net has no input {unknown[0]!r}; its inputs are {', '.join(net.data) or 'none'}")
    read: dict[str, tuple[dict[str, np.ndarray], str]] = {}
    real: dict[str, np.ndarray] = {}
    inputs = {layer.top[0]: layer for layer in net.parsed.param.layer if layer.type == "Input"}
    for blob, (layer, index, place) in net.data.items():
        shape = given.get(blob) or _declared(layer, index)
        if not shape:
            if layer.name not in read:
                read[layer.name] = _read(layer, place)
            arrays, why = read[layer.name]
            if blob in arrays:
                real[blob] = arrays[blob]
            shape = tuple(arrays[blob].shape) if blob in arrays else _guessed(layer, index, net, weights)
            if not shape:
                raise Fatal(
                    f"{place}: layer '{layer.name}' ({layer.type}): the shape of '{blob}' is unknown ({why}); give it "
                    f"as --shape='{blob}:N,C,H,W'"
                )
        inputs[blob].input_param.shape.add(dim=shape)
    return real


def _declared(layer: LayerParameter, index: int) -> Shape:
    """The shape that the prototxt gives; () if it gives none."""
    if layer.type == "Input":
        shapes = layer.input_param.shape
        return tuple(shapes[index if len(shapes) > 1 else 0].dim) if shapes else ()
    if layer.type == "MemoryData":
        memory = layer.memory_data_param
        return (memory.batch_size, memory.channels, memory.height, memory.width) if index == 0 else (memory.batch_size,)
    if layer.type == "DummyData":
        dummy = layer.dummy_data_param
        if dummy.shape:
            return tuple(dummy.shape[index if len(dummy.shape) > 1 else 0].dim)
        legacy = (dummy.num, dummy.channels, dummy.height, dummy.width)
        return tuple(sizes[index if len(sizes) > 1 else 0] for sizes in legacy) if all(legacy) else ()
    return ()


def _read(layer: LayerParameter, place: str) -> tuple[dict[str, np.ndarray], str]:
    """The first batch of a data layer by blob; or nothing, and why not."""
    copy = LayerParameter()
    copy.CopyFrom(layer)
    copy.phase = TEST
    context = Context(dtype=current().dtype)
    try:
        made = layer_types.create(copy, context, place)
        tops = [Blob(context, name=name) for name in layer.top]
        made.setup([], tops)
        if sum(blob.count for blob in tops) > _MOST_REAL:
            return {blob.name: np.zeros(blob.shape, np.float32) for blob in tops}, ""
        made.forward([], tops)
    except FormatError as error:
        return {}, str(error)
    return {blob.name: np.ascontiguousarray(blob.data, np.float32) for blob in tops}, ""


def _guessed(
    layer: LayerParameter, index: int, net: InferenceNet, weights: Mapping[str, Sequence[np.ndarray]]
) -> Shape:
    """From crop_size and the weights of a convolution above; (N,) for labels; () if nothing tells."""
    batches = {
        "Data": layer.data_param.batch_size,
        "ImageData": layer.image_data_param.batch_size,
        "WindowData": layer.window_data_param.batch_size,
    }
    batch = batches.get(layer.type, 0)
    crop = layer.transform_param.crop_size
    if index or not batch or not crop:
        return (batch,) if index and batch else ()
    for reader in net.parsed.param.layer:
        blobs = weights.get(reader.name, ())
        if layer.top[0] in reader.bottom and reader.type == "Convolution" and blobs and blobs[0].ndim == 4:
            return batch, blobs[0].shape[1] * reader.convolution_param.group, crop, crop
    return ()
