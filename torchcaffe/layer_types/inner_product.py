"""InnerProduct: a fully connected layer.

Source followed: BVLC Caffe's inner_product_layer.cpp.
"""

from math import prod

import torch

from torchcaffe.common.products import linear
from torchcaffe.layer_types.base import Blob, Layer


class InnerProduct(Layer):
    """y = x W^T + b, where x is the bottom, its K values from `axis` on flattened.

    The blobs are W, (num_output, K), or with `transpose` (K, num_output), and with bias_term b, (num_output,).
    """

    skip_filling_place = "inner_product_layer.cpp:24"

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.inner_product_param
        self.check_not_in_place(bottom, top)
        self.check(param.num_output > 0, "num_output is not given, or 0")
        self._axis, self._outputs, self._transpose = self.axis(param.axis, bottom[0]), param.num_output, param.transpose
        self._inputs = prod(bottom[0].shape[self._axis :])
        shape = (self._inputs, param.num_output) if param.transpose else (param.num_output, self._inputs)
        self.add_param(shape, param.weight_filler)
        if param.bias_term:
            self.add_param((param.num_output,), param.bias_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        inputs = prod(shape[self._axis :])
        self.check(
            inputs == self._inputs,
            f"Input size incompatible with inner product parameters: {inputs} inputs, but weights for {self._inputs}",
        )
        top[0].reshape(*shape[: self._axis], self._outputs)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, weight = self._flat(bottom[0]), self._weight()
        y = linear(x, weight, self.operand(self.blobs[1].value) if len(self.blobs) > 1 else None)
        y = self.result(y)
        top[0].value = y if self._axis == 1 else y.reshape(*bottom[0].shape[: self._axis], y.shape[1])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        whole_diff = _rows(top[0].gradient(), self._outputs)
        diff = self.operand(whole_diff)
        if self.learns[0]:
            x = self._flat(bottom[0])
            self.blobs[0].add_product(*((x.t(), diff) if self._transpose else (diff.t(), x)))
        if len(self.blobs) > 1 and self.learns[1]:
            self.blobs[1].add_gradient(whole_diff.sum(0))
        if propagate_down[0]:
            diff = self.result(linear(diff, self._weight().t()))
            bottom[0].grad = diff if diff.shape == bottom[0].shape else diff.reshape(bottom[0].shape)

    def _flat(self, bottom: Blob) -> torch.Tensor:
        return self.operand(_rows(bottom.value, self._inputs))

    def _weight(self) -> torch.Tensor:
        weight = self.weight_operand(0)
        return weight.t() if self._transpose else weight


def _rows(tensor: torch.Tensor, size: int) -> torch.Tensor:
    """The values of `tensor` in rows of `size`, in Caffe's order."""
    return tensor if tensor.dim() == 2 and tensor.shape[1] == size else tensor.reshape(-1, size)
