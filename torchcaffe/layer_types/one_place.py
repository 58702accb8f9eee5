"""Convolution whose kernel meets the whole map at one place: the product of matrices of an InnerProduct layer.

So end nets that were made fully convolutional, on images of the size they were trained with, and detectors such as
MTCNN's. A call of PyTorch's convolution, for small maps, takes three times as long as one of a product.
"""

from math import prod

import torch

from torchcaffe.common.products import add_product, linear, product
from torchcaffe.layer_types.small_maps import Geometry

_MOST_IMAGES = 2560  # that a gradient is summed over at once, as in base_conv.py
_MANY_WEIGHTS = 1 << 20  # from which it is faster for a single image, too
_IMAGES_OF_ONE_PIXEL = 8  # from which it is faster for a kernel of one element


def is_faster(x: torch.Tensor, weight: torch.Tensor, geometry: Geometry) -> bool:
    """Whether OnePlace can do this convolution of the bottom `x`, and faster than oneDNN."""
    _, pad, dilation, transposed, _, groups = geometry
    plain = not transposed and groups == 1 and {*pad} == {0} and {*dilation} == {1}
    fits = weight.dim() == 4 and x.shape[1:] == weight.shape[1:]
    if not (plain and fits and x.device.type == "cpu"):
        return False
    if weight.shape[2:].numel() == 1:
        return _IMAGES_OF_ONE_PIXEL <= x.shape[0] <= _MOST_IMAGES
    return 1 < x.shape[0] <= _MOST_IMAGES or (x.shape[0] == 1 and weight.numel() >= _MANY_WEIGHTS)


class OnePlace:
    """A convolution with such a kernel, and its two gradients.

    `weight` is (num_output, C, H, W). Arguments are (N, C, H, W), or of the top (N, num_output, 1, 1), in any memory
    layout. Rows are in the order that the weights have in memory: a parameter that is shared in another shape may have
    neither that of (N, C, H, W) nor that of (N, H, W, C), and then they are copied.
    """

    def __init__(self, weight: torch.Tensor):
        self._weight = weight

    def forward(self, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """The top, from the bottom `x` and the bias, (num_output,)."""
        return linear(_rows(x, self._weight), _rows(self._weight, self._weight), bias)[:, :, None, None]

    def backward(self, diff: torch.Tensor) -> torch.Tensor:
        """The gradient of the bottom, from that of the top."""
        rows = linear(diff[:, :, 0, 0], _rows(self._weight, self._weight).t())
        _, channels, height, width = self._weight.shape
        if _is_channels_last(self._weight):
            return rows.view(-1, height, width, channels).permute(0, 3, 1, 2)
        return rows.view(-1, channels, height, width)

    def add_weight_gradient(self, x: torch.Tensor, diff: torch.Tensor, gradient: torch.Tensor) -> None:
        """Adds the gradient of the weights to `gradient`, from the bottom `x` and the gradient of the top."""
        above = diff[:, :, 0, 0].t()
        if gradient.is_contiguous() or _is_channels_last(gradient):
            add_product(_rows(gradient, gradient), above, _rows(x, gradient))
        else:
            gradient.add_(product(above, _rows(x, gradient)).view(gradient.shape))


def _is_channels_last(weight: torch.Tensor) -> bool:
    return not weight.is_contiguous() and weight.permute(0, 2, 3, 1).is_contiguous()


def _rows(maps: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`maps`, (N, C, H, W), as rows of the values of each, in the order that they have in the memory of `weight`."""
    in_order = maps.permute(0, 2, 3, 1) if _is_channels_last(weight) else maps
    return in_order.reshape(maps.shape[0], prod(maps.shape[1:]))
