"""The weights of a net as files: caffemodels, written for and read from BVLC Caffe."""

from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError

from caffeformat import FormatError, blobs
from caffeformat.caffeformat_pb2 import BlobShape, NetParameter
from caffeformat.weights_pb2 import PackedBlob, PackedLayer, PackedNet, PackedV1Layer
from caffeformat.wire import varint
from torchcaffe.common import hdf5_file, log
from torchcaffe.common.blob import Blob
from torchcaffe.common.files import write_file
from torchcaffe.common.log import Fatal, check, shape_string
from torchcaffe.nets import parsed_net
from torchcaffe.nets.net import Net
from torchcaffe.snapshots import hdf5

_NET_NAME, _NET_LAYER = 1, 100  # field numbers of NetParameter


def load(net: Net, path: str | Path) -> None:
    """Copies the weights of a caffemodel into the layers of `net` that have the same names. Raises FormatError.

    It may be binary or HDF5. Layers of the file that the net lacks are named in the log; a layer whose blobs have
    another shape is an error.
    """
    if hdf5_file.is_hdf5(path):
        hdf5.load_weights(net, path)
        return
    try:
        source = blobs.read_caffemodel(path)
    except FormatError as error:
        raise Fatal(str(error), "upgrade_proto.cpp:97") from None
    targets = {layer.name: layer for layer in reversed(net.layers)}
    for name in _layer_names(path):
        layer, arrays = targets.get(name), source.get(name, [])
        if layer is None:
            log.info("net.cpp:746", f"Ignoring source layer {name}")
            continue
        wrong = f"{path}: Incompatible number of blobs for layer {name}: {len(arrays)} in the file"
        check(len(layer.blobs) == len(arrays), f"{wrong}, {len(layer.blobs)} in the net", "net.cpp:752")
        for index, (blob, array) in enumerate(zip(layer.blobs, arrays, strict=True)):
            _copy(blob, array, f"param {index} weights from layer '{name}'", path)


def _layer_names(path: str | Path) -> list[str]:
    """The names of all layers of a caffemodel, brought up to date, which the log tells. Raises Fatal."""
    packed = PackedNet.FromString(Path(path).read_bytes())
    for layer in (*packed.layer, *packed.layers):
        layer.ClearField("blobs")
        layer.name = layer.name.decode(errors="replace").encode()
        if isinstance(layer, PackedV1Layer) and layer.HasField("layer"):
            layer.layer.ClearField("blobs")
    try:
        settings = NetParameter.FromString(packed.SerializeToString())
        return [layer.name for layer in parsed_net.from_message(settings, str(path)).param.layer]
    except (DecodeError, UnicodeDecodeError) as error:
        damaged = f"{path}: no caffemodel, or damaged: the settings of its layers cannot be read ({error})"
        raise Fatal(f"{damaged}; copy or make it again", "upgrade_proto.cpp:97") from None


def _copy(blob: Blob, array: np.ndarray, what: str, path: str | Path) -> None:
    """An old blob of four sizes fits one whose sizes differ from it by leading ones only."""
    shape = tuple(array.shape)
    old = len(shape) == 4 and len(blob.shape) < 4 and shape == (1,) * (4 - len(blob.shape)) + blob.shape
    if shape != blob.shape and not old:
        raise Fatal(
            f"{path}: Cannot copy {what}; shape mismatch.  Source param shape is {shape_string(shape)}; target param "
            f"shape is {shape_string(blob.shape)}. To learn this layer's parameters from scratch rather than copying "
            "from a saved net, rename the layer.",
            "net.cpp:759",
        )
    blob.data = array


def save(net: Net, path: str | Path, with_diff: bool = False) -> None:
    """Writes the net's caffemodel: each layer's settings and its blobs, on request with their gradients.

    The file appears whole or not at all.
    """
    name = net.name.encode()
    pieces = [_field(_NET_NAME, name)] if name else []
    for layer in net.layers:
        packed = PackedLayer.FromString(layer.param.SerializeToString())
        del packed.blobs[:]
        packed.blobs.extend(_packed(blob, with_diff) for blob in layer.blobs)
        pieces.append(_field(_NET_LAYER, packed.SerializeToString()))
    write_file(path, pieces)


def _packed(blob: Blob, with_diff: bool) -> PackedBlob:
    """A BlobProto whose values are written as they lie in memory."""
    packed = PackedBlob(data=[_bytes(blob.data)], shape=BlobShape(dim=blob.shape))
    if with_diff:
        packed.diff.append(_bytes(blob.diff))
    return packed


def _bytes(values: np.ndarray) -> bytes:
    return values.astype("<f4", copy=False).tobytes()


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field of a protobuf message."""
    return varint(number << 3 | 2) + varint(len(data)) + data
