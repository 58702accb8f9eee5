"""Sums over all values of a channel, in blocks: PyTorch's kernels for batches add values up one by one, in float32.

A row is the channels of one pixel. Of B blocks, block b holds the rows b, b + B, b + 2B, ...: where the channels lie
last in memory, B blocks of C channels look like one block of B C channels, and one call does them all.
"""

from functools import cache
from math import prod

import torch

_BLOCK = 1024  # values of a channel that are added up exactly enough


@cache
def blocks(rows: int) -> int:
    """The least number of equal blocks of at most 1024 rows; 1 if there are no rows."""
    least = max(1, -(-rows // _BLOCK))
    return next(count for count in range(least, max(1, rows) + 1) if rows % count == 0)


class ChannelRows:
    """How arrays of `shape`, (N, C, ...), become blocks of rows."""

    def __init__(self, shape: tuple[int, ...]):
        self.channels = shape[1]
        self.count = shape[0] * prod(shape[2:])  # values of a channel
        self.blocks = blocks(self.count)
        self.others = [0, *range(2, len(shape))]  # the axes without the channels
        self.spread = (shape[1], *[1] * (len(shape) - 2))  # a shape in which (C,) broadcasts to `shape`

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        """`x` as (rows of a block, B C)."""
        return x.permute(*self.others, 1).reshape(-1, self.blocks * self.channels)
