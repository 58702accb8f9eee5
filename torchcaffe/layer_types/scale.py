"""Scale: multiplies the first bottom by a second operand, learned or a bottom.

Source followed: BVLC Caffe's scale_layer.cpp.
"""

import torch

from caffeformat.caffeformat_pb2 import FillerParameter
from torchcaffe.common import log
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.batch_norm_kernel import batch_norm_backward
from torchcaffe.layer_types.bias import Bias, BroadcastLayer
from torchcaffe.layer_types.channel_rows import ChannelRows


class Scale(BroadcastLayer):
    """A product, and with bias_term a sum. The blobs are the scale, unless it is the second bottom, and the bias."""

    saved_for_backward = ("_x",)
    skip_filling_place = "scale_layer.cpp:16"

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.scale_param
        if len(bottom) == 1:
            filler = param.filler if param.HasField("filler") else FillerParameter(type="constant", value=1)
            self.add_param(self.learned_shape(param, bottom[0]), filler)
        if param.bias_term:
            log.info("layer_factory.hpp:77", f"Creating layer {self.name}")  # Caffe creates a Bias layer of this name
            if self.param.blobs:
                log.info(Bias.skip_filling_place, "Skipping parameter initialization")
            self.broadcast(param.axis, bottom[0], self._scale(bottom))
            self.add_param(self._scale(bottom).shape, param.bias_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.broadcast(self.param.scale_param.axis, bottom[0], self._scale(bottom))
        if top[0] is not bottom[0]:
            top[0].reshape(*bottom[0].shape)
        axes, learned = len(bottom[0].shape), len(self.blobs) == 2 and len(self.blobs[0].shape) == 1
        by_channel = learned and axes > 1 and self.axis(self.param.scale_param.axis, bottom[0]) == 1
        few = by_channel and ChannelRows(bottom[0].shape).blocks == 1
        self._identity: tuple[torch.Tensor, torch.Tensor] | None = None  # mean 0 and variance 1
        if few and not self.context.on_gpu:
            self._identity = torch.zeros_like(self.blobs[0].value), torch.ones_like(self.blobs[0].value)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._x, scale = bottom[0].value, self._scale(bottom).value.reshape(self.broadcast_shape)
        if self.param.scale_param.bias_term:
            top[0].value = torch.addcmul(self.blobs[-1].value.reshape(self.broadcast_shape), self._x, scale)
        else:
            top[0].value = self._x * scale

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        diff, scale = top[0].gradient(), self._scale(bottom)
        if self._identity is not None:
            self._backward_at_once(diff, *self._identity, propagate_down[0], bottom[0])
            return
        if self.param.scale_param.bias_term and self.learns[-1]:
            self.blobs[-1].add_gradient(self.operand_gradient(diff, self.blobs[-1]))
        if len(bottom) > 1 and propagate_down[1]:
            bottom[1].grad = self.operand_gradient(diff * self._x, scale)
        elif len(bottom) == 1 and self.learns[0]:
            scale.add_gradient(self.operand_gradient(diff * self._x, scale))
        if propagate_down[0]:
            bottom[0].grad = diff * scale.value.reshape(self.broadcast_shape)

    def _backward_at_once(
        self, diff: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor, propagate_down: bool, bottom: Blob
    ) -> None:
        """The same by PyTorch's kernel for a batch normalization by given statistics, here mean 0 and variance 1: one
        call and two passes over memory instead of seven and six. It adds up values one by one, so they must be few."""
        scale, wanted = self.blobs[0].value, [propagate_down, self.learns[0], self.learns[1]]
        found = batch_norm_backward(diff, self._x, scale, (mean, variance), None, 0.0, wanted)
        for blob, learns, gradient in zip(self.blobs, self.learns, found[1:], strict=True):
            if learns:
                blob.add_gradient(gradient)
        if propagate_down:
            bottom.grad = found[0]

    def _scale(self, bottom: list[Blob]) -> Blob:
        return bottom[1] if len(bottom) > 1 else self.blobs[0]
