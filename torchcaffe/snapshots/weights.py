"""Caffemodels, the files that hold a net's weights: read from, and written for, BVLC Caffe too.

Source followed: Net::CopyTrainedLayersFrom and Net::ToProto in BVLC Caffe's net.cpp.
"""

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
from torchcaffe.nets import reader
from torchcaffe.nets.net import Net
from torchcaffe.snapshots import hdf5

_NET_NAME, _NET_LAYER = 1, 100  # field numbers of NetParameter


def load(net: Net, path: str | Path) -> None:
    """Copies the weights in a caffemodel, binary or HDF5, into the layers of `net` that have the same names.

    The log names layers of the file that the net lacks. Raises Fatal if a layer's blobs have another number or shape.
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
    """The names of all layers in a caffemodel, after an upgrade of its format, which is logged. Raises Fatal."""
    packed = PackedNet.FromString(Path(path).read_bytes())
    layers: list[PackedLayer | PackedV1Layer] = [*packed.layer, *packed.layers]
    for layer in layers:
        layer.ClearField("blobs")
        layer.name = layer.name.decode(errors="replace").encode()
        if isinstance(layer, PackedV1Layer) and layer.HasField("layer"):
            layer.layer.ClearField("blobs")
    try:
        settings = NetParameter.FromString(packed.SerializeToString())
        return [layer.name for layer in reader.from_message(settings, str(path)).param.layer]
    except (DecodeError, UnicodeDecodeError) as error:
        damaged = f"{path}: not a caffemodel, or damaged: the settings of its layers cannot be read ({error})"
        raise Fatal(f"{damaged}; copy or create it again", "upgrade_proto.cpp:97") from None


def _copy(blob: Blob, array: np.ndarray, name: str, path: str | Path) -> None:
    """Old files give every blob four sizes. They fit a blob with fewer axes if the sizes in front are 1."""
    shape = tuple(array.shape)
    fits_as_old = len(shape) == 4 and len(blob.shape) < 4 and shape == (1,) * (4 - len(blob.shape)) + blob.shape
    if shape != blob.shape and not fits_as_old:
        raise Fatal(
            f"{path}: Cannot copy {name}; shape mismatch.  Source param shape is {shape_string(shape)}; target param "
            f"shape is {shape_string(blob.shape)}. To learn this layer's parameters from scratch rather than copying "
            "from a saved net, rename the layer.",
            "net.cpp:759",
        )
    blob.data = array.reshape(blob.shape)


def save(net: Net, path: str | Path, with_diff: bool = False) -> None:
    """Writes the net's caffemodel: the settings and blobs of each layer. `with_diff` adds the gradients.

    The file appears complete or not at all. Raises Fatal.
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
    """A BlobProto whose values are copied from memory as one block."""
    packed = PackedBlob(data=[_bytes(blob.values())], shape=BlobShape(dim=blob.shape))
    if with_diff:
        packed.diff.append(_bytes(blob.diff_values()))
    return packed


def _bytes(values: np.ndarray) -> bytes:
    return values.astype("<f4", copy=False).tobytes()


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field of a protobuf message, encoded."""
    return varint(number << 3 | 2) + varint(len(data)) + data
