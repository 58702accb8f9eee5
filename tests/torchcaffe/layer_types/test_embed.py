"""Embed against real Caffe: vectors, gradients, and numbers out of range."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_checks import initial_parameters_are_caffes
from tests.helpers.layer_text import layer
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.refusals import refused


def embedding(settings_: str, shape: tuple[int, ...]) -> str:
    """A net with an Embed layer and a loss; its input takes no gradient, so none is forced."""
    layers = layer("Embed", f"embed_param {{ input_dim: 7 num_output: 4 {settings_} }}")
    layers += 'layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "z" top: "loss" }'
    return net_of(layers, x=shape, z=(*shape, 4)).replace("force_backward: true", "")


@pytest.mark.parametrize("settings_", ["", "bias_term: false"], ids=["with a bias", "without"])
@pytest.mark.parametrize("shape", [(5,), (20,), (2, 3, 4)], ids=str)
def test_embed(real_caffe, tmp_path, figures, settings_, shape) -> None:
    x = np.random.default_rng(1).integers(0, 7, shape)
    Both(real_caffe, embedding(settings_, shape), tmp_path, x=x).agree(figures, "Embed")


def test_embed_takes_the_whole_part_of_a_number(real_caffe, tmp_path, figures) -> None:
    Both(real_caffe, embedding("", (3,)), tmp_path, x=[0.9, 6.5, -0.5]).agree(figures, "Embed")


@pytest.mark.parametrize("number", [-1, 7])
def test_a_number_outside_is_refused(tmp_path: Path, number: int) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(embedding("", (2,)))
    with pytest.raises(FormatError, match=rf"layer 'it'.*an input is {number}, but input_dim is 7"):
        caffe.Net(path, caffe.TEST).forward(x=np.array([0, number]), z=np.zeros((2, 4)))


def test_a_gradient_of_numbers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text("force_backward: true\n" + embedding("", (2,)))
    net = caffe.Net(path, caffe.TEST)
    net.forward()
    with pytest.raises(FormatError, match=r"layer 'it'.*can't backpropagate to its input"):
        net.backward()


def test_parameters_begin_as_caffes(real_caffe: RealCaffe, tmp_path: Path) -> None:
    fillers = 'weight_filler { type: "uniform" min: -1 max: 1 } bias_filler { type: "gaussian" std: 1 }'
    initial_parameters_are_caffes(real_caffe, tmp_path, embedding(fillers, (2, 3, 5, 5)))


REFUSALS = {
    "no outputs": (layer("Embed", "embed_param { input_dim: 3 }"), "num_output must be positive"),
    "no inputs": (layer("Embed", "embed_param { num_output: 3 }"), "input_dim must be positive"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=(2, 4, 5, 5)), message, tmp_path, real_caffe)
