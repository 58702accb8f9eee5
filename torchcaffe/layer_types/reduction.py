"""Reduction: one number for all values along the last axes.

Source followed: BVLC Caffe's reduction_layer.cpp.
"""

from math import prod

from caffeformat.caffeformat_pb2 import ReductionParameter
from torchcaffe.layer_types.base import Blob, Layer


class Reduction(Layer):
    """The sum, mean, sum of absolute values (ASUM) or of squares (SUMSQ) over the axes from `axis` on, times `coeff`.

    The top has the axes before `axis`.
    """

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_not_in_place(bottom, top)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, shape = self.param.reduction_param, bottom[0].shape
        axis = self.axis(param.axis, bottom[0])
        self._kept, self._count = shape[:axis], prod(shape[axis:])
        self._coeff = param.coeff
        if param.operation == ReductionParameter.MEAN:
            self.check(self._count, f"bottom '{bottom[0].name}' of {shape}: a mean of no values")
            self._coeff /= self._count
        top[0].reshape(*self._kept)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].value.reshape(*self._kept, self._count)
        if self.param.reduction_param.operation == ReductionParameter.ASUM:
            x = x.abs()
        elif self.param.reduction_param.operation == ReductionParameter.SUMSQ:
            x = x.square()
        top[0].value = x.sum(-1).mul_(self._coeff)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        x = bottom[0].value
        diff = (top[0].gradient() * self._coeff).reshape(*self._kept, *[1] * (x.dim() - len(self._kept)))
        if self.param.reduction_param.operation == ReductionParameter.ASUM:
            bottom[0].grad = x.sign().mul_(diff)
        elif self.param.reduction_param.operation == ReductionParameter.SUMSQ:
            bottom[0].grad = x * (diff * 2)
        else:
            bottom[0].grad = diff.expand(x.shape).contiguous()
