"""A net of many layer types trained for a few steps in both engines, and its caffemodel read by the other one."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from tests.helpers.both_engines import LAYER, Figures
from tests.helpers.layer_text import layer
from tests.helpers.real_caffe import RealCaffe


def named(name: str, *args: str) -> str:
    return layer(*args, name=name)


def convolution(name: str, bottom: str, settings: str, type_: str = "Convolution") -> str:
    settings = f'convolution_param {{ {settings} weight_filler {{ type: "msra" }} }}'
    return named(name, type_, settings, bottom, name)


NET = (
    'layer { name: "x" type: "DummyData" top: "x" top: "target" dummy_data_param { '
    "shape { dim: 8 dim: 3 dim: 9 dim: 9 } shape { dim: 8 dim: 5 } "
    'data_filler { type: "gaussian" std: 1 } data_filler { type: "uniform" min: 0 max: 1 } } }\n'
    + convolution("c1", "x", "num_output: 4 kernel_size: 3 pad: 1 bias_term: false")
    + named("bn", "BatchNorm", "", "c1", "c1")
    + named("scale", "Scale", "scale_param { bias_term: true }", "c1", "c1")
    + named("prelu", "PReLU", "", "c1", "c1")
    + convolution("c2", "c1", "num_output: 4 kernel_size: 3 stride: 2")
    + named("elu", "ELU", "", "c2", "c2")
    + convolution("up", "c2", "num_output: 4 kernel_size: 4 stride: 2 group: 4", "Deconvolution")
    + named("crop", "Crop", "", "up c1", "cropped")
    + named("sum", "Eltwise", "", "cropped c1", "sum")
    + named("slice", "Slice", "", "sum", "s1 s2")
    + named("tanh", "TanH", "", "s1", "s1")
    + named("bias", "Bias", "", "s2", "s3")
    + named("concat", "Concat", "", "s1 s3 x", "all")
    + named("flat", "Flatten", "", "all", "flat")
    + named(
        "ip", "InnerProduct", 'inner_product_param { num_output: 5 weight_filler { type: "xavier" } }', "flat", "ip"
    )
    + named("loss", "SigmoidCrossEntropyLoss", "", "ip target", "loss")
)
SOLVER = 'base_lr: 0.05 momentum: 0.9 lr_policy: "fixed" random_seed: 5 weight_decay: 0.01 solver_mode: CPU '
STEPS = 5

TRAINED = """
solver = caffe.SGDSolver(given["solver"])
solver.step(given["steps"])
out["loss"] = solver.net.blobs["loss"].data
for name, blobs in solver.net.params.items():
    for i, blob in enumerate(blobs):
        out[f"{name} {i}"] = blob.data
"""
TESTED = """
caffe.set_random_seed(2)
net = caffe.Net(given["net"], given["weights"], caffe.TEST)
net.forward()
out["ip"] = net.blobs["ip"].data
"""


@pytest.fixture
def solver(tmp_path: Path) -> Path:
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" snapshot_prefix: "{tmp_path}/s" {SOLVER}'
    )
    return tmp_path / "solver.prototxt"


def test_training_and_a_caffemodel_of_many_layer_types(real_caffe: RealCaffe, solver: Path, figures: Figures) -> None:
    right = real_caffe.run(TRAINED, solver=str(solver), steps=STEPS)
    caffe.set_mode_cpu()
    mine = caffe.get_solver(solver)
    mine.step(STEPS)
    found = {f"{name} {i}": blob.data for name, blobs in mine.net.params.items() for i, blob in enumerate(blobs)}
    found["loss"] = mine.net.blobs["loss"].data
    assert found.keys() == right.keys()
    for name, array in right.items():
        figures.note_arrays(f"many layer types together, {STEPS} steps", found[name], array, LAYER)

    weights, net = solver.with_name("w.caffemodel"), solver.with_name("net.prototxt")
    mine.net.save(weights)
    read = real_caffe.run(TESTED, net=str(net), weights=str(weights))["ip"]
    caffe.set_random_seed(2)
    tested = caffe.Net(net, str(weights), caffe.TEST)
    tested.forward()
    assert np.abs(read).max() > 0
    figures.note_arrays("many layer types together, from a caffemodel", tested.blobs["ip"].data, read, LAYER)
