"""Convolution over maps no larger than its kernel, AlexNet's last ones, as products of matrices.

On a 3x3 map a padded 3x3 kernel meets 49 of 81 pairs of places; in the others it lies on the padding. Here each place
of the kernel is a product over the places of the map that it meets, of all images at once: in memory laid out
(H, W, N, C) these lie in one block, or in one block a row.

One core of a Zen 4, batch 64, conv3 of AlexNet at 57x57: 7 ms for the gradient of the weights and 7 for each of the
other two products; oneDNN's convolution takes 17, 8 and 8.
"""

from functools import lru_cache

import torch

_CHANNELS = 128  # of a group: with fewer, oneDNN's convolution is as fast

Block = tuple[int, int, int]  # first place of the top, first place of the bottom, number of places


def suits(x: torch.Tensor, weight: torch.Tensor, geometry: tuple) -> bool:
    """Whether a convolution of the bottom `x` can be done so, and is the faster for it."""
    stride, pad, dilation, transposed, _, groups = geometry
    outputs, channels, *kernel = weight.shape
    if min(outputs // groups, channels) < _CHANNELS or len(kernel) != 2 or x.device.type != "cpu":
        return False
    sides = zip(x.shape[2:], kernel, pad, strict=True)
    plain = not transposed and {*stride, *dilation} == {1}
    return plain and all(size <= side == 2 * border + 1 for size, side, border in sides)


class SmallMaps:
    """The three products. Tensors are (N, C, H, W) in any layout; those that are given back are laid out (H, W, N, C).

    `weight` is (num_output, channels / group, kernel h, kernel w).
    """

    def __init__(self, size: tuple[int, int], weight: torch.Tensor, groups: int):
        self._size, self._weight = tuple(size), weight
        outputs, channels = weight.shape[0] // groups, weight.shape[1]
        self._groups = [
            (slice(g * channels, (g + 1) * channels), slice(g * outputs, (g + 1) * outputs)) for g in range(groups)
        ]
        self._blocks = [
            (row, column, _blocks(self._size, row - weight.shape[2] // 2, column - weight.shape[3] // 2))
            for row in range(weight.shape[2])
            for column in range(weight.shape[3])
        ]

    def forward(self, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """The top of the bottom `x`."""
        rows, n = self._flat(x), x.shape[0]
        y = rows.new_zeros(len(rows), self._weight.shape[0])
        if bias is not None:
            y.copy_(bias)
        for channels, outputs in self._groups:
            below, above, weight = rows[:, channels], y[:, outputs], self._weight[outputs]
            for row, column, blocks in self._blocks:
                for to, start, count in blocks:
                    source = below[start * n : (start + count) * n]
                    above[to * n : (to + count) * n].addmm_(source, weight[:, :, row, column].t())
        return self._maps(y)

    def backward(self, diff: torch.Tensor) -> torch.Tensor:
        """The gradient of the bottom from that of the top."""
        rows, n = self._flat(diff), diff.shape[0]
        bottom_diff = rows.new_zeros(len(rows), self._weight.shape[1] * len(self._groups))
        for channels, outputs in self._groups:
            below, above, weight = bottom_diff[:, channels], rows[:, outputs], self._weight[outputs]
            for row, column, blocks in self._blocks:
                for to, start, count in blocks:
                    source = above[to * n : (to + count) * n]
                    below[start * n : (start + count) * n].addmm_(source, weight[:, :, row, column])
        return self._maps(bottom_diff)

    def add_weight_gradient(self, x: torch.Tensor, diff: torch.Tensor, gradient: torch.Tensor) -> None:
        """Adds the gradient of the weights to `gradient`."""
        x_rows, diff_rows, n = self._flat(x), self._flat(diff), x.shape[0]
        for channels, outputs in self._groups:
            below, above, weight = x_rows[:, channels], diff_rows[:, outputs], gradient[outputs]
            for row, column, blocks in self._blocks:
                tap = weight[:, :, row, column]
                for to, start, count in blocks:
                    tap.addmm_(above[to * n : (to + count) * n].t(), below[start * n : (start + count) * n])

    def _flat(self, maps: torch.Tensor) -> torch.Tensor:
        """(H * W * N, C)."""
        return maps.permute(2, 3, 0, 1).contiguous().view(-1, maps.shape[1])

    def _maps(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.view(*self._size, -1, rows.shape[1]).permute(2, 3, 0, 1)


@lru_cache(maxsize=1024)
def _blocks(size: tuple[int, int], down: int, right: int) -> list[Block]:
    """What the kernel's place `down` and `right` of its middle joins, the places of a map being counted row by row."""
    height, width = size
    top, left = max(0, -down), max(0, -right)
    rows, columns = max(0, height - abs(down)), max(0, width - abs(right))
    if columns == width:
        return [(top * width, (top + down) * width, rows * width)]
    return [
        (row * width + left, (row + down) * width + left + right, columns) for row in range(top, top + rows) if columns
    ]
