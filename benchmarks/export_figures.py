"""How far exported nets are from BVLC Caffe: rows of the table in docs/export.md.

    python -m benchmarks.export_figures .caffe/pycaffe VGG-16 prototxt/alexnet/train_val.prototxt [data:2,3,57,57] ...

A net is a name in tests/helpers/architectures.py or the path of a prototxt; a word with a colon and sizes behind it
gives the shape of its input. `--hdf5` keeps the weights in HDF5, `--to=onnx` leaves PyTorch out. Weights are normal,
with a deviation of sqrt(2 / inputs), so that values neither grow nor vanish. The exported nets are written, checked and
thrown away.
"""

import argparse
import re
import tempfile
from importlib import import_module
from pathlib import Path

import numpy as np

import torchcaffe
from caffeformat import FormatError, prototxt
from caffeformat.caffeformat_pb2 import NetState
from tests.helpers import architectures
from tests.helpers.exported import MODULES
from torchcaffe.common.context import Context
from torchcaffe.export.exporter import Options, quiet
from torchcaffe.export.inference import inference_net
from torchcaffe.export.input_shapes import parse_shapes, set_shapes
from torchcaffe.nets import net, reader

WORST = re.compile(r"largest difference is (\S+) of")
GRADIENTS = re.compile(r"float64 is (\S+); .* by (\S+) of their length, it itself from float64 by (\S+)")


def fill(made: torchcaffe.Net) -> None:
    """Draws all weights."""
    random = np.random.default_rng(1)
    for layer in made.layers:
        for index, blob in enumerate(layer.blobs):
            if layer.type == "BatchNorm":
                blob.data = [random.normal(0, 0.1, blob.shape), random.uniform(0.5, 1.5, blob.shape), [1]][index]
            elif layer.type == "Scale":
                blob.data = random.normal(1 - index, 0.1, blob.shape)
            elif (index and len(blob.shape) < 2) or blob.count == 1:
                blob.data = random.normal(0, 0.1, blob.shape)
            else:
                outputs = blob.shape[0] if layer.type != "Deconvolution" else blob.shape[1]
                blob.data = random.normal(0, np.sqrt(2 * outputs / blob.count), blob.shape)


def row(name: str, shape: str, pycaffe: str, hdf5: bool, formats: list[str]) -> str:
    """Exports one net. A cell is `not possible` with the reason below the row where the export is refused."""
    cells, more = {"onnx": "not run", "pytorch": "not run | not run | not run | not run"}, []
    with tempfile.TemporaryDirectory() as place, quiet():
        folder = Path(place)
        model = Path(name)
        if name in architectures.NETS | architectures.WIDE:
            model = folder / "net.prototxt"
            model.write_text(prototxt.to_text((architectures.NETS | architectures.WIDE)[name]()))
        weights = folder / ("net.caffemodel.h5" if hdf5 else "net.caffemodel")
        save_weights(model, shape, weights, hdf5)
        for to in formats:
            options = Options(model, weights, to, folder / to, shape=shape, pycaffe=pycaffe)
            try:
                lines = import_module(f"torchcaffe.export.{MODULES[to]}").export(options)
            except FormatError as error:
                more.append(f"  {to}: {error}")
                continue
            text = " ".join(lines)
            more += [f"  {to}: {line}" for line in lines[1:]]
            cells[to] = f"{float(WORST.search(text)[1]):.1e}"
            if to == "pytorch":
                found = GRADIENTS.search(text)
                cells[to] += "".join(f" | {float(figure):.1e}" for figure in found.groups()) if found else " | none" * 3
    return "\n".join([f"| {name} {shape} | {cells['onnx']} | {cells['pytorch']} |", *more])


def save_weights(model: Path, shape: str, path: Path, hdf5: bool) -> None:
    """Writes a caffemodel of the net that `export` makes of `model`: data layers need no data."""
    parsed = reader.read(model)
    inference = inference_net(parsed, NetState())
    set_shapes(inference, parse_shapes(shape), {})
    made = torchcaffe.Net.of(net.Net(inference.parsed, NetState(phase=torchcaffe.TEST), Context()))
    fill(made)
    (made.save_hdf5 if hdf5 else made.save)(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pycaffe")
    parser.add_argument("nets", nargs="+")
    parser.add_argument("--hdf5", action="store_true")
    parser.add_argument("--to", choices=["onnx", "pytorch"])
    arguments = parser.parse_args()
    words = arguments.nets
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if not re.search(r":[\d,]+$", word):
            shape = after if re.search(r":[\d,]+$", after) else ""
            formats = [arguments.to] if arguments.to else ["onnx", "pytorch"]
            print(row(word, shape, arguments.pycaffe, arguments.hdf5, formats), flush=True)
