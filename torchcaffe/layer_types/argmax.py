"""ArgMax: the indices of the largest values, or the values themselves.

Source followed: BVLC Caffe's argmax_layer.cpp.
"""

from math import prod

import torch

from torchcaffe.layer_types.base import Blob, Layer


class ArgMax(Layer):
    """The top_k largest values along `axis`: their indices, or with out_max_val the values.

    Without `axis`, over each image: the top is (N, 1, top_k), or with out_max_val (N, 2, top_k), first indices, then
    values. Among equal values the last index comes first.
    """

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.argmax_param
        self.check_not_in_place(bottom, top)
        self._axis = self.axis(param.axis, bottom[0]) if param.HasField("axis") else None
        self.check(param.top_k >= 1, "top_k must not be less than 1")
        self.check(bottom[0].shape, "a bottom of no axes")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape, top_k = list(bottom[0].shape), self.param.argmax_param.top_k
        size = shape[self._axis] if self._axis is not None else prod(shape[1:])
        self.check(top_k <= size, f"top_k must be less than or equal to the {size} values there are; found {top_k}")
        if self._axis is not None:
            shape[self._axis] = top_k
        else:
            rows = 2 if self.param.argmax_param.out_max_val else 1
            shape = [shape[0], rows, top_k] + [1] * (len(shape) - 3)
        top[0].reshape(*shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.reshape(bottom, top)
        x, shape, param = bottom[0].value, top[0].shape, self.param.argmax_param
        if self._axis is not None:
            values, indices = _largest(x, self._axis, param.top_k)
            top[0].value = values if param.out_max_val else indices
        else:
            values, indices = _largest(x.reshape(x.shape[0], prod(x.shape[1:])), 1, param.top_k)
            rows = [indices, values] if param.out_max_val else [indices]
            top[0].value = torch.stack(rows, 1).reshape(shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if any(propagate_down):
            raise self.refuse("has no gradient")


def _largest(x: torch.Tensor, axis: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `count` largest values along `axis`, the largest first, and their indices in the dtype of `x`."""
    values, order = x.flip(axis).sort(dim=axis, descending=True, stable=True)
    indices = x.shape[axis] - 1 - order.narrow(axis, 0, count)
    return values.narrow(axis, 0, count).contiguous(), indices.to(x.dtype)
