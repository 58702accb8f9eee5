"""Activations, element by element, all but AbsVal also in place: Sigmoid, TanH, ELU, BNLL, AbsVal, PReLU.

Source followed: BVLC Caffe's layers of these names. In place a gradient sees what Caffe's sees: the outputs, where the
formula asks for inputs (ELU, BNLL); PReLU alone keeps its inputs.
"""

import torch
from torch.nn import functional

from caffeformat.caffeformat_pb2 import FillerParameter
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.neuron import _Neuron


class Sigmoid(_Neuron):
    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = torch.sigmoid(bottom[0].value)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = torch.ops.aten.sigmoid_backward(top[0].gradient(), top[0].value)


class TanH(_Neuron):
    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = torch.tanh(bottom[0].value)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = torch.ops.aten.tanh_backward(top[0].gradient(), top[0].value)


class ELU(_Neuron):
    """x above 0, else alpha * (e^x - 1)."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = functional.elu(bottom[0].value, self.param.elu_param.alpha)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            diff = top[0].gradient()
            below = diff * (top[0].value + self.param.elu_param.alpha)
            bottom[0].grad = torch.where(bottom[0].value > 0, diff, below)


class BNLL(_Neuron):
    """log(1 + e^x)."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = functional.softplus(bottom[0].value)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = top[0].gradient() * torch.sigmoid(bottom[0].value)


class AbsVal(_Neuron):
    """|x|; the gradient at 0 is 0."""

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_apart(bottom, top)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = bottom[0].value.abs()

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = top[0].gradient() * bottom[0].value.sign()


class PReLU(_Neuron):
    """x above 0, else slope * x, with a learned slope a channel, (C,), or one for all, ()."""

    kept = ("_x",)
    skips_at = "prelu_layer.cpp:20"

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, axes = self.param.prelu_param, len(bottom[0].shape)
        self.check(2 <= axes <= 4, f"a bottom of {axes} axes; 2 to 4 are needed")
        filler = param.filler if param.HasField("filler") else FillerParameter(type="constant", value=0.25)
        self.add_param(() if param.channel_shared else bottom[0].shape[1:2], filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        found, slopes = bottom[0].shape[1], self.blobs[0].shape
        self.check(not slopes or slopes == (found,), f"a bottom of {found} channels, but {slopes} slopes")
        super().reshape(bottom, top)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._x = x = bottom[0].value
        top[0].value = torch.where(x > 0, x, x * self._slope(x))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        x, diff = self._x, top[0].gradient()
        if self.learns[0]:
            product = (diff * x).masked_fill_(x > 0, 0)
            shared = self.param.prelu_param.channel_shared
            self.blobs[0].add_gradient(product.sum() if shared else product.transpose(0, 1).flatten(1).sum(1))
        if propagate_down[0]:
            bottom[0].grad = torch.where(x > 0, diff, diff * self._slope(x))

    def _slope(self, x: torch.Tensor) -> torch.Tensor:
        return self.blobs[0].value.reshape(-1, *[1] * (x.dim() - 2))
