"""Softmax along one axis.

Source followed: BVLC Caffe's softmax_layer.cpp.
"""

import torch

from torchcaffe.layer_types.base import Blob, Layer


class Softmax(Layer):
    """e^x, divided by its sum along `axis`."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._axis = self.axis(self.param.softmax_param.axis, bottom[0])
        if top[0] is not bottom[0]:
            top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = torch.softmax(bottom[0].value, self._axis)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            diff, y = top[0].gradient(), top[0].value
            bottom[0].grad = torch._softmax_backward_data(diff, y, self._axis, y.dtype)
