"""Writes a safetensors file with a net's parameter blobs: `conv1/0`, `conv1/1`, as Caffe's HDF5 files name them."""

import json

import numpy as np
from safetensors.numpy import load, save

from torchcaffe.common.files import write_file
from torchcaffe.common.log import Fatal
from torchcaffe.export.exporter import Loaded, Options
from torchcaffe.export.exporter import load as load_net
from torchcaffe.layer_types import known_types


def export(options: Options) -> list[str]:
    """Writes the file and returns lines about it. Raises Fatal; then nothing is written."""
    types = set(known_types()) - {"Python"}
    loaded = load_net(options, types)
    arrays = blobs_of(loaded)
    content = _ordered(save(arrays, loaded.facts()))
    back = load(content)
    if any(not np.array_equal(back[name], array, equal_nan=True) for name, array in arrays.items()):
        raise Fatal(f"{options.output}: the file does not hold what was written; nothing was left there")
    write_file(options.output, [content])
    total = sum(array.size for array in arrays.values())
    return [f"{options.output}: {len(arrays)} blobs, {total:,} values, each equal to the caffemodel's", *loaded.notes()]


def _ordered(content: bytes) -> bytes:
    """The same file with its metadata in order: safetensors writes them in another order each time."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    facts = dict(sorted(header.pop("__metadata__").items()))
    text = json.dumps({"__metadata__": facts, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the arrays begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def blobs_of(loaded: Loaded) -> dict[str, np.ndarray]:
    """All parameter blobs, float32, in Caffe's shapes; a shared one under the name of each layer that uses it."""
    return {
        f"{layer.name}/{index}": np.ascontiguousarray(blob.data, np.float32)
        for layer in loaded.net.layers
        for index, blob in enumerate(layer.blobs)
    }
