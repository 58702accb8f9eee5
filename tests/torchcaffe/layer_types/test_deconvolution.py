"""Deconvolution and Embed against real Caffe."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import Both, Figures, net_of
from tests.helpers.layer_text import FILLERS, layer, quick
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.refusals import refused

DECONVOLUTIONS = {
    "plain": "num_output: 4 kernel_size: 3",
    "upsampling": "num_output: 6 kernel_size: 4 stride: 2 pad: 1 group: 6 bias_term: false",
    "in groups": "num_output: 6 kernel_size: 3 stride: 2 group: 3 pad: 1",
    "rectangular": "num_output: 4 kernel_h: 3 kernel_w: 5 pad_h: 0 pad_w: 2 stride_h: 2 stride_w: 1",
    "dilated": "num_output: 4 kernel_size: 3 dilation: 2 pad: 2",
    "1x1": "num_output: 5 kernel_size: 1",
    "more padding than kernel": "num_output: 4 kernel_size: 2 pad: 3",
    "gaps": "num_output: 4 kernel_size: 1 stride: 3",
}


@pytest.mark.parametrize("settings_", DECONVOLUTIONS.values(), ids=DECONVOLUTIONS.keys())
def test_deconvolution(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, settings_: str) -> None:
    text = net_of(layer("Deconvolution", f"convolution_param {{ {settings_} {FILLERS} }}"), x=(3, 6, 8, 7))
    Both(real_caffe, text, tmp_path).agree(figures, "Deconvolution")


@quick
@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pad=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.integers(1, 2),
    group=st.integers(1, 3),
    num=st.integers(1, 3),
)
def test_deconvolution_of_any_geometry(
    real_caffe, tmp_path, figures, kernel, stride, pad, dilation, group, num
) -> None:
    geometry = (
        f"kernel_h: {kernel[0]} kernel_w: {kernel[1]} stride_h: {stride[0]} stride_w: {stride[1]} "
        f"pad_h: {pad[0]} pad_w: {pad[1]} dilation: {dilation}"
    )
    settings_ = f"convolution_param {{ num_output: {2 * group} group: {group} {geometry} {FILLERS} }}"
    text = net_of(layer("Deconvolution", settings_), x=(num, 3 * group, 6, 5))
    Both(real_caffe, text, tmp_path).agree(figures, "Deconvolution")


def test_deconvolution_over_one_and_three_axes(real_caffe: RealCaffe, tmp_path: Path, figures: Figures) -> None:
    settings_ = f"convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 stride: 2 {FILLERS} }}"
    for shape in ((2, 3, 9), (2, 3, 3, 4, 5)):
        Both(real_caffe, net_of(layer("Deconvolution", settings_), x=shape), tmp_path).agree(figures, "Deconvolution")


def test_deconvolution_of_several_bottoms_shares_the_filters(real_caffe, tmp_path, figures) -> None:
    settings_ = f"convolution_param {{ num_output: 4 kernel_size: 3 {FILLERS} }}"
    text = net_of(layer("Deconvolution", settings_, "x z", "y w"), x=(2, 3, 4, 4), z=(2, 3, 4, 4))
    Both(real_caffe, text, tmp_path).agree(figures, "Deconvolution")


FILLED = {
    "Deconvolution": 'convolution_param { num_output: 3 kernel_size: 4 group: 3 weight_filler { type: "bilinear" } }',
    "Deconvolution xavier": 'convolution_param { num_output: 2 kernel_size: 2 weight_filler { type: "xavier" } }',
    "Embed": 'embed_param { input_dim: 7 num_output: 4 weight_filler { type: "uniform" min: -1 max: 1 } '
    'bias_filler { type: "gaussian" std: 1 } }',
}


@pytest.mark.parametrize("name", FILLED)
def test_parameters_begin_as_caffes(real_caffe: RealCaffe, tmp_path: Path, name: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer(name.split()[0], FILLED[name]), x=(2, 3, 5, 5)).replace("force_backward: true", ""))
    program = """
caffe.set_random_seed(3)
for i, blob in enumerate(caffe.Net(given["path"], 1).params["it"]):
    out[str(i)] = blob.data
"""
    right = real_caffe.run(program, path=str(path))
    caffe.set_random_seed(3)
    found = caffe.Net(path, caffe.TEST).params["it"]
    assert [blob.data.tolist() for blob in found] == [right[key].tolist() for key in sorted(right)]


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
        caffe.Net(path, caffe.TEST).forward(x=np.array([0, number], np.float32))


def test_a_gradient_of_numbers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text("force_backward: true\n" + embedding("", (2,)))
    net = caffe.Net(path, caffe.TEST)
    net.forward()
    with pytest.raises(FormatError, match=r"layer 'it'.*can't backpropagate to its input"):
        net.backward()


REFUSALS = {
    "no outputs": (layer("Embed", "embed_param { input_dim: 3 }"), "num_output must be positive"),
    "no inputs": (layer("Embed", "embed_param { num_output: 3 }"), "input_dim must be positive"),
    "no kernel": (layer("Deconvolution", "convolution_param { num_output: 3 }"), "kernel_size"),
    "groups that do not divide": (
        layer("Deconvolution", "convolution_param { num_output: 3 kernel_size: 1 group: 2 }"), "group 2 must divide"),
    "nothing but padding": (
        layer("Deconvolution", "convolution_param { num_output: 3 kernel_size: 1 pad: 4 }"), "the padding is larger"),
}  # fmt: skip


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=(2, 4, 5, 5)), message, tmp_path, real_caffe)
