"""Convolution as products of matrices, for maps no larger than the kernel, such as AlexNet's last ones.

A padded 3x3 kernel at the 9 positions of a 3x3 map makes 81 products, but only 49 of them use a value of the map; the
others use the padding. Here, each element of the kernel is one product of matrices, over the positions of the map that
it is multiplied with, for all images at once. In memory laid out as (H, W, N, C), these positions are one block, or one
block per row.

Measured on one core of a Zen 4, with batches of 64 and AlexNet's conv3 for images of 57x57: 7 ms for the gradient of
the weights, and 7 ms for each of the other two products. oneDNN's convolution takes 17, 8 and 8 ms.
"""

from functools import lru_cache

import torch

from torchcaffe.common.products import add_product

_MIN_CHANNELS = 128  # of a group: with fewer, oneDNN's convolution is as fast

# Arguments of torch.convolution after weight and bias: stride, padding, dilation, transposed, output_padding, groups.
Geometry = tuple[list[int], list[int], list[int], bool, list[int], int]
Block = tuple[int, int, int]  # first position in the top, first position in the bottom, number of positions


def is_faster(x: torch.Tensor, weight: torch.Tensor, geometry: Geometry) -> bool:
    """Whether SmallMaps can do this convolution of the bottom `x`, and faster than oneDNN."""
    stride, pad, dilation, transposed, _, groups = geometry
    outputs, channels, *kernel = weight.shape
    if min(outputs // groups, channels) < _MIN_CHANNELS or len(kernel) != 2 or x.device.type != "cpu":
        return False
    sides = zip(x.shape[2:], kernel, pad, strict=True)
    plain = not transposed and {*stride, *dilation} == {1}
    return plain and all(size <= side == 2 * border + 1 for size, side, border in sides)


class SmallMaps:
    """A convolution and its two gradients, for maps of `size` (height, width).

    `weight` is (num_output, channels / group, kernel h, kernel w). Arguments are (N, C, H, W) in any memory layout;
    returned tensors have this shape too, and are laid out as (H, W, N, C).
    """

    def __init__(self, size: tuple[int, ...], weight: torch.Tensor, groups: int):
        height, width = size
        self._size, self._weight = (height, width), weight
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
        """The top, from the bottom `x` and the bias, (num_output,)."""
        rows, n = self._flat(x), x.shape[0]
        y = rows.new_zeros(len(rows), self._weight.shape[0])
        if bias is not None:
            y.copy_(bias)
        for channels, outputs in self._groups:
            below, above, weight = rows[:, channels], y[:, outputs], self._weight[outputs]
            for row, column, blocks in self._blocks:
                for to, start, count in blocks:
                    source = below[start * n : (start + count) * n]
                    add_product(above[to * n : (to + count) * n], source, weight[:, :, row, column].t())
        return self._maps(y)

    def backward(self, diff: torch.Tensor) -> torch.Tensor:
        """The gradient of the bottom, from that of the top."""
        rows, n = self._flat(diff), diff.shape[0]
        bottom_diff = rows.new_zeros(len(rows), self._weight.shape[1] * len(self._groups))
        for channels, outputs in self._groups:
            below, above, weight = bottom_diff[:, channels], rows[:, outputs], self._weight[outputs]
            for row, column, blocks in self._blocks:
                for to, start, count in blocks:
                    source = above[to * n : (to + count) * n]
                    add_product(below[start * n : (start + count) * n], source, weight[:, :, row, column])
        return self._maps(bottom_diff)

    def add_weight_gradient(self, x: torch.Tensor, diff: torch.Tensor, gradient: torch.Tensor) -> None:
        """Adds the gradient of the weights to `gradient`, from the bottom `x` and the gradient of the top."""
        x_rows, diff_rows, n = self._flat(x), self._flat(diff), x.shape[0]
        for channels, outputs in self._groups:
            below, above, weight = x_rows[:, channels], diff_rows[:, outputs], gradient[outputs]
            for row, column, blocks in self._blocks:
                tap = weight[:, :, row, column]
                for to, start, count in blocks:
                    add_product(tap, above[to * n : (to + count) * n].t(), below[start * n : (start + count) * n])

    def _flat(self, maps: torch.Tensor) -> torch.Tensor:
        """`maps` as (H * W * N, C)."""
        return maps.permute(2, 3, 0, 1).contiguous().view(-1, maps.shape[1])

    def _maps(self, rows: torch.Tensor) -> torch.Tensor:
        """`rows`, (H * W * N, C), as (N, C, H, W)."""
        return rows.view(*self._size, -1, rows.shape[1]).permute(2, 3, 0, 1)


@lru_cache(maxsize=1024)
def _blocks(size: tuple[int, int], down: int, right: int) -> list[Block]:
    """The positions of top and bottom that one element of the kernel connects.

    The element is `down` rows and `right` columns from the kernel's centre. The positions of a map are counted row by
    row.
    """
    height, width = size
    top, left = max(0, -down), max(0, -right)
    rows, columns = max(0, height - abs(down)), max(0, width - abs(right))
    if columns == width:
        return [(top * width, (top + down) * width, rows * width)]
    return [
        (row * width + left, (row + down) * width + left + right, columns) for row in range(top, top + rows) if columns
    ]
