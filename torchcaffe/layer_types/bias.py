"""Bias: adds a second operand, learned or a bottom, to the first bottom.

Source followed: BVLC Caffe's bias_layer.cpp.
"""

import torch

from caffeformat.caffeformat_pb2 import BiasParameter, ScaleParameter
from torchcaffe.layer_types.base import Blob, Layer


class BroadcastLayer(Layer):
    """The base of Bias and Scale: broadcasts a second operand, learned or the second bottom, to the first bottom.

    The axes of the second operand are those of the first bottom from `axis` on.
    """

    n_bottoms = (1, 2)

    def learned_shape(self, param: BiasParameter | ScaleParameter, bottom: Blob) -> tuple[int, ...]:
        """The shape of a learned operand: `num_axes` axes of `bottom` from `axis` on, all of them for -1.

        Raises Fatal if `bottom` has fewer.
        """
        axis, count, axes = self.axis(param.axis, bottom), param.num_axes, len(bottom.shape)
        self.check(count >= -1, f"num_axes must be non-negative, or -1 to extend to the end; found {count}")
        self.check(
            axis + count <= axes,
            f"num_axes {count} extends past the shape {bottom.shape} of bottom '{bottom.name}' from axis {axis} on",
        )
        return bottom.shape[axis:] if count == -1 else bottom.shape[axis : axis + count]

    def broadcast(self, axis: int, bottom: Blob, operand: Blob) -> None:
        """Sets `broadcast_shape`, the operand's shape with 1 for all other axes, and the axes its gradient sums over.

        Raises Fatal if the sizes differ.
        """
        shape, operand_shape = bottom.shape, operand.shape
        axis = self.axis(axis, bottom) if operand_shape else 0
        end = axis + len(operand_shape)
        self.check(
            shape[axis:end] == operand_shape,
            f"dimension mismatch: {operand_shape} does not fit {shape} of bottom '{bottom.name}' from axis {axis} on",
        )
        self.broadcast_shape = (1,) * axis + operand_shape + (1,) * (len(shape) - end)
        self._summed_axes = [index for index in range(len(shape)) if not axis <= index < end]

    def operand_gradient(self, diff: torch.Tensor, operand: Blob) -> torch.Tensor:
        """`diff` summed to the operand's shape: never `diff` itself, for parameter gradients are summed in place."""
        return diff.sum(self._summed_axes).reshape(operand.shape) if self._summed_axes else diff.clone()


class Bias(BroadcastLayer):
    """A sum. The bias is the layer's blob, or the second bottom."""

    skip_filling_place = "bias_layer.cpp:13"

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        if len(bottom) == 1:
            param = self.param.bias_param
            self.add_param(self.learned_shape(param, bottom[0]), param.filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.broadcast(self.param.bias_param.axis, bottom[0], self._bias(bottom))
        if top[0] is not bottom[0]:
            top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = bottom[0].value + self._bias(bottom).value.reshape(self.broadcast_shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        diff = top[0].gradient()
        if len(bottom) > 1 and propagate_down[1]:
            bottom[1].grad = self.operand_gradient(diff, bottom[1])
        elif len(bottom) == 1 and self.learns[0]:
            self.blobs[0].add_gradient(self.operand_gradient(diff, self.blobs[0]))
        if propagate_down[0]:
            bottom[0].grad = diff

    def _bias(self, bottom: list[Blob]) -> Blob:
        return bottom[1] if len(bottom) > 1 else self.blobs[0]
