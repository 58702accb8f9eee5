"""Windows of maps with any number of axes as columns (Caffe's im2col and col2im), and convolution as products of them.

Source followed: BVLC Caffe's util/im2col.cpp and the products of base_conv_layer.cpp.
"""

from dataclasses import dataclass
from itertools import product

import torch
from torch.nn import functional

_FEW_CHANNELS, _FEW_VALUES = 3, 96  # of a filter


@dataclass(frozen=True)
class Windows:
    """Windows over maps of the sizes `image`: `places` of them along each axis. All lists have an item for each axis.

    Beyond the padding, at the right, a window reads zeros.
    """

    image: list[int]
    places: list[int]
    kernel: list[int]
    stride: list[int]
    pad: list[int]
    dilation: list[int]

    def spans(self) -> list[int]:
        """The sizes of the padded maps that all windows together cover."""
        sides = zip(self.places, self.stride, self.dilation, self.kernel, strict=True)
        return [(places - 1) * stride + dilation * (kernel - 1) + 1 for places, stride, dilation, kernel in sides]


def im2col(x: torch.Tensor, windows: Windows) -> torch.Tensor:
    """The values of all windows of `x`, (N, C, *image): (N, C, *kernel, *places), a view."""
    spans = windows.spans()
    margins: list[int] = []
    for size, span, pad in zip(windows.image, spans, windows.pad, strict=True):
        margins = [pad, max(0, span - pad - size), *margins]  # the last axis comes first
    padded = functional.pad(x, margins).contiguous()
    outer, inner = padded.stride()[:2], padded.stride()[2:]
    steps = [dilation * step for dilation, step in zip(windows.dilation, inner, strict=True)]
    jumps = [stride * step for stride, step in zip(windows.stride, inner, strict=True)]
    return padded.as_strided((*x.shape[:2], *windows.kernel, *windows.places), (*outer, *steps, *jumps))


def col2im(columns: torch.Tensor, windows: Windows) -> torch.Tensor:
    """The sum of `columns`, (N, C, *kernel, *places), at the places they come from: (N, C, *image)."""
    sides = zip(windows.spans(), windows.image, windows.pad, strict=True)
    padded = columns.new_zeros(*columns.shape[:2], *[max(span, pad + size) for span, size, pad in sides])
    values = columns.reshape(*columns.shape[:2], -1, *windows.places).unbind(2)
    for element, value in zip(product(*map(range, windows.kernel)), values, strict=True):
        starts = [index * dilation for index, dilation in zip(element, windows.dilation, strict=True)]
        sides = zip(starts, windows.stride, windows.places, strict=True)
        cut = [slice(start, start + stride * (places - 1) + 1, stride) for start, stride, places in sides]
        padded[(slice(None), slice(None), *cut)] += value
    inside = [slice(pad, pad + size) for pad, size in zip(windows.pad, windows.image, strict=True)]
    return padded[(slice(None), slice(None), *inside)].contiguous()


def is_faster(weight: torch.Tensor) -> bool:
    """Whether the gradient of `weight` is faster by columns than by oneDNN in pieces of a few thousand positions.

    It is for images of few channels: on one core of a Zen 3, the first convolution of LeNet took 1.4 ms instead of 5.0,
    that of CIFAR-10 quick 12.8 instead of 15.9. With 16 channels and kernels of 3x3 it took 2.2 instead of 1.8.
    """
    return weight.shape[1] <= _FEW_CHANNELS and weight[0].numel() <= _FEW_VALUES


class ColumnProducts:
    """A convolution, or its transpose, and the gradients, of any geometry: for those that PyTorch does not have.

    `weight` is (outputs, channels / group, *kernel). Of a convolution the bottom's maps are `windows.image` and the
    top's `windows.places`; `transposed`, the other way round. What is multiplied has the type `operands`, and each
    product is then rounded to it.
    """

    def __init__(self, windows: Windows, weight: torch.Tensor, groups: int, transposed: bool, operands: torch.dtype):
        self._windows, self._groups, self._transposed = windows, groups, transposed
        self._channels = weight.shape[1] * groups
        self._weight = weight.reshape(groups, weight.shape[0] // groups, -1).to(operands)

    def forward(self, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """The top, from the bottom `x` and the bias, (num_output,)."""
        y = self._to_image(x) if self._transposed else self._to_places(x)
        return y if bias is None else y.add_(bias.reshape(-1, *[1] * len(self._windows.image)))

    def backward(self, diff: torch.Tensor) -> torch.Tensor:
        """The gradient of the bottom, from that of the top."""
        return self._to_places(diff) if self._transposed else self._to_image(diff)

    def add_weight_gradient(self, x: torch.Tensor, diff: torch.Tensor, gradient: torch.Tensor) -> None:
        """Adds the gradient of the weights to `gradient`, from the bottom `x` and the gradient of the top."""
        image, places = (diff, x) if self._transposed else (x, diff)
        products = self._in_groups(places) @ self._columns(image).transpose(2, 3)
        gradient.add_(products.to(gradient.dtype).sum(0).reshape(gradient.shape))

    def _to_places(self, image: torch.Tensor) -> torch.Tensor:
        products = self._weight @ self._columns(image)
        return products.to(image.dtype).reshape(len(image), -1, *self._windows.places)

    def _to_image(self, places: torch.Tensor) -> torch.Tensor:
        columns = self._weight.transpose(1, 2) @ self._in_groups(places)
        shape = (len(places), self._channels, *self._windows.kernel, *self._windows.places)
        return col2im(columns.to(places.dtype).reshape(shape), self._windows)

    def _columns(self, image: torch.Tensor) -> torch.Tensor:
        """(N, groups, channels / group * elements of the kernel, places)"""
        return im2col(image.to(self._weight.dtype), self._windows).reshape(
            len(image), self._groups, self._weight.shape[2], -1
        )

    def _in_groups(self, places: torch.Tensor) -> torch.Tensor:
        """(N, groups, outputs / group, places)"""
        return places.reshape(len(places), self._groups, self._weight.shape[1], -1).to(self._weight.dtype)
