"""Do BVLC Caffe's own examples train as they do there? Ten steps of each, in both engines and in float64.

    python -m benchmarks.caffe_examples CHECKOUT .caffe/caffe [--batch 8] [--trace] [SOLVER ...]

CHECKOUT is a clone of github.com/BVLC/caffe, SOLVER a prototxt in it; without any, every one of examples/ and models/
that has a net of its own. Nothing is written there. The prototxts are copied to a temporary folder; batches of more
than --batch become that small, and base_lr smaller in proportion. The data are made where the prototxts name them, in
the shapes of the originals: an image a class, and noise. Ten iterations, a test before each fifth, random_seed 1.

For each solver a row: the number of printed losses and accuracies, how many of them differ, and the largest relative
difference; then how far apart the weights are after ten steps, max|a - b| / max|b| of the worst parameter: torchcaffe
from Caffe, and each from torchcaffe in float64. --trace adds these for the worst parameter after 1, 2, 3, 5 and 10.
"""

import argparse
import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image

from caffeformat import blobs, datum, lmdb_file, prototxt
from caffeformat.caffeformat_pb2 import LayerParameter, SolverParameter
from tests.helpers import data_batches, engine_runs
from tests.helpers.real_caffe import Arrays
from torchcaffe.common import context
from torchcaffe.export.check import distance
from torchcaffe.export.exporter import quiet
from torchcaffe.nets import reader
from torchcaffe.solvers import solver

STEPS, IMAGES = 10, 60
NUMBER = re.compile(r"= (\S+)")
# By a word in the path; else ImageNet's.
SHAPES = {"siamese": (2, 28, 28), "mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
CLASSES = {"siamese": 2, "mnist": 10, "cifar10": 10, "flickr": 20, "pascal": 21, "hdf5": 2}
# Nets without a solver: that of the notebook beside them.
NOTEBOOK = 'base_lr: 0.01 lr_policy: "step" gamma: 0.1 stepsize: 5000 momentum: 0.9 weight_decay: 0.0005'
NETS = {
    "examples/hdf5_classification/nonlinear_auto": "train_net: '{0}_train.prototxt' test_net: '{0}_test.prototxt'",
    "examples/hdf5_classification/nonlinear_train_val.prototxt": "net: '{0}'",
    "examples/hdf5_classification/train_val.prototxt": "net: '{0}'",
}


def solvers(checkout: Path) -> Iterator[tuple[str, SolverParameter]]:
    """The solvers of the checkout, and those of NETS, by the name of a file."""
    for path in sorted([*checkout.glob("examples/*/*solver*"), *checkout.glob("models/*/*solver*")]):
        param = prototxt.read_solver(path)
        named = [param.net, param.train_net]
        if param.HasField("net_param") or any(name and (checkout / name).is_file() for name in named):
            yield str(path.relative_to(checkout)), param
    for name, text in NETS.items():
        yield name, prototxt.parse(f"{text.format(name)} {NOTEBOOK}", SolverParameter(), name)


def prepare(checkout: Path, folder: Path, name: str, param: SolverParameter, batch: int, every: int) -> None:
    """Writes the solver, its nets and their data to `folder`. A smaller batch has a smaller rate, in proportion."""
    smaller = 1.0
    for net in {param.net, param.train_net, *param.test_net} - {""}:
        (folder / net).parent.mkdir(parents=True, exist_ok=True)
        text = (checkout / net).read_text()
        sizes = [int(size) for size in re.findall(r"batch_size: (\d+)", text)]
        smaller = min(smaller, batch / max(sizes[:1] or [1]))
        text = re.sub(r"batch_size: (\d+)", lambda found: f"batch_size: {min(int(found[1]), batch)}", text)
        (folder / net).write_text(text)
        make_sources(folder, list(reader.read(folder / net).param.layer))
    if param.HasField("net_param"):
        net = reader.from_message(param.net_param, name).param
        for layer in net.layer:
            if layer.type == "Data":
                layer.data_param.batch_size = min(layer.data_param.batch_size, batch)
        make_sources(folder, list(net.layer))
        param.net_param.CopyFrom(net)  # BVLC Caffe upgrades no net within a solver: of old layers it would have none
    param.base_lr *= smaller
    tests = len(param.test_iter) or bool(param.test_net)
    del param.test_iter[:]
    param.test_iter.extend([2] * tests)
    param.test_interval, param.max_iter, param.display, param.snapshot = 5, STEPS, 1, every
    param.average_loss, param.random_seed, param.solver_mode = 1, 1, SolverParameter.CPU
    param.snapshot_prefix, param.snapshot_format = "out", SolverParameter.BINARYPROTO
    (folder / "solver.prototxt").write_text(prototxt.to_text(param))


def of(table: dict, path: str, otherwise: object) -> object:
    return next((value for word, value in table.items() if word in path), otherwise)


def make_sources(folder: Path, layers: list[LayerParameter]) -> None:
    """Makes the data that data layers name, unless they are there."""
    for layer in layers:
        if mean := layer.transform_param.mean_file:
            shape = of(SHAPES, mean, (3, 256, 256))
            (folder / mean).parent.mkdir(parents=True, exist_ok=True)
            (folder / mean).write_bytes(blobs.mean_bytes(np.full(shape, 120, np.float32)))
        makers = {"Data": records, "ImageData": images, "HDF5Data": vectors, "WindowData": windows}
        source = next(
            (getattr(layer, field).source for field in ("data_param", "image_data_param", "hdf5_data_param",
             "window_data_param") if getattr(layer, field).source), "")  # fmt: skip
        if layer.type in makers and not (folder / source).exists():
            (folder / source).parent.mkdir(parents=True, exist_ok=True)
            makers[layer.type](folder, source, layer)


def pictures(source: str) -> Iterator[tuple[np.ndarray, int]]:
    """uint8 CHW images and labels."""
    shape, classes = of(SHAPES, source, (3, 256, 256)), of(CLASSES, source, 1000)
    random = np.random.default_rng(len(source))
    coarse = np.random.default_rng(3).integers(40, 216, (min(classes, IMAGES), shape[0], 4, 4))
    for _ in range(IMAGES):
        label = int(random.integers(len(coarse)))
        image = np.kron(coarse[label], np.ones((1, shape[1] // 4, shape[2] // 4)))
        yield np.clip(image + random.normal(0, 30, shape), 0, 255).astype(np.uint8), label


def records(folder: Path, source: str, layer: LayerParameter) -> None:
    items = [(lmdb_file.key(i, str(i)), datum.encode(*pair)) for i, pair in enumerate(pictures(source))]
    if layer.data_param.backend == layer.data_param.LMDB:
        lmdb_file.write(folder / source, items)
        return
    import plyvel

    with plyvel.DB(str(folder / source), create_if_missing=True) as database:
        for key, value in items:
            database.put(key, value)


def images(folder: Path, source: str, layer: LayerParameter) -> None:
    lines = []
    for index, (image, label) in enumerate(pictures(source)):
        path = f"{source}.{index}.png"
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / path)
        lines.append(f"{path} {label}\n")
    (folder / source).write_text("".join(lines))


def vectors(folder: Path, source: str, layer: LayerParameter) -> None:
    random = np.random.default_rng(4)
    data = random.standard_normal((IMAGES, 4), np.float32)
    with h5py.File(folder / f"{source}.h5", "w") as file:
        file["data"], file["label"] = data, (data.sum(1) > 0).astype(np.float32)
    (folder / source).write_text(f"{source}.h5\n")


def windows(folder: Path, source: str, layer: LayerParameter) -> None:
    random, lines = np.random.default_rng(5), []
    for index, (image, label) in enumerate(pictures(source)):
        path = (folder / f"{source}.{index}.png").absolute()
        Image.fromarray(image.transpose(1, 2, 0)).save(path)
        lines += [f"# {index}", str(path), "3 256 256", "4"]
        for k in range(4):
            x1, y1 = random.integers(0, 120, 2)
            x2, y2 = random.integers(130, 256, 2)
            lines.append(f"{max(1, label) if k % 2 else 0} {0.8 if k % 2 else 0.1} {x1} {y1} {x2} {y2}")
    (folder / source).write_text("\n".join(lines) + "\n")


def weights(path: Path) -> Arrays:
    layers = blobs.read_caffemodel(path)
    return {f"{name} {i}": array for name, values in layers.items() for i, array in enumerate(values)}


def in_float64(folder: Path, seen: list[int]) -> Iterator[Arrays]:
    """The weights after each of `seen` iterations, from the same float32 beginning."""
    data_batches.forget_earlier_runs()
    with contextlib.chdir(folder), quiet():
        context.current().dtype = torch.float64
        try:
            made = solver.Solver(solver.read_solver("solver.prototxt"))
        finally:
            context.current().dtype = torch.float32
        for iteration in seen:
            made.step(iteration - made.iter)
            yield {
                f"{layer.name} {i}": np.array(blob.data)
                for layer in made.net.layers
                for i, blob in enumerate(layer.blobs)
            }


def worst(a: Arrays, b: Arrays, exact: Arrays) -> tuple[float, str]:
    """The largest distance, and of what; but for parameters that stay 0 in float64, whose values are all rounding."""
    return max((distance(a[name], b[name]), name) for name in b if exact[name].any())


def row(checkout: Path, caffe: Path, name: str, param: SolverParameter, batch: int, trace: bool) -> str:
    seen = [1, 2, 3, 5, STEPS] if trace else [STEPS]
    shown, traced = {}, []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(checkout, folder, name, param, batch, seen[0])
        for engine in ("Caffe", "torchcaffe"):
            data_batches.forget_earlier_runs()
            command = ("train", "--solver=solver.prototxt")
            run = engine_runs.real(caffe, folder, *command) if engine == "Caffe" else engine_runs.ours(folder, *command)
            if run.code:
                return f"| {name} | {engine} ended with {run.code}: {run.log[-600:]}"
            shown[engine] = [float(NUMBER.findall(line)[0]) for line in run.lines("loss = ", "output #")]
            for i in seen:
                (folder / f"out_iter_{i}.caffemodel").rename(folder / f"{engine}{i}")
            for path in folder.glob("out_iter_*"):
                path.unlink()
        for i, exact in zip(seen, in_float64(folder, seen), strict=True):
            mine, theirs = (weights(folder / f"{engine}{i}") for engine in ("torchcaffe", "Caffe"))
            pairs = ((mine, theirs), (mine, exact), (theirs, exact))
            key = worst(mine, theirs, exact)[1]
            far = " ".join(f"{distance(a[key], b[key]):.1e}" for a, b in pairs)
            traced.append(f"\n    {i:2d} {key:24s} {far}")
            last = " | ".join(f"{worst(a, b, exact)[0]:.1e}" for a, b in pairs)
    apart = [abs(a - b) / max(abs(b), 1e-30) for a, b in zip(shown["torchcaffe"], shown["Caffe"], strict=True)]
    cells = f"{len(apart)} | {sum(x > 0 for x in apart)} | {max(apart):.1e} | {last}"
    return f"| {name} | {cells} |" + "".join(traced if trace else [])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("caffe", type=Path)
    parser.add_argument("solvers", nargs="*")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--trace", action="store_true")
    arguments = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    for name, param in solvers(arguments.checkout.absolute()):
        if not arguments.solvers or name in arguments.solvers:
            caffe = arguments.caffe.absolute()
            print(row(arguments.checkout.absolute(), caffe, name, param, arguments.batch, arguments.trace), flush=True)
