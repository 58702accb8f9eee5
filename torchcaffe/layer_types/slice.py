"""Slice: cuts its bottom along an axis.

Source followed: BVLC Caffe's slice_layer.cpp.
"""

from itertools import pairwise

import torch

from torchcaffe.layer_types.base import Blob, Layer
from torchcaffe.layer_types.concat import axis_or_dim


class Slice(Layer):
    """Each top is a piece of the bottom along an axis: cut at the indices of slice_point, or into equal pieces.

    A single top shares the bottom's memory, as in Caffe.
    """

    n_tops = (1, None)

    def shares_memory(self, bottom: list[Blob], top: list[Blob]) -> bool:
        return len(top) == 1

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_not_in_place(bottom, top)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = list(bottom[0].shape)
        self._axis = axis_or_dim(self, self.param.slice_param, "slice_dim", bottom[0])
        self._sizes = self._cut(list(self.param.slice_param.slice_point), shape[self._axis], len(top))
        for blob, size in zip(top, self._sizes, strict=True):
            shape[self._axis] = size
            blob.reshape(*shape)

    def _cut(self, points: list[int], size: int, tops: int) -> list[int]:
        """The sizes of the pieces of an axis of `size`."""
        if not points:
            even = f"Number of top blobs ({tops}) should evenly divide axis {self._axis} of size {size}"
            self.check(size % tops == 0, even)
            return [size // tops] * tops
        self.check(len(points) == tops - 1, f"{len(points)} slice_point for {tops} tops; one fewer than tops is right")
        self.check(tops <= size, f"{tops} tops, but axis {self._axis} is of size {size}")
        ends = [0, *points, size]
        sizes = [end - start for start, end in pairwise(ends)]
        self.check(min(sizes) > 0, f"slice_point {points} must increase from at least 1 to at most {size - 1}")
        return sizes

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        if len(top) == 1:
            top[0].value = bottom[0].value
            return
        for blob, piece in zip(top, torch.split_with_sizes(bottom[0].value, self._sizes, self._axis), strict=True):
            blob.value = piece.clone()  # a layer in place must not change the bottom

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            diffs = [blob.gradient() for blob in top]
            bottom[0].grad = diffs[0] if len(diffs) == 1 else torch.cat(diffs, self._axis)
