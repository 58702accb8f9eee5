"""The gradients of a batch normalization in every layout that x and diff can have."""

from itertools import product

import pytest
import torch

from torchcaffe.layer_types.batch_norm_kernel import batch_norm_backward

SHAPES = [(2, 5, 6, 6), (1, 5, 6, 6), (4, 1, 6, 6), (4, 5, 1, 6), (4, 5, 6, 1), (1, 5, 1, 6), (4, 5, 1, 1)]


def in_each_layout(values: torch.Tensor) -> list[torch.Tensor]:
    """The values with channels first and last, and with each stride that an axis of size 1 may have in these."""
    found = []
    for order, whole in product([(0, 1, 2, 3), (0, 2, 3, 1)], [False, True]):
        strides, step, inner = [0] * 4, 1, 1
        for axis in reversed(order):
            strides[axis] = step if whole or values.shape[axis] > 1 else inner
            inner, step = strides[axis], step * values.shape[axis]
        found.append(torch.empty_strided(values.shape, strides).copy_(values))
    return found


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("constant", [True, False], ids=["given statistics", "the batch's"])
def test_the_layout_changes_nothing(shape: tuple[int, ...], constant: bool) -> None:
    torch.manual_seed(1)
    x, diff, scale = torch.randn(shape), torch.randn(shape), torch.randn(shape[1])
    eps, axes = 1e-5, (0, 2, 3)
    given = (torch.zeros(shape[1]), torch.ones(shape[1]))
    found = x.mean(axes), (x.var(axes, correction=0) + eps).rsqrt()
    statistics = (given, None) if constant else (None, found)
    copies = [tensor.double().requires_grad_() for tensor in (x, scale, torch.zeros(shape[1]))]
    moments = [tensor.double() for tensor in given] if constant else [None, None]
    top = torch.nn.functional.batch_norm(
        copies[0], *moments, *copies[1:], training=not constant, eps=eps * (not constant)
    )
    right = torch.autograd.grad(top, copies, diff.double())
    for x_laid_out, diff_laid_out in product(in_each_layout(x), in_each_layout(diff)):
        gradients = batch_norm_backward(
            diff_laid_out, x_laid_out, scale, *statistics, 0.0 if constant else eps, [True, True, True]
        )
        for gradient, exact in zip(gradients, right, strict=True):
            assert torch.allclose(gradient.double(), exact, rtol=1e-4, atol=1e-4)
