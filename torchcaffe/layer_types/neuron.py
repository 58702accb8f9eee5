"""Layers that work element by element and may be done in place: ReLU, Dropout.

Done in place, a bottom's data is the top's data when backward comes, as in Caffe; both gradients allow for it.
"""

import torch
from torch.nn import functional

from caffeformat.caffeformat_pb2 import TRAIN
from torchcaffe.common import context
from torchcaffe.layer_types.base import Blob, Layer


class _Neuron(Layer):
    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        if top[0] is not bottom[0]:
            top[0].reshape(*bottom[0].shape)


class ReLU(_Neuron):
    """max(x, 0) + negative_slope * min(x, 0)."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        slope, in_place = self.param.relu_param.negative_slope, top[0] is bottom[0]
        if slope:
            top[0].value = functional.leaky_relu(bottom[0].value, slope, inplace=in_place)
        else:
            top[0].value = functional.relu(bottom[0].value, inplace=in_place)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        slope, top_diff, x = self.param.relu_param.negative_slope, top[0].gradient(), bottom[0].value
        if slope:
            bottom[0].grad = torch.ops.aten.leaky_relu_backward(top_diff, x, slope, False)
        else:
            bottom[0].grad = torch.ops.aten.threshold_backward(top_diff, x, 0)


class Dropout(_Neuron):
    """In the train phase keeps each unit with probability 1 - dropout_ratio, and scales what is kept.

    On the CPU the masks are the very draws of BVLC Caffe, in its order of axes; a GPU draws its own.
    """

    kept = ("_mask",)

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.ratio = self.param.dropout_param.dropout_ratio
        self.check(0 <= self.ratio < 1, f"dropout_ratio {self.ratio}; it lies between 0 and 1")
        self._mask: torch.Tensor | None = None

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].value
        if self.phase != TRAIN:
            top[0].value = x if top[0] is bottom[0] else x.clone()
            return
        self._mask = self._draw(x).mul_(1 / (1 - self.ratio))
        top[0].value = torch.mul(x, self._mask, out=x if top[0] is bottom[0] else None)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            diff = top[0].gradient()
            bottom[0].grad = diff if self.phase != TRAIN else diff * self._mask

    def _draw(self, x: torch.Tensor) -> torch.Tensor:
        keep = 1 - self.ratio
        if not context.is_exact(x):
            return torch.empty_like(x).bernoulli_(keep)
        mask = torch.from_numpy(self.context.rng.bernoulli(x.numel(), keep)).reshape(x.shape)
        return mask.to(x.dtype)
