"""Convolution of small maps in bfloat16: the operands are rounded, each sum is float32 and is rounded once."""

import pytest
import torch

from torchcaffe.common.blob import Blob
from torchcaffe.common.context import Context
from torchcaffe.layer_types.small_maps_bf16 import SmallMapsBf16

HALF_UNIT = 2.0**-8  # of a value's last place in bfloat16


def rounded_once(found: torch.Tensor, exact: torch.Tensor) -> bool:
    """Whether `found` is `exact` (float64), but for one rounding to bfloat16 and the error of a float32 sum."""
    return bool(((found - exact).abs() <= exact.abs() * HALF_UNIT * 1.001 + exact.abs().max() * 1e-6).all())


@pytest.mark.parametrize("size", [(3, 3), (2, 3), (1, 1), (1, 2), (4, 5)], ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_the_products_are_those_of_the_rounded_operands(size: tuple[int, int], groups: int) -> None:
    torch.manual_seed(1)
    kernel = 3 if max(size) <= 3 else 5
    weight = Blob(Context(), (6 * groups, 7, kernel, kernel))
    weight.value = torch.randn(weight.shape).contiguous(memory_format=torch.channels_last)
    x, diff = torch.randn(4, 7 * groups, *size), torch.randn(4, 6 * groups, *size)
    exact = [tensor.bfloat16().double().requires_grad_() for tensor in (x, weight.value)]
    top = torch.conv2d(exact[0], exact[1], padding=kernel // 2, groups=groups)
    top.backward(diff.bfloat16().double())
    bias = torch.randn(6 * groups)
    maps = SmallMapsBf16(size, weight, groups)
    assert rounded_once(maps.forward(x, None), top.detach())
    assert torch.equal(maps.forward(x, bias), maps.forward(x, None) + bias[:, None, None])
    gradient = torch.zeros_like(weight.value)
    maps.add_weight_gradient(x, diff, gradient)
    assert rounded_once(gradient, exact[1].grad)
    assert rounded_once(maps.backward(diff), exact[0].grad)
    assert maps.forward(x, None).is_contiguous(memory_format=torch.channels_last)


def test_new_weights_are_used() -> None:
    weight = Blob(Context(), (6, 7, 3, 3))
    maps, x = SmallMapsBf16((3, 3), weight, 1), torch.randn(4, 7, 3, 3)
    assert not maps.forward(x, None).any()
    weight.value.fill_(0.5)
    assert maps.forward(x, None).any()
    assert maps.backward(torch.ones(4, 6, 3, 3)).any()
