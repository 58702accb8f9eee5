"""Columns of windows against PyTorch's unfold, fold and convolutions. test_conv.py compares them with real Caffe."""

import pytest
import torch
from torch.nn import functional

from torchcaffe.layer_types.columns import ColumnProducts, Windows, col2im, im2col

WINDOWS = Windows([7, 6], [4, 3], [3, 2], [2, 3], [1, 2], [1, 3])
GEOMETRY = {"dilation": (1, 3), "padding": (1, 2), "stride": (2, 3)}


def test_columns_are_those_of_unfold_and_their_sums_those_of_fold() -> None:
    x = torch.randn(2, 4, 7, 6, dtype=torch.float64)
    columns = im2col(x, WINDOWS)
    assert columns.shape == (2, 4, 3, 2, 4, 3)
    assert torch.equal(columns.reshape(2, 24, 12), functional.unfold(x, (3, 2), **GEOMETRY))
    torch.testing.assert_close(
        col2im(columns, WINDOWS), functional.fold(columns.reshape(2, 24, 12), (7, 6), (3, 2), **GEOMETRY)
    )


def test_a_window_reads_zeros_beyond_the_padding() -> None:
    columns = im2col(torch.ones(1, 1, 2), Windows([2], [1], [5], [1], [1], [1]))
    assert columns.ravel().tolist() == [0, 1, 1, 0, 0]


@pytest.mark.parametrize("transposed", [False, True])
def test_products_are_pytorchs_convolution_and_its_gradients(transposed: bool) -> None:
    torch.manual_seed(1)
    weight = torch.randn(6, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    sizes = [(2, 6, 4, 3), (2, 4, 7, 6)] if transposed else [(2, 4, 7, 6), (2, 6, 4, 3)]
    x, diff = (torch.randn(size, dtype=torch.float64) for size in sizes)
    x.requires_grad_()
    bias = torch.randn(sizes[1][1], dtype=torch.float64)
    function = functional.conv_transpose2d if transposed else functional.conv2d
    y = function(x, weight, bias, groups=2, **GEOMETRY)
    y.backward(diff)
    products = ColumnProducts(WINDOWS, weight.detach(), 2, transposed, weight.dtype)
    torch.testing.assert_close(products.forward(x.detach(), bias), y.detach())
    torch.testing.assert_close(products.backward(diff), x.grad)
    gradient = torch.ones_like(weight)
    products.add_weight_gradient(x.detach(), diff, gradient)
    torch.testing.assert_close(gradient, weight.grad + 1)
