"""Convolution on maps of few positions, as products of matrices over all pairs of positions.

A bottom of P positions and a top of Q are rows of P * C and Q * O values, one of each image. The weights are spread to
a matrix of Q * O by P * C: a pair of positions has the element of the kernel that connects the two, or zeros. So the
top and the gradient of the bottom are one product each. The product of both maps is the weights' gradient for each
pair; an element of the kernel has the sum over the pairs that it connects. A call of PyTorch's convolution takes as
long as two million multiplications, and oneDNN's gradient of the weights is slow on such maps: a small net gains most.
Views and copies are NumPy's, which take less time than PyTorch's for few values.

Measured on one core of a Zen 3 (AVX2), in us, the least of 200: forward, gradient of the bottom, of the weights.

| images, channels, map, outputs, kernel | oneDNN | pairs |
|---|---|---|
| 25 x 24, 2x2, 32, 3x3 | 106, 123, 368 | 23, 16, 29 |
| 25 x 16, 4x4, 24, 3x3 | 134, 161, 224 | 117, 92, 87 |
| 32 x 10, 5x5, 16, 3x3 without padding | 115, 257, 197 | 40, 46, 60 |
| 64 x 96, 2x2, 96, 3x3 | 608, 630, 2918 | 250, 250, 275 |

The second row is not taken: in a net, where the spread weights are in no cache, it was slower than oneDNN.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, prod

import numpy as np
import torch

from torchcaffe.common import context
from torchcaffe.common.products import of_arrays
from torchcaffe.layer_types.small_maps import Geometry

_MOST_VALUES = 1 << 22  # of the matrix for all pairs, 16 MiB
_MOST_TRIPLES = 1 << 22  # of two positions and an element of the kernel, a byte each while the pairs are looked for
_MOST_GROUPS = 2  # each has products of its own: on maps of 4x4 eight take up to 2.1 times oneDNN's time, 64 up to 7.2
_FEW_POSITIONS = 4  # up to which the weights' gradient of any number of groups is faster: four on maps of 2x2, 6 times
_MOST_IMAGES = 2560  # that a gradient is summed over at once, as in base_conv.py
_CALL = 2_500_000  # multiplications that take as long as a call of PyTorch's convolution beside this one's
_SPREAD = 45  # images for which a product takes as long as spreading the weights in a net, where they are in no cache
_FEWEST_IMAGES = 16  # for the weights' gradient alone: with 8, maps of 3x3 took as long by oneDNN, with 4 half as long

_SILENT = np.errstate(all="ignore")  # a net that diverges has infinities, and logs them


def is_faster(x: torch.Tensor, places: tuple[int, ...], weight: torch.Tensor, geometry: Geometry) -> bool:
    """Whether PositionPairs is faster than oneDNN for this convolution of the bottom `x`, with tops of `places`."""
    if not _is_possible(x, places, weight, geometry):
        return False
    images, values, groups = len(x), _values(x, places, weight), geometry[-1]
    multiplications = images * prod(places) * weight.numel()
    return groups <= _MOST_GROUPS and values <= _MOST_VALUES and values * (images + _SPREAD) <= multiplications + _CALL


def gradient_is_faster(x: torch.Tensor, places: tuple[int, ...], weight: torch.Tensor, geometry: Geometry) -> bool:
    """Whether it is for the weights' gradient alone: the other two products gain little where oneDNN leaves out the
    padding."""
    positions, groups = prod(x.shape[2:]), geometry[-1]
    few = positions <= prod(weight.shape[2:]) and (groups <= _MOST_GROUPS or positions <= _FEW_POSITIONS)
    return (
        few
        and len(x) >= _FEWEST_IMAGES
        and _is_possible(x, places, weight, geometry)
        and _values(x, places, weight) <= _MOST_VALUES
    )


def _is_possible(x: torch.Tensor, places: tuple[int, ...], weight: torch.Tensor, geometry: Geometry) -> bool:
    transposed = geometry[3]
    plain = not transposed and weight.dim() == 4 and x.dtype == torch.float32
    triples = prod(x.shape[2:]) * prod(places) * prod(weight.shape[2:])
    return plain and context.is_exact(x) and 0 < len(x) <= _MOST_IMAGES and triples <= _MOST_TRIPLES


def _values(x: torch.Tensor, places: tuple[int, ...], weight: torch.Tensor) -> int:
    """The values of the matrices for all pairs."""
    return prod(x.shape[2:]) * prod(places) * weight.shape[0] * weight.shape[1]


class PositionPairs:
    """A convolution and its two gradients, from maps of the sizes `size` to maps of the sizes `places`.

    `weight` is (num_output, channels / group, kernel h, kernel w), float32. Arguments are (N, C, H, W) in any memory
    layout; returned tensors have this shape too, and are laid out as (N, H, W, C).
    """

    def __init__(self, size: tuple[int, ...], places: tuple[int, ...], weight: torch.Tensor, geometry: Geometry):
        self._size, self._places, self._weight, self._geometry = size, places, weight, geometry
        stride, pad, dilation, *_, self._groups = geometry
        kernel = tuple(weight.shape[2:])
        axes = tuple(zip(size, places, kernel, stride, pad, dilation, strict=True))
        self._pairs = _pairs(axes, weight.shape[0], self._groups)

    @_SILENT
    def forward(self, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """The top, from the bottom `x` and the bias, (num_output,)."""
        rows = zip(_rows(x, self._groups), self._spread(), strict=True)
        y = self._maps([of_arrays(some, weight.T) for some, weight in rows], self._places)
        if self._spreads_infinity(y):
            return torch.convolution(x, self._weight, bias, *self._geometry)
        if bias is not None:
            y += bias.numpy()
        return torch.from_numpy(y.transpose(0, 3, 1, 2))

    @_SILENT
    def backward(self, diff: torch.Tensor) -> torch.Tensor:
        """The gradient of the bottom, from that of the top."""
        rows = zip(_rows(diff, self._groups), self._spread(), strict=True)
        below = self._maps([of_arrays(some, weight) for some, weight in rows], self._size)
        if self._spreads_infinity(below):
            like, wanted = torch.empty(below.transpose(0, 3, 1, 2).shape), [True, False, False]
            return torch.ops.aten.convolution_backward(diff, like, self._weight, None, *self._geometry, wanted)[0]
        return torch.from_numpy(below.transpose(0, 3, 1, 2))

    @_SILENT
    def weight_gradient(self, x: torch.Tensor, diff: torch.Tensor) -> torch.Tensor:
        """The gradient of the weights, from the bottom `x` and the gradient of the top, laid out as (num_output,
        kernel h, kernel w, channels / group)."""
        outputs, channels, height, width = self._weight.shape
        rows = zip(_rows(diff, self._groups), _rows(x, self._groups), strict=True)
        of_groups = [of_arrays(above.T, below).reshape(-1, channels) for above, below in rows]
        all_pairs = torch.from_numpy(of_groups[0] if self._groups == 1 else np.concatenate(of_groups))
        sums = torch.embedding_bag(all_pairs, self._pairs.of_elements, self._pairs.starts)[0]
        return sums.view(outputs, height, width, channels).permute(0, 3, 1, 2)

    def add_weight_gradient(self, x: torch.Tensor, diff: torch.Tensor, gradient: torch.Tensor) -> None:
        """Adds the gradient of the weights to `gradient`, from the bottom `x` and the gradient of the top."""
        gradient.add_(self.weight_gradient(x, diff))

    def _spread(self) -> list[np.ndarray]:
        """The weights of all pairs, of each group: (Q * num_output / group, P * channels / group)."""
        channels = self._weight.shape[1]
        rows = self._weight.numpy().transpose(0, 2, 3, 1).reshape(-1, channels)
        if not self._pairs.all_connected:
            rows = np.concatenate([rows, np.zeros((1, channels), np.float32)])
        spread = rows.take(self._pairs.elements, 0).reshape(-1, channels * prod(self._size))
        return [spread] if self._groups == 1 else np.split(spread, self._groups)

    def _maps(self, rows: list[np.ndarray], size: tuple[int, ...]) -> np.ndarray:
        """Rows of each group, (N, positions * channels of a group), as (N, H, W, C)."""
        groups = [each.reshape(len(each), *size, -1) for each in rows]
        return groups[0] if len(groups) == 1 else np.concatenate(groups, 3)

    def _spreads_infinity(self, result: np.ndarray) -> bool:
        """Whether an infinity or nan may have reached places of `result` that no element of the kernel connects with
        it: there it is multiplied by zero, which gives nan."""
        return not self._pairs.all_connected and not isfinite(result.sum())


def _rows(maps: torch.Tensor, groups: int) -> list[np.ndarray]:
    """`maps` in rows of each group: (N, positions * channels of a group)."""
    last = maps.numpy().transpose(0, 2, 3, 1)
    of_groups = [last] if groups == 1 else np.split(last, groups, 3)
    return [each.reshape(len(maps), -1) for each in of_groups]


@dataclass(frozen=True)
class _Pairs:
    """Elements of the kernels are counted output by output. A pair is (group, position of the top, output, position of
    the bottom), as one number.

    `elements` has that of each pair, int64; their number for a pair that no element connects. `of_elements` are the
    pairs of all elements in turn, and `starts` where those of each begin.
    """

    elements: np.ndarray
    of_elements: torch.Tensor
    starts: torch.Tensor
    all_connected: bool


@lru_cache(maxsize=64)
def _pairs(axes: tuple[tuple[int, ...], ...], outputs: int, groups: int) -> _Pairs:
    """`axes` are the size of the bottom, that of the top, kernel, stride, pad and dilation of the two axes."""
    connected = []  # of each axis: position of the top, position of the bottom, element of the kernel
    for size, places, kernel, stride, pad, dilation in axes:
        above, below, element = np.ogrid[:places, :size, :kernel]
        connected.append(below == above * stride - pad + element * dilation)
    both = np.einsum("xak,ybl->xyabkl", *connected)
    elements, positions = both.shape[4] * both.shape[5], both.shape[2] * both.shape[3]
    meets = both.reshape(-1, positions, elements)  # position of the top, of the bottom, element
    element = np.where(meets.any(2), meets.argmax(2), -1)
    first = np.arange(outputs).reshape(groups, 1, -1, 1) * elements  # of each output
    of_pairs = np.where(element[None, :, None] < 0, outputs * elements, first + element[None, :, None]).ravel()
    order = np.argsort(of_pairs, kind="stable")[: np.count_nonzero(of_pairs < outputs * elements)]
    counts = np.bincount(of_pairs[order], minlength=outputs * elements)
    starts = torch.from_numpy(np.cumsum(counts) - counts)
    return _Pairs(of_pairs, torch.from_numpy(order), starts, bool((element >= 0).all()))
