"""Convolution over pairs of positions, against PyTorch's own in float64, and against real Caffe."""

import numpy as np
import pytest
import torch

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import FILLERS, layer
from torchcaffe.layer_types import position_pairs
from torchcaffe.layer_types.position_pairs import PositionPairs

# size of the bottom, kernel, groups, stride, pad, dilation
GEOMETRIES = [
    ((2, 2), (3, 3), 2, [1, 1], [1, 1], [1, 1]),
    ((2, 2), (3, 3), 1, [1, 1], [1, 1], [1, 1]),
    ((4, 4), (5, 5), 1, [1, 1], [2, 2], [1, 1]),
    ((3, 4), (5, 3), 1, [2, 1], [2, 1], [1, 1]),
    ((3, 3), (3, 3), 2, [1, 2], [2, 2], [2, 2]),
    ((4, 4), (4, 4), 1, [1, 1], [0, 0], [1, 1]),
    ((1, 5), (1, 5), 3, [1, 1], [0, 4], [1, 1]),
    ((5, 5), (3, 3), 2, [1, 1], [0, 0], [1, 1]),
]
LAYOUTS = (torch.contiguous_format, torch.channels_last)
PLAIN = [1, 1], [1, 1], [1, 1], False, [0, 0], 1  # kernel 3x3 with a padding of 1


@pytest.mark.parametrize(("size", "kernel", "groups", "stride", "pad", "dilation"), GEOMETRIES, ids=str)
def test_it_is_pytorchs_convolution(size, kernel, groups, stride, pad, dilation):
    torch.manual_seed(1)
    x, weight = torch.randn(16, 4 * groups, *size), torch.randn(6 * groups, 4, *kernel)
    bias = torch.randn(6 * groups)
    exact_x, exact = x.double().requires_grad_(), weight.double().requires_grad_()
    top = torch.conv2d(exact_x, exact, bias.double(), stride, pad, dilation, groups)
    diff = torch.randn(top.shape)
    top.backward(diff.double())
    geometry = stride, pad, dilation, False, [0, 0], groups
    places = tuple(top.shape[2:])
    assert position_pairs.is_faster(x, places, weight, geometry) is (groups <= 2)
    for layout in LAYOUTS:
        below, above, filters = (each.contiguous(memory_format=layout) for each in (x, diff, weight))
        pairs = PositionPairs(size, places, filters, geometry)
        _near(pairs.forward(below, bias), top)
        _near(pairs.forward(below, None), top - bias.double()[:, None, None])
        _near(pairs.backward(above), exact_x.grad)
        _near(pairs.weight_gradient(below, above), exact.grad)
        gradient = weight.clone()
        pairs.add_weight_gradient(below, above, gradient)
        _near(gradient, exact.grad + weight.double())


def test_it_is_for_small_products_and_few_positions():
    weight = torch.zeros(32, 32, 3, 3)
    assert position_pairs.is_faster(torch.zeros(25, 32, 2, 2), (2, 2), weight, PLAIN)
    assert position_pairs.is_faster(torch.zeros(500, 32, 2, 2), (2, 2), weight, PLAIN)
    assert not position_pairs.is_faster(torch.zeros(500, 32, 4, 4), (4, 4), weight, PLAIN)
    assert not position_pairs.is_faster(torch.zeros(1, 32, 8, 8), (8, 8), weight, PLAIN)
    assert not position_pairs.is_faster(torch.zeros(0, 32, 2, 2), (2, 2), weight, PLAIN)
    assert not position_pairs.is_faster(torch.zeros(25, 32, 2, 2).double(), (2, 2), weight, PLAIN)


def test_it_is_not_for_many_groups_nor_for_large_kernels():
    x = torch.zeros(16, 64, 3, 3)
    for groups, chosen in ((1, True), (2, True), (4, False), (64, False)):
        weight, geometry = torch.zeros(64, 64 // groups, 3, 3), (*PLAIN[:-1], groups)
        assert position_pairs.gradient_is_faster(x, (3, 3), weight, geometry) is chosen
        assert position_pairs.is_faster(x[:, :, :2, :2], (2, 2), weight, geometry) is chosen
        assert position_pairs.gradient_is_faster(x[:, :, :2, :2], (2, 2), weight, geometry)
    x, kernel = torch.zeros(16, 1, 30, 30), torch.zeros(1, 1, 59, 59)
    geometry = [1, 1], [29, 29], [1, 1], False, [0, 0], 1
    assert not position_pairs.is_faster(x, (30, 30), kernel, geometry)
    assert not position_pairs.gradient_is_faster(x, (30, 30), kernel, geometry)


def test_the_gradient_alone_is_for_many_images_of_few_positions():
    x, weight = torch.zeros(16, 8, 4, 4), torch.zeros(8, 8, 3, 3)
    assert not position_pairs.gradient_is_faster(x, (4, 4), weight, PLAIN)
    few = x[..., :3, :3]
    assert position_pairs.gradient_is_faster(few, (3, 3), weight, PLAIN)
    assert not position_pairs.gradient_is_faster(few[:15], (3, 3), weight, PLAIN)
    many = torch.zeros(1, 1, 1, 1).expand(16, 400, 3, 3)
    weights = torch.zeros(1, 1, 1, 1).expand(400, 400, 3, 3)
    assert not position_pairs.gradient_is_faster(many, (3, 3), weights, PLAIN)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_an_infinity_reaches_only_the_positions_that_the_kernel_connects(value):
    torch.manual_seed(2)
    x, weight = torch.randn(2, 3, 4, 4), torch.randn(5, 3, 3, 3)
    x[1, 2, 0, 0] = value
    pairs = PositionPairs((4, 4), (4, 4), weight, PLAIN)
    exact = weight.double().requires_grad_()
    top = torch.conv2d(x.double(), exact, None, padding=1)
    _near(pairs.forward(x, None), top)
    assert pairs.forward(x, None)[1].isfinite().sum() == 5 * 12
    diff = torch.randn(2, 5, 4, 4)
    diff[0, 0, 3, 3] = value
    assert pairs.backward(diff)[0].isfinite().sum() == 3 * 12
    assert pairs.weight_gradient(x[:1], diff[1:]).isfinite().all()


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        ((2, 2), "kernel_size: 3 pad: 1"),
        ((2, 2), "kernel_size: 3 pad: 1 group: 2"),
        ((5, 5), "kernel_size: 3"),
        ((3, 4), "kernel_h: 2 kernel_w: 3 stride: 2 pad_h: 1 pad_w: 1 bias_term: false"),
    ],
    ids=str,
)
def test_against_real_caffe(real_caffe, tmp_path, figures, monkeypatch, size, settings):
    """Two bottoms, so that the second one's gradients are added to the first one's."""
    passes: list[str] = []
    for name in ("forward", "backward", "add_weight_gradient"):
        monkeypatch.setattr(PositionPairs, name, _noted(getattr(PositionPairs, name), passes))
    filters = f"num_output: 6 {settings} {FILLERS}"
    shape = (9, 8, *size)
    text = net_of(layer("Convolution", f"convolution_param {{ {filters} }}", "x z", "y w"), x=shape, z=shape)
    Both(real_caffe, text, tmp_path).agree(figures, "Convolution")
    assert {"forward", "backward", "add_weight_gradient"} <= set(passes)


def _noted(method, passes):
    def call(*args):
        passes.append(method.__name__)
        return method(*args)

    return call


def _near(found: torch.Tensor, exact: torch.Tensor) -> None:
    assert found.shape == exact.shape
    finite = exact.detach()[exact.isfinite()]
    np.testing.assert_allclose(found, exact.detach().float(), rtol=0, atol=2e-6 * float(finite.abs().max()))
