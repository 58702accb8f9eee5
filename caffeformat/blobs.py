"""Arrays in Caffe's files: blobs, mean images (binaryproto), weights (caffemodel).

Values are float32; doubles in a file are rounded. Arrays are read-only and share the memory of the file's bytes.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from caffeformat.caffeformat_pb2 import BlobProto
from caffeformat.errors import FormatError
from caffeformat.weights_pb2 import PackedBlob, PackedNet

M = TypeVar("M", bound=Message)

_FLOAT, _DOUBLE = np.dtype("<f4"), np.dtype("<f8")
_MOST_AXES = 32  # Caffe's kMaxBlobAxes. Without a limit, a damaged file could have a million sizes to multiply.
_HDF5 = b"\x89HDF\r\n\x1a\n"


def array_to_blob(array: np.ndarray) -> BlobProto:
    """`array`, of any shape, as a blob of float32 with the `shape` field."""
    packed = PackedBlob(data=[_float_bytes(array)])
    packed.shape.dim.extend(array.shape)
    return BlobProto.FromString(packed.SerializeToString())


def blob_to_array(blob: BlobProto, name: str = "blob") -> np.ndarray:
    """The values of `blob` (float32), in the shape that its `shape` field or the four old fields give.

    Raises FormatError, which begins with `name`: the file and the blob's place in it.
    """
    return _array(PackedBlob.FromString(blob.SerializeToString()), name)


def read_blob(path: str | Path, kind: str = "blob") -> np.ndarray:
    """The array in a binaryproto file: float32, of any shape. Raises FormatError, which calls the file a `kind`."""
    return _array(_parse(path, PackedBlob(), f"{kind} (binaryproto)"), f"{path}: not a {kind}")


def read_mean(path: str | Path) -> np.ndarray:
    """The mean image in a binaryproto file: float32, CHW, BGR. Raises FormatError."""
    mean = read_blob(path, "mean image")
    if mean.ndim != 4 or mean.shape[0] != 1 or 0 in mean.shape:
        raise FormatError(
            f"{path}: not a mean image: its shape is {mean.shape}; it must be 1, channels, height, width, as "
            "compute_image_mean writes it: BVLC Caffe takes the second size for the channels"
        )
    return mean[0]


def mean_bytes(mean: np.ndarray) -> bytes:
    """The content of a binaryproto file with the mean image `mean` (CHW, BGR), as compute_image_mean writes it: with
    the four old sizes in place of a `shape`. Raises FormatError."""
    if mean.ndim != 3:
        raise FormatError(f"a mean image is CHW; this one has the shape {mean.shape}")
    channels, height, width = mean.shape
    packed = PackedBlob(num=1, channels=channels, height=height, width=width, data=[_float_bytes(mean)])
    return packed.SerializeToString(deterministic=True)


def read_caffemodel(path: str | Path) -> dict[str, list[np.ndarray]]:
    """The weights in a caffemodel: layer name -> its blobs (float32, each in its own shape). Raises FormatError.

    Layers without blobs are left out. Files with V1 or V0 `layers` (2013, 2014) are read too.
    """
    return {
        name: [_array(blob, f"{path}: layer {name}, blob {i}") for i, blob in enumerate(blobs)]
        for name, blobs in _layers(path)
    }


def caffemodel_bytes(layers: Mapping[str, Iterable[np.ndarray]]) -> bytes:
    """The content of a caffemodel with these layers, by name. It holds names and blobs, which is all that Caffe needs
    to copy weights, and no settings."""
    net = PackedNet()
    for name, arrays in layers.items():
        layer = net.layer.add(name=name.encode())
        for array in arrays:
            layer.blobs.add(data=[_float_bytes(array)]).shape.dim.extend(array.shape)
    return net.SerializeToString(deterministic=True)


def layer_blob_bytes(path: str | Path) -> dict[str, list[bytes]]:
    """As `read_caffemodel`, but each blob as its raw little-endian float32 bytes, to compare weights exactly."""
    return {name: [array.tobytes() for array in arrays] for name, arrays in read_caffemodel(path).items()}


def _layers(path: str | Path) -> Iterator[tuple[str, list[PackedBlob]]]:
    net = _parse(path, PackedNet(), "caffemodel")
    if not net.layer and not net.layers:
        raise FormatError(f"{path}: not a caffemodel: it holds no layer")
    old = [layer.layer if layer.HasField("layer") else layer for layer in net.layers]
    for layer in (*old, *net.layer):
        if layer.blobs:
            yield layer.name.decode(errors="replace"), list(layer.blobs)


def _parse(path: str | Path, message: M, kind: str) -> M:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}") from None
    if data.startswith(_HDF5):
        raise FormatError(f"{path}: an HDF5 file; a {kind} is needed (solver: `snapshot_format: BINARYPROTO`)")
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise FormatError(f"{path}: not a {kind}, or cut off; copy or create it again") from None
    return message


def _array(blob: PackedBlob, name: str) -> np.ndarray:
    values = _values(blob, name)
    shape = _shape(blob)
    if len(shape) > _MOST_AXES:
        raise FormatError(f"{name}: its shape has {len(shape)} axes; the most that Caffe takes are {_MOST_AXES}")
    if prod(shape) != values.size or min(shape, default=0) < 0:
        raise FormatError(f"{name}: {values.size} values, but the shape {shape} has {prod(shape)}")
    try:
        return values.reshape(shape)
    except ValueError as error:
        raise FormatError(f"{name}: the shape {shape}: {error}") from None


def _values(blob: PackedBlob, name: str) -> np.ndarray:
    """All values, flat, float32."""
    if not blob.data and not blob.double_data:
        blob = _repacked(blob, name)
    pieces, dtype = (blob.double_data, _DOUBLE) if blob.double_data else (blob.data, _FLOAT)
    data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    if len(data) % dtype.itemsize:
        raise FormatError(f"{name}: {len(data)} bytes of values are not a multiple of {dtype.itemsize}")
    with np.errstate(over="ignore"):
        return np.frombuffer(data, dtype).astype(_FLOAT, copy=False)


def _repacked(blob: PackedBlob, name: str) -> PackedBlob:
    """`blob`, packed. Some writers do not pack its values: BlobProto reads both forms and writes the packed one."""
    try:
        return PackedBlob.FromString(BlobProto.FromString(blob.SerializeToString()).SerializeToString())
    except DecodeError:
        raise FormatError(f"{name}: not a blob, or damaged; copy or create the file again") from None


def _shape(blob: PackedBlob) -> tuple[int, ...]:
    """As in Caffe's blob.cpp: any of the four old sizes overrides the `shape` field; without both it is a scalar."""
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return (blob.num, blob.channels, blob.height, blob.width)
    return tuple(blob.shape.dim)


def _float_bytes(array: np.ndarray) -> bytes:
    return np.asarray(array, _FLOAT).tobytes()
