"""Flatten: makes one axis of several.

Source followed: BVLC Caffe's flatten_layer.cpp.
"""

from math import prod

from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.reshape import BaseReshapeLayer


class Flatten(BaseReshapeLayer):
    """Replaces the axes from `axis` to `end_axis`, both included, by one axis."""

    def _new_shape(self, bottom: Blob) -> tuple[int, ...]:
        param, shape = self.param.flatten_param, bottom.shape
        start, end = self.axis(param.axis, bottom), self.axis(param.end_axis, bottom) + 1
        self.check(start <= end, f"axis {param.axis} comes after end_axis {param.end_axis} of a bottom of {shape}")
        return (*shape[:start], prod(shape[start:end]), *shape[end:])
