"""Layers that add or multiply blobs: Bias and Scale, the second spread over the first, and Eltwise, of equal shapes.

Source followed: BVLC Caffe's layers of these names.
"""

import torch

from caffeformat.caffeformat_pb2 import BiasParameter, EltwiseParameter, FillerParameter, ScaleParameter
from torchcaffe.common import log
from torchcaffe.layer_types.base import Blob, Layer


class _Spread(Layer):
    """A second operand, learned or the second bottom, whose axes are those of the first bottom from `axis` on."""

    n_bottoms = (1, 2)

    def _operand_shape(self, param: BiasParameter | ScaleParameter, bottom: Blob) -> tuple[int, ...]:
        """The shape of a learned operand: `num_axes` axes from `axis` on, or all of them for -1."""
        axis, count, axes = self.axis(param.axis, bottom), param.num_axes, len(bottom.shape)
        self.check(count >= -1, f"num_axes must be non-negative, or -1 to extend to the end; found {count}")
        self.check(
            axis + count <= axes,
            f"num_axes {count} extends past the shape {bottom.shape} of bottom '{bottom.name}' from axis {axis} on",
        )
        return bottom.shape[axis:] if count == -1 else bottom.shape[axis : axis + count]

    def _place(self, axis: int, bottom: Blob, operand: Blob) -> None:
        """Sets the shape in which the operand meets the bottom, and the axes over which its gradient is summed."""
        shape, wanted = bottom.shape, operand.shape
        axis = self.axis(axis, bottom) if wanted else 0
        end = axis + len(wanted)
        self.check(
            shape[axis:end] == wanted,
            f"dimension mismatch: {wanted} does not fit {shape} of bottom '{bottom.name}' from axis {axis} on",
        )
        self._spread = (1,) * axis + wanted + (1,) * (len(shape) - end)
        self._summed = [index for index in range(len(shape)) if not axis <= index < end]

    def _sum(self, diff: torch.Tensor, operand: Blob) -> torch.Tensor:
        """What reaches the operand; never `diff` itself, since gradients of parameters are added to."""
        return diff.sum(self._summed).reshape(operand.shape) if self._summed else diff.clone()


class Bias(_Spread):
    skips_at = "bias_layer.cpp:13"

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        if len(bottom) == 1:
            param = self.param.bias_param
            self.add_param(self._operand_shape(param, bottom[0]), param.filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._place(self.param.bias_param.axis, bottom[0], self._bias(bottom))
        if top[0] is not bottom[0]:
            top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = bottom[0].value + self._bias(bottom).value.reshape(self._spread)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        diff = top[0].gradient()
        if len(bottom) > 1 and propagate_down[1]:
            bottom[1].grad = self._sum(diff, bottom[1])
        elif len(bottom) == 1 and self.learns[0]:
            self.blobs[0].add_gradient(self._sum(diff, self.blobs[0]))
        if propagate_down[0]:
            bottom[0].grad = diff

    def _bias(self, bottom: list[Blob]) -> Blob:
        return bottom[1] if len(bottom) > 1 else self.blobs[0]


class Scale(_Spread):
    """A product, and with bias_term a sum. The blobs are the scale, unless it is a bottom, and the bias."""

    kept = ("_x",)
    skips_at = "scale_layer.cpp:16"

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.scale_param
        if len(bottom) == 1:
            filler = param.filler if param.HasField("filler") else FillerParameter(type="constant", value=1)
            self.add_param(self._operand_shape(param, bottom[0]), filler)
        if param.bias_term:
            log.info("layer_factory.hpp:77", f"Creating layer {self.name}")  # Caffe makes a Bias layer of this name
            if self.param.blobs:
                log.info(Bias.skips_at, "Skipping parameter initialization")
            self._place(param.axis, bottom[0], self._scale(bottom))
            self.add_param(self._scale(bottom).shape, param.bias_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._place(self.param.scale_param.axis, bottom[0], self._scale(bottom))
        if top[0] is not bottom[0]:
            top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._x, scale = bottom[0].value, self._scale(bottom).value.reshape(self._spread)
        if self.param.scale_param.bias_term:
            top[0].value = torch.addcmul(self.blobs[-1].value.reshape(self._spread), self._x, scale)
        else:
            top[0].value = self._x * scale

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        diff, scale = top[0].gradient(), self._scale(bottom)
        if self.param.scale_param.bias_term and self.learns[-1]:
            self.blobs[-1].add_gradient(self._sum(diff, self.blobs[-1]))
        if len(bottom) > 1 and propagate_down[1]:
            bottom[1].grad = self._sum(diff * self._x, scale)
        elif len(bottom) == 1 and self.learns[0]:
            scale.add_gradient(self._sum(diff * self._x, scale))
        if propagate_down[0]:
            bottom[0].grad = diff * scale.value.reshape(self._spread)

    def _scale(self, bottom: list[Blob]) -> Blob:
        return bottom[1] if len(bottom) > 1 else self.blobs[0]


class Eltwise(Layer):
    """The product, the weighted sum or the largest of two bottoms or more; among equals the first, but of the
    first two the second.

    In place is refused: BVLC Caffe clears the top, and with it that bottom, before it reads the bottoms.
    """

    n_bottoms = (2, None)

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, count = self.param.eltwise_param, len(self.param.eltwise_param.coeff)
        self.check_apart(bottom, top)
        self.check(count in (0, len(bottom)), f"takes one coeff per bottom blob; found {count} for {len(bottom)}")
        plain = param.operation != EltwiseParameter.PROD or not count
        self.check(plain, "only takes coeff for operation: SUM; this one is PROD")
        self._operation = param.operation
        self._coeff = list(param.coeff) or [1.0] * len(bottom)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        for blob in bottom[1:]:
            self.check(
                blob.shape == bottom[0].shape,
                f"bottoms of unequal shapes: '{bottom[0].name}' {bottom[0].shape}, '{blob.name}' {blob.shape}",
            )
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        values = [blob.value for blob in bottom]
        if self._operation == EltwiseParameter.PROD:
            top[0].value = _product(values)
        elif self._operation == EltwiseParameter.SUM:
            total = values[0] * self._coeff[0]
            for value, coeff in zip(values[1:], self._coeff[1:], strict=True):
                total.add_(value, alpha=coeff)
            top[0].value = total
        else:
            top[0].value = self._largest(values)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        diff = top[0].gradient()
        for index, (down, blob) in enumerate(zip(propagate_down, bottom, strict=True)):
            if not down:
                continue
            if self._operation == EltwiseParameter.PROD:
                blob.grad = self._other_factors(index, top, bottom) * diff
            elif self._operation == EltwiseParameter.SUM:
                blob.grad = diff if self._coeff[index] == 1 else diff * self._coeff[index]
            else:
                blob.grad = diff.masked_fill(self._winner != index, 0)

    def _largest(self, values: list[torch.Tensor]) -> torch.Tensor:
        """Sets `_winner`, the index of the bottom that has the largest value."""
        first = values[0] > values[1]
        largest, self._winner = torch.where(first, values[0], values[1]), (~first).to(torch.uint8)
        for index, value in enumerate(values[2:], 2):
            larger = value > largest
            largest = torch.where(larger, value, largest)
            self._winner.masked_fill_(larger, index)
        return largest

    def _other_factors(self, index: int, top: list[Blob], bottom: list[Blob]) -> torch.Tensor:
        if not self.param.eltwise_param.stable_prod_grad:
            return top[0].value / bottom[index].value
        return _product([blob.value for other, blob in enumerate(bottom) if other != index])


def _product(values: list[torch.Tensor]) -> torch.Tensor:
    product = values[0]
    for value in values[1:]:
        product = product * value
    return product
