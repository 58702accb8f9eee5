"""Embed: looks up a learned vector for each of the numbers 0 to input_dim - 1.

Source followed: BVLC Caffe's embed_layer.cpp.
"""

import torch

from torchcaffe.common import context
from torchcaffe.layer_types.base import Blob, Layer


class Embed(Layer):
    """Weights are (input_dim, num_output), the bias is (num_output,). The top has one axis more than the bottom.

    Numbers are truncated to integers, as in Caffe. On the CPU, a number out of range raises Fatal; BVLC Caffe reads
    beyond its arrays.
    """

    skip_filling_place = "embed_layer.cpp:19"

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.embed_param
        self.check_not_in_place(bottom, top)
        self.check(param.num_output > 0, "num_output must be positive; it is not given, or 0")
        self.check(param.input_dim > 0, "input_dim must be positive; it is not given, or 0")
        self.add_param((param.input_dim, param.num_output), param.weight_filler)
        if param.bias_term:
            self.add_param((param.num_output,), param.bias_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape, self.param.embed_param.num_output)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._index = bottom[0].value.long()
        if context.is_exact(self._index) and self._index.numel():
            low, high = (int(end) for end in torch.aminmax(self._index))
            size = self.param.embed_param.input_dim
            self.check(low >= 0 and high < size, f"an input is {low if low < 0 else high}, but input_dim is {size}")
        y = self.blobs[0].value[self._index]
        top[0].value = y.add_(self.blobs[1].value) if len(self.blobs) > 1 else y

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.check(not propagate_down[0], "can't backpropagate to its input")
        param, diff = self.param.embed_param, top[0].gradient()
        if self.learns[0]:
            weight_diff = torch.ops.aten.embedding_dense_backward(diff, self._index, param.input_dim, -1, False)
            self.blobs[0].add_gradient(weight_diff)
        if len(self.blobs) > 1 and self.learns[1]:
            self.blobs[1].add_gradient(diff.reshape(-1, param.num_output).sum(0))
