"""Eltwise: the product, the weighted sum or the maximum of bottoms of equal shapes, value by value.

Source followed: BVLC Caffe's eltwise_layer.cpp.
"""

import torch

from caffeformat.caffeformat_pb2 import EltwiseParameter
from torchcaffe.layer_types.base import Blob, Layer


class Eltwise(Layer):
    """Two bottoms or more. The gradient of a maximum goes to one bottom. If values are equal, it goes to the first of
    them; but if the first two bottoms are equal, it goes to the second, as in Caffe.

    In place is refused: BVLC Caffe clears the top, and with it that bottom, before it reads the bottoms.
    """

    n_bottoms = (2, None)

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, count = self.param.eltwise_param, len(self.param.eltwise_param.coeff)
        self.check_not_in_place(bottom, top)
        self.check(count in (0, len(bottom)), f"takes one coeff per bottom blob; found {count} for {len(bottom)}")
        no_coeff = param.operation != EltwiseParameter.PROD or not count
        self.check(no_coeff, "only takes coeff for operation: SUM; this one is PROD")
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
            top[0].value = self._maximum(values)

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
                blob.grad = diff.masked_fill(self._argmax != index, 0)

    def _maximum(self, values: list[torch.Tensor]) -> torch.Tensor:
        """The maximum. Sets `_argmax`, uint8: the index of the bottom that it comes from."""
        first = values[0] > values[1]
        largest, self._argmax = torch.where(first, values[0], values[1]), (~first).to(torch.uint8)
        for index, value in enumerate(values[2:], 2):
            larger = value > largest
            largest = torch.where(larger, value, largest)
            self._argmax.masked_fill_(larger, index)
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
