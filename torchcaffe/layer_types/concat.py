"""Concat: joins its bottoms along an axis.

Source followed: BVLC Caffe's concat_layer.cpp.
"""

import torch

from caffeformat.caffeformat_pb2 import ConcatParameter, SliceParameter
from torchcaffe.layer_types.base import Blob, Layer


class Concat(Layer):
    """The bottoms one after the other along an axis. All other axes have equal sizes.

    The top of a single bottom shares its memory, as in Caffe.
    """

    n_bottoms = (1, None)

    def shares_memory(self, bottom: list[Blob], top: list[Blob]) -> bool:
        return len(bottom) == 1

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_not_in_place(bottom, top)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = list(bottom[0].shape)
        self._axis = axis_or_dim(self, self.param.concat_param, "concat_dim", bottom[0])
        for blob in bottom[1:]:
            same = len(blob.shape) == len(shape) and all(
                size == first
                for axis, (size, first) in enumerate(zip(blob.shape, shape, strict=True))
                if axis != self._axis
            )
            self.check(
                same,
                f"All inputs must have the same shape, except along axis {self._axis}: '{bottom[0].name}' "
                f"{bottom[0].shape}, '{blob.name}' {blob.shape}",
            )
        shape[self._axis] = sum(blob.shape[self._axis] for blob in bottom)
        top[0].reshape(*shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        values = [blob.value for blob in bottom]
        top[0].value = values[0] if len(values) == 1 else torch.cat(values, self._axis)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        sizes = [blob.shape[self._axis] for blob in bottom]
        pieces = torch.split_with_sizes(top[0].gradient(), sizes, self._axis)
        for down, blob, piece in zip(propagate_down, bottom, pieces, strict=True):
            if down:
                blob.grad = piece


def axis_or_dim(layer: Layer, param: ConcatParameter | SliceParameter, dim: str, bottom: Blob) -> int:
    """The index of the axis of Concat or Slice, from `axis` or from the deprecated field `dim` (concat_dim, slice_dim).

    A dim is unsigned, so it does not count from the end. Raises Fatal if both are given, or if `bottom` has no such
    axis.
    """
    if not param.HasField(dim):
        return layer.axis(param.axis, bottom)
    layer.check(not param.HasField("axis"), f"Either axis or {dim} should be specified; not both")
    index: int = getattr(param, dim)
    layer.check(index < len(bottom.shape), f"{dim} {index} out of range for {bottom.shape}")
    return index
