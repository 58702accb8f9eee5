"""The gradient of a convolution's weights on maps of few positions, as one product of matrices over all pairs of them.

A bottom of P positions and a top of Q are rows of P * C and Q * O values, one of each image. The product of the two
matrices is the gradient for each pair of positions, summed over the images; an element of the kernel has the sum over
the pairs that it connects. Pairs that no element connects are computed too, so this is for maps of no more positions
than the kernel has elements, such as AlexNet's last ones.

Measured on one core of a Zen 3 (AVX2), with batches of 64, in ms, beside oneDNN's convolution, best of 30: AlexNet a
quarter as wide on images of 43x43, conv2 (4x4 positions, kernel 5x5) 0.57 and 2.30, conv3 (2x2, kernel 3x3) 0.23 and
1.17; of 57x57, conv3 (3x3, kernel 3x3) 0.80 and 1.27. The other two products gain little: oneDNN leaves the padding out
there.
"""

from functools import lru_cache
from math import prod

import torch
from torch.nn import functional

from torchcaffe.common.products import product
from torchcaffe.layer_types.small_maps import Geometry

_MOST_VALUES = 1 << 22  # of the gradient for all pairs, 16 MiB
_FEWEST_IMAGES = 16  # with 8, maps of 3x3 took as long as by oneDNN, with 4 twice as long; 2x2 gains from 2 on


def is_faster(x: torch.Tensor, diff: torch.Tensor, weight: torch.Tensor, geometry: Geometry) -> bool:
    """Whether `weight_gradient` is faster than oneDNN for this convolution of the bottom `x` with four axes."""
    groups = geometry[-1]
    positions, channels, outputs = prod(x.shape[2:]), weight.shape[1], weight.shape[0] // groups
    values = positions * channels * prod(diff.shape[2:]) * outputs
    return len(x) >= _FEWEST_IMAGES and positions <= prod(weight.shape[2:]) and values <= _MOST_VALUES


def weight_gradient(x: torch.Tensor, diff: torch.Tensor, weight: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """The gradient of `weight`, (num_output, channels / group, kernel h, kernel w), in float32.

    Its memory is in the order (num_output, kernel h, kernel w, channels / group), that of a convolution's weights.
    `x` is the bottom and `diff` the gradient of the top, both (N, C, H, W) in any memory layout.
    """
    stride, pad, dilation, _, _, groups = geometry
    outputs, channels, *kernel = weight.shape
    below, above = _rows(x, groups), _rows(diff, groups)
    pairs, starts = _pairs(
        tuple(x.shape[2:]), tuple(diff.shape[2:]), tuple(kernel), tuple(stride), tuple(pad), tuple(dilation), channels
    )
    gradients = [
        functional.embedding_bag(
            pairs, product(some_below.t(), some_above).view(-1, outputs // groups), starts, mode="sum"
        )
        for some_below, some_above in zip(below, above, strict=True)
    ]
    rows = torch.stack(gradients).view(groups, prod(kernel), channels, -1).permute(0, 3, 1, 2)
    return rows.reshape(outputs, *kernel, channels).permute(0, 3, 1, 2)


def _rows(maps: torch.Tensor, groups: int) -> torch.Tensor:
    """`maps` as (groups, N, positions * channels of a group)."""
    images, channels = maps.shape[:2]
    last = maps.permute(0, 2, 3, 1).reshape(images, -1, groups, channels // groups)
    return last.permute(2, 0, 1, 3).reshape(groups, images, -1)


@lru_cache(maxsize=64)
def _pairs(
    size: tuple[int, ...],
    places: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pad: tuple[int, ...],
    dilation: tuple[int, ...],
    channels: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The pairs of each element of the kernel and channel of the bottom, and where those of each begin.

    A pair is (position of the bottom, channel, position of the top), as one number. Elements come row by row.
    """
    connected = []  # of each axis: element of the kernel, position of the bottom, position of the top
    for axis in (0, 1):
        element, below, above = torch.meshgrid(
            *map(torch.arange, (kernel[axis], size[axis], places[axis])), indexing="ij"
        )
        connected.append(below == above * stride[axis] - pad[axis] + element * dilation[axis])
    both = torch.einsum("kax,lby->klabxy", *(each.int() for each in connected))
    elements, below, above = both.reshape(prod(kernel), prod(size), prod(places)).nonzero()[:, :, None].unbind(1)
    channel = torch.arange(channels)
    targets = (elements * channels + channel).flatten()
    pairs = ((below * channels + channel) * prod(places) + above).flatten()
    counts = torch.bincount(targets, minlength=prod(kernel) * channels)
    return pairs[targets.argsort(stable=True)], counts.cumsum(0) - counts
