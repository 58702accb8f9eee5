"""PReLU: scales negative values by a learned slope.

Source followed: BVLC Caffe's prelu_layer.cpp. In place, the gradient still sees the inputs.
"""

import torch

from caffeformat.caffeformat_pb2 import FillerParameter
from torchcaffe.common import context
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.neuron import NeuronLayer

_WITHOUT_BRANCHES = range(1 << 11, 1 << 20)  # numbers of values for which `_backward` is faster


class PReLU(NeuronLayer):
    """x above 0, else slope * x, for bottoms of 2 to 4 axes (N, C, ...).

    The blob holds the learned slopes: one per channel, (C,), or with channel_shared a single one, ().
    """

    saved_for_backward = ("_x",)
    skip_filling_place = "prelu_layer.cpp:20"

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, axes = self.param.prelu_param, len(bottom[0].shape)
        self.check(2 <= axes <= 4, f"a bottom of {axes} axes; 2 to 4 are needed")
        filler = param.filler if param.HasField("filler") else FillerParameter(type="constant", value=0.25)
        self.add_param(() if param.channel_shared else bottom[0].shape[1:2], filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        channels, slopes = bottom[0].shape[1], self.blobs[0].shape
        self.check(not slopes or slopes == (channels,), f"a bottom of {channels} channels, but {slopes} slopes")
        super().reshape(bottom, top)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._x = x = bottom[0].value
        top[0].value = torch.ops.aten._prelu_kernel(x, self._slope(x))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        x, diff = self._x, top[0].gradient()
        if not (self.learns[0] or propagate_down[0]):
            return
        is_faster = x.numel() in _WITHOUT_BRANCHES and context.is_exact(x)
        backward = _backward if is_faster else torch.ops.aten._prelu_kernel_backward
        gradient, product = backward(diff, x, self._slope(x))
        if self.learns[0]:
            shared = self.param.prelu_param.channel_shared
            self.blobs[0].add_gradient(product.sum() if shared else product.sum([0, *range(2, x.dim())]))
        if propagate_down[0]:
            bottom[0].grad = gradient

    def _slope(self, x: torch.Tensor) -> torch.Tensor:
        return self.blobs[0].value.reshape(-1, *[1] * (x.dim() - 2))


def _backward(diff: torch.Tensor, x: torch.Tensor, slope: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradient of `x`, and what is summed to that of the slope. PyTorch's kernel for a CPU has a branch for each
    value: where a processor cannot foresee the signs, it takes up to four times as long."""
    above = x.sign().clamp_(min=0)  # 1 or 0
    return torch.rsub(above, 1).mul_(slope).add_(above).mul_(diff), x.clamp(max=0).mul_(diff)
