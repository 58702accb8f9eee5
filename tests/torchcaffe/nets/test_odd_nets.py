"""Unusual combinations of layers, trained in both engines: the logs agree line by line."""

import re
from math import prod
from pathlib import Path

import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers import engine_runs

pytestmark = pytest.mark.slow

SOLVER = """net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 4 display: 1 random_seed: 3
snapshot_prefix: "s"
"""
GAUSSIAN = 'data_filler { type: "gaussian" std: 1 }'
DATA = f"""layer {{ name: "d" type: "DummyData" top: "x" top: "t" dummy_data_param {{
  shape {{ dim: 4 dim: 6 }} shape {{ dim: 4 dim: 3 }} {GAUSSIAN} {GAUSSIAN} }} }}
"""
IMAGES = f"""layer {{ name: "d" type: "DummyData" top: "x" top: "t" dummy_data_param {{
  shape {{ dim: 4 dim: 3 dim: 5 dim: 5 }} shape {{ dim: 4 dim: 3 }} {GAUSSIAN} {GAUSSIAN} }} }}
"""
LOSS = 'layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "loss" }\n'


def product(bottom: str, more: str = "") -> str:
    filler = 'weight_filler { type: "xavier" }'
    return f"""layer {{ name: "ip" type: "InnerProduct" bottom: "{bottom}" top: "ip" {more}
  inner_product_param {{ num_output: 3 {filler} }} }}
"""


def given(*shapes: tuple[int, ...]) -> str:
    """`blobs` of these shapes, with some numbers."""
    blobs, start = [], 0
    for shape in shapes:
        count = prod(shape)
        data = " ".join(f"data: {((start + i) * 37 % 19 - 9) / 10}" for i in range(count))
        blobs.append(f"blobs {{ shape {{ {' '.join(f'dim: {size}' for size in shape)} }} {data} }}")
        start += count
    return " ".join(blobs)


def test_more_parameters_than_the_layer_has_are_refused(tmp_path) -> None:
    (tmp_path / "net.prototxt").write_text(DATA + product("x", given((3, 6), (3,), (3,))) + LOSS)
    with pytest.raises(FormatError, match="`blobs` gives 3 parameters; the layer has 2"):
        caffe.Net(tmp_path / "net.prototxt", caffe.TRAIN)


NETS = {
    "parameters given in the prototxt": DATA + product("x", given((3, 6), (3,))) + LOSS,
    "filters given in the prototxt": IMAGES
    + f"""layer {{ name: "c" type: "Convolution" bottom: "x" top: "c" {given((2, 3, 3, 3), (2,))}
      convolution_param {{ num_output: 2 kernel_size: 3 }} }}
    layer {{ name: "p" type: "PReLU" bottom: "c" top: "c" {given((2,))} }}
    layer {{ name: "s" type: "Scale" bottom: "c" top: "c" scale_param {{ bias_term: true }} {given((2,), (2,))} }}
"""
    + product("c")
    + LOSS,
    "LRN within a channel, and dropout in place behind it": IMAGES
    + """layer { name: "c" type: "Convolution" bottom: "x" top: "c"
      convolution_param { num_output: 2 kernel_size: 2 weight_filler { type: "xavier" } } }
    layer { name: "n" type: "LRN" bottom: "c" top: "n"
      lrn_param { local_size: 3 alpha: 1 beta: 0.75 norm_region: WITHIN_CHANNEL } }
    layer { name: "drop" type: "Dropout" bottom: "n" top: "n" }
"""
    + product("n")
    + LOSS,
    "LRN across channels, and dropout in place behind it": IMAGES
    + """layer { name: "c" type: "Convolution" bottom: "x" top: "c"
      convolution_param { num_output: 4 kernel_size: 2 weight_filler { type: "xavier" } } }
    layer { name: "n" type: "LRN" bottom: "c" top: "n" lrn_param { local_size: 3 alpha: 1 beta: 0.75 } }
    layer { name: "drop" type: "Dropout" bottom: "n" top: "n" }
"""
    + product("n")
    + LOSS,
    "a loss that another layer scales": DATA
    + product("x")
    + LOSS
    + """layer { name: "pw" type: "Power" bottom: "loss" top: "half" power_param { scale: 0.5 } loss_weight: 1 }
""",
    "a weighted top under a layer in place": DATA
    + product("x")
    + 'layer { name: "r" type: "ReLU" bottom: "ip" top: "ip" loss_weight: 0.1 }\n'
    + LOSS,
    "a layer in place behind a split": DATA
    + product("x")
    + """layer { name: "split" type: "Split" bottom: "ip" top: "a" top: "b" }
    layer { name: "tanh" type: "TanH" bottom: "a" top: "a" }
    layer { name: "la" type: "EuclideanLoss" bottom: "a" bottom: "t" top: "la" }
    layer { name: "lb" type: "EuclideanLoss" bottom: "b" bottom: "t" top: "lb" }
""",
    "a layer in place behind a reshape, and another reader": DATA
    + product("x")
    + """layer { name: "r" type: "Reshape" bottom: "ip" top: "r" reshape_param { shape { dim: 3 dim: 4 } } }
    layer { name: "s" type: "Sigmoid" bottom: "r" top: "r" }
    layer { name: "abs" type: "AbsVal" bottom: "r" top: "abs" loss_weight: 0.01 }
    layer { name: "la" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "la" }
""",
    "a layer in place behind a flatten, and another reader": IMAGES
    + """layer { name: "c" type: "Convolution" bottom: "x" top: "c"
      convolution_param { num_output: 3 kernel_size: 5 weight_filler { type: "xavier" } } }
    layer { name: "f" type: "Flatten" bottom: "c" top: "f" }
    layer { name: "r" type: "ReLU" bottom: "f" top: "f" }
    layer { name: "g" type: "Concat" bottom: "f" top: "g" }
    layer { name: "e" type: "ELU" bottom: "g" top: "g" }
    layer { name: "lf" type: "EuclideanLoss" bottom: "g" bottom: "t" top: "lf" }
    layer { name: "h" type: "Flatten" bottom: "c" top: "h" }
    layer { name: "lc" type: "EuclideanLoss" bottom: "h" bottom: "t" top: "lc" }
""",
    "dropout of nothing": DATA
    + product("x")
    + 'layer { name: "drop" type: "Dropout" bottom: "ip" top: "ip" dropout_param { dropout_ratio: 0 } }\n'
    + LOSS,
}
NUMBER = re.compile(r"-?\d+\.?\d*(?:e[+-]\d+)?")


@pytest.mark.parametrize("name", NETS)
def test_an_odd_net_is_trained_as_caffe_trains_it(name: str, caffe: Path, tmp_path: Path) -> None:
    right, found = trained(caffe, tmp_path, NETS[name], SOLVER)
    assert right.code == found.code == 0, found.log[-2000:]
    ours, caffes = found.lines(), right.lines()
    assert [NUMBER.sub("#", line) for line in ours] == [NUMBER.sub("#", line) for line in caffes]
    for one, other in zip(ours, caffes, strict=True):
        values = [[float(text) for text in NUMBER.findall(line)] for line in (one, other)]
        assert values[0] == pytest.approx(values[1], rel=1e-4, abs=1e-6), f"{one}\n{other}"


@pytest.mark.parametrize("prefix", ["", 'snapshot_prefix: ""', 'snapshot_prefix: "."', 'snapshot_prefix: "./"'])
def test_snapshots_are_named_as_caffe_names_them(prefix: str, caffe: Path, tmp_path: Path) -> None:
    solver = SOLVER.replace('snapshot_prefix: "s"', f"{prefix} snapshot: 2")
    right, found = trained(caffe, tmp_path, DATA + product("x") + LOSS, solver, "./solver.prototxt")
    assert right.code == found.code == 0, found.log[-2000:]
    for word in ("snapshot_prefix", "Snapshotting"):
        assert found.lines(word) == right.lines(word)
    names = [
        sorted(path.name for path in (tmp_path / engine).glob("*_iter_*") if "torchcaffe" not in path.suffix)
        for engine in ("caffe", "torchcaffe")
    ]
    assert [name for name in names[1] if name in names[0]] == names[0] and len(names[0]) == 4


def test_blobs_of_another_shape_or_number_are_refused(tmp_path: Path) -> None:
    for blobs, says in (
        (given((6, 3), (3,)), r"blobs\[0\] is of \(6, 3\); the layer needs \(3, 6\)"),
        (given((3, 6)), r"Incorrect number of weight blobs: 1 given by `blobs`"),
    ):
        folder = tmp_path / str(len(blobs))
        found = engine_in(folder, DATA + product("x", blobs) + LOSS, SOLVER)
        assert found.code != 0 and re.search(says, found.log) and "Traceback" not in found.log


def trained(caffe: Path, folder: Path, net: str, solver: str, file: str = "solver.prototxt") -> tuple:
    """The same training in both engines, each in its own folder: Caffe's run and ours."""
    for engine in ("caffe", "torchcaffe"):
        write(folder / engine, net, solver)
    arguments = ("train", f"--solver={file}")
    return engine_runs.real(caffe, folder / "caffe", *arguments), engine_runs.ours(folder / "torchcaffe", *arguments)


def engine_in(folder: Path, net: str, solver: str) -> engine_runs.Run:
    write(folder, net, solver)
    return engine_runs.ours(folder, "train", "--solver=solver.prototxt")


def write(folder: Path, net: str, solver: str) -> None:
    folder.mkdir(parents=True)
    (folder / "net.prototxt").write_text(net)
    (folder / "solver.prototxt").write_text(solver)
