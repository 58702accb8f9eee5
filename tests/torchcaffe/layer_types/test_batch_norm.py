"""BatchNorm against real Caffe: both kinds of statistics, how they are collected over steps, apart and in place."""

from pathlib import Path

import numpy as np
import pytest
import torch

import torchcaffe as caffe
from tests.helpers.both_engines import LAYER, Both, distance, net_of
from tests.helpers.layer_text import apart_and_in_place, layer
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.refusals import refused

SETTINGS = {
    "as it comes": "",
    "a large eps": "eps: 0.5",
    "a fraction": "moving_average_fraction: 0.5",
    "collected statistics": "use_global_stats: true",
    "the batch's own": "use_global_stats: false",
}


def positive(random: np.random.Generator, *shape: int) -> np.ndarray:
    return random.uniform(0.5, 2, shape).astype(np.float32)


@apart_and_in_place
@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST], ids=["train", "test"])
@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (8, 3), (6, 3, 4), (1, 3, 4, 4)], ids=str)
@pytest.mark.parametrize("settings_", SETTINGS.values(), ids=SETTINGS.keys())
def test_batch_norm(real_caffe, tmp_path, figures, monkeypatch, settings_, shape, phase, tops) -> None:
    text = net_of(layer("BatchNorm", f"batch_norm_param {{ {settings_} }}", tops=tops), x=shape)
    given = Both._given

    def with_positive_statistics(self, random, inputs):
        found = given(self, random, inputs)
        found |= {name: positive(random, *value.shape) for name, value in found.items() if name.startswith("param")}
        return found

    monkeypatch.setattr(Both, "_given", with_positive_statistics)
    Both(real_caffe, text, tmp_path, phase=phase).agree(figures, "BatchNorm")


def test_a_mean_far_larger_than_the_deviation_costs_no_digits(real_caffe, tmp_path, figures) -> None:
    x = 100 + np.random.default_rng(1).standard_normal((16, 3, 8, 8))
    text = net_of(layer("BatchNorm"), x=x.shape)
    found = Both(real_caffe, text, tmp_path, phase=caffe.TRAIN, x=x).found["data y"]
    x = x.astype(np.float32).astype(float)
    right = (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)
    figures.note_arrays("BatchNorm: outputs, against float64", found, right, LAYER)


def test_many_values_in_the_layout_of_convolutions_cost_no_digits(tmp_path, figures) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer("BatchNorm"), x=(16, 4, 64, 64)))
    net, x = caffe.Net(path, caffe.TRAIN), 1 + torch.randn(16, 4, 64, 64, generator=torch.Generator().manual_seed(1))
    net.blobs["x"].value = x.contiguous(memory_format=torch.channels_last)
    net.forward()
    others, x = (0, 2, 3), x.double()
    right = (x - x.mean(others, True)) / (x.var(others, correction=0, keepdim=True) + 1e-5).sqrt()
    figures.note_arrays("BatchNorm: outputs, against float64", net.blobs["y"].data, right.numpy(), 1e-6)


STEPS = """
caffe.set_mode_cpu()
train, test = (caffe.Net(given["path"], phase) for phase in (caffe.TRAIN, caffe.TEST))
for name in train.params:
    for mine, theirs in zip(test.params[name], train.params[name]):
        mine.data[...] = theirs.data
for step, x in enumerate(given["x"]):
    train.blobs["x"].data[...] = x
    train.forward()
    test.blobs["x"].data[...] = x
    for mine, theirs in zip(test.params["it"], train.params["it"]):
        mine.data[...] = theirs.data
    test.forward()
    out[f"{step} train"], out[f"{step} test"] = train.blobs["y"].data.copy(), test.blobs["y"].data.copy()
    for i, blob in enumerate(train.params["it"]):
        out[f"{step} blob {i}"] = blob.data.copy()
"""


@pytest.mark.parametrize("settings_", ["", "moving_average_fraction: 0.9"])
@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (1, 3)], ids=["many values", "one value a channel"])
def test_statistics_collected_over_steps_reach_a_test_net(real_caffe, tmp_path, figures, settings_, shape) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer("BatchNorm", f"batch_norm_param {{ {settings_} }}"), x=shape))
    batches = (np.random.default_rng(1).standard_normal((6, *shape)) * 3 + 2).astype(np.float32)
    right = real_caffe.run(STEPS, path=str(path), x=batches)
    train, test = caffe.Net(path, caffe.TRAIN), caffe.Net(path, caffe.TEST)
    test.share_with(train)
    for step, x in enumerate(batches):
        found = {"train": train.forward(x=x)["y"], "test": test.forward(x=x)["y"]}
        found |= {f"blob {index}": blob.data for index, blob in enumerate(train.params["it"])}
        for name, array in found.items():
            figures.note_arrays("BatchNorm: statistics over steps", array, right[f"{step} {name}"], LAYER)


def test_before_any_batch_the_collected_statistics_are_zeros(real_caffe: RealCaffe, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer("BatchNorm"), x=(2, 3)))
    program = """
net = caffe.Net(given["path"], 1)
net.blobs["x"].data[...] = 1
out["y"] = net.forward()["y"]
"""
    found = caffe.Net(path, caffe.TEST).forward(x=np.ones((2, 3), np.float32))["y"]
    assert distance(found, real_caffe.run(program, path=str(path))["y"]) <= LAYER


def test_batch_norm_scale_and_relu_in_place_as_in_residual_nets(real_caffe, tmp_path, figures) -> None:
    parameters = "convolution_param { num_output: 4 kernel_size: 3 bias_term: false }"
    layers = layer("Convolution", parameters, tops="c", name="conv")
    layers += layer("BatchNorm", "batch_norm_param { use_global_stats: false }", "c", "c")
    layers += layer("Scale", "scale_param { bias_term: true }", "c", "c", name="scale")
    layers += layer("ReLU", "", "c", "c", name="relu")
    Both(real_caffe, net_of(layers, x=(4, 3, 9, 9)), tmp_path).agree(figures, "BatchNorm, Scale and ReLU in place")


@pytest.mark.parametrize("view", ["Flatten", "Split"])
def test_the_gradient_is_that_of_the_bottom_before_a_layer_in_place_on_the_same_memory(
    real_caffe, tmp_path, figures, view
) -> None:
    """Caffe's BatchNorm keeps a copy. ReLU in place on a Flatten or Split of the bottom changes the bottom."""
    parameters = "convolution_param { num_output: 4 kernel_size: 3 }"
    layers = layer("Convolution", parameters, tops="h", name="conv")
    layers += layer("BatchNorm", "batch_norm_param { use_global_stats: false }", "h", "p")
    layers += layer(view, "", "h", "f", name="view") + layer("ReLU", "", "f", "f", name="relu")
    for shape in ((4, 3, 3, 3), (4, 3, 5, 5)):
        both = Both(real_caffe, net_of(layers, x=shape), tmp_path)
        both.agree(figures, "BatchNorm, Scale and ReLU in place")


REFUSALS = {
    "learned statistics": (
        layer("BatchNorm", "param { lr_mult: 0 } param { lr_mult: 1 }"),
        "found param { lr_mult: 1 }",
    ),
    "a vector": (layer("BatchNorm", bottoms="z"), "1 axes; at least 2"),
    "two bottoms": (layer("BatchNorm", bottoms="x z"), "2 bottom blobs"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=(2, 3), z=(4,)), message, tmp_path, real_caffe)
