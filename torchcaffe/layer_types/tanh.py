"""TanH: the hyperbolic tangent.

Source followed: BVLC Caffe's tanh_layer.cpp.
"""

import numpy as np
import torch

from torchcaffe.common import context
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.neuron import NeuronLayer


def tanh(x: torch.Tensor) -> torch.Tensor:
    """The hyperbolic tangent; on the CPU computed in float64, then rounded, for near 1 the last digit decides."""
    return tanh_(x.to(torch.float64, copy=True)).to(x.dtype) if context.is_exact(x) else torch.tanh(x)


def tanh_(x: torch.Tensor) -> torch.Tensor:
    """In place. On the CPU by NumPy, which takes 1 ns for a float64 where PyTorch takes 6."""
    if not context.is_exact(x):
        return x.tanh_()
    np.tanh(x.numpy(), out=x.numpy())
    return x


class TanH(NeuronLayer):
    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = tanh(bottom[0].value)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = torch.ops.aten.tanh_backward(top[0].gradient(), top[0].value)
