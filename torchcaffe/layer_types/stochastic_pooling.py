"""Stochastic pooling (Zeiler and Fergus, 2013): in each window a value drawn with a probability in proportion to it.

Source followed: BVLC Caffe's pooling_layer.cu, the only one that has it.
"""

import torch
from torch.nn import functional

Pair = list[int]  # along the height and along the width


def _windows(x: torch.Tensor, kernel: Pair, stride: Pair, sizes: Pair) -> torch.Tensor:
    """The values of all windows of `x`, (N, C, H, W): (N, C, *sizes, elements of the kernel). Beyond `x` they are 0."""
    spans = [(size - 1) * step + side for size, step, side in zip(sizes, stride, kernel, strict=True)]
    below, right = (max(0, span - size) for span, size in zip(spans, x.shape[2:], strict=True))
    x = functional.pad(x, [0, right, 0, below])[:, :, : spans[0], : spans[1]]
    return x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]).flatten(4)


def drawn(x: torch.Tensor, kernel: Pair, stride: Pair, sizes: Pair, numbers: torch.Tensor) -> torch.Tensor:
    """For the train phase: the place of the drawn value of each window, h * W + w, int64, (N, C, *sizes).

    `numbers`, of this shape, are drawn evenly from 0 to 1. The first value at which the sum over the window's values so
    far, row by row, reaches the number's share of the whole sum is the drawn one. If no value does, which takes a sum
    below 0, it is the window's first: Caffe leaves the top as it was.
    """
    sums = _windows(x, kernel, stride, sizes).cumsum(-1)
    element = (sums >= numbers[..., None] * sums[..., -1:]).to(torch.uint8).argmax(-1)
    rows, columns = (torch.arange(size, device=x.device) * step for size, step in zip(sizes, stride, strict=True))
    return (rows[:, None] + element // kernel[1]) * x.shape[3] + columns + element % kernel[1]


def expected(x: torch.Tensor, kernel: Pair, stride: Pair, sizes: Pair) -> torch.Tensor:
    """For the test phase: each window's mean, weighted by the values themselves; 0 if their sum is not above 0."""
    windows = _windows(x, kernel, stride, sizes)
    sums = windows.sum(-1)
    positive = sums > 0
    return windows.square().sum(-1) / sums.masked_fill(~positive, 1) * positive
