"""The gradient of a convolution's weights over pairs of positions, against PyTorch's own in float64."""

import pytest
import torch

from torchcaffe.layer_types import position_pairs

# size of the bottom, kernel, groups, stride, pad, dilation
GEOMETRIES = [
    ((2, 2), (3, 3), 2, [1, 1], [1, 1], [1, 1]),
    ((4, 4), (5, 5), 1, [1, 1], [2, 2], [1, 1]),
    ((3, 4), (5, 3), 1, [2, 1], [2, 1], [1, 1]),
    ((3, 3), (3, 3), 2, [1, 2], [2, 2], [2, 2]),
    ((4, 4), (4, 4), 1, [1, 1], [0, 0], [1, 1]),
    ((1, 5), (1, 5), 3, [1, 1], [0, 4], [1, 1]),
]


@pytest.mark.parametrize(("size", "kernel", "groups", "stride", "pad", "dilation"), GEOMETRIES, ids=str)
def test_it_is_pytorchs_gradient(size, kernel, groups, stride, pad, dilation):
    torch.manual_seed(1)
    x, weight = torch.randn(16, 4 * groups, *size), torch.randn(6 * groups, 4, *kernel)
    exact = weight.double().requires_grad_()
    top = torch.conv2d(x.double(), exact, None, stride, pad, dilation, groups)
    diff = torch.randn(top.shape)
    top.backward(diff.double())
    geometry = stride, pad, dilation, False, [0, 0], groups
    assert position_pairs.is_faster(x, diff, weight, geometry)
    for layout in (torch.contiguous_format, torch.channels_last):
        laid_out = x.contiguous(memory_format=layout), diff.contiguous(memory_format=layout)
        gradient = position_pairs.weight_gradient(*laid_out, weight, geometry)
        assert gradient.shape == weight.shape
        torch.testing.assert_close(gradient, exact.grad.float(), rtol=0, atol=2e-6 * float(exact.grad.abs().max()))


def test_it_is_for_many_images_of_few_positions():
    geometry = [1, 1], [1, 1], [1, 1], False, [0, 0], 1
    x, diff, weight = torch.zeros(16, 8, 4, 4), torch.zeros(16, 8, 4, 4), torch.zeros(8, 8, 3, 3)
    assert not position_pairs.is_faster(x, diff, weight, geometry)
    few = x[..., :3, :3], diff[..., :3, :3]
    assert position_pairs.is_faster(*few, weight, geometry)
    assert not position_pairs.is_faster(*(maps[:15] for maps in few), weight, geometry)
    many = torch.zeros(1, 1, 1, 1).expand(16, 400, 3, 3)
    assert not position_pairs.is_faster(many, many, torch.zeros(1, 1, 1, 1).expand(400, 400, 3, 3), geometry)
