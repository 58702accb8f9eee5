"""Layers that cut, join and reshape blobs: Concat, Slice, Flatten, Reshape, Crop.

Source followed: BVLC Caffe's layers of these names. None works in place. A top that holds the very values of a bottom
in their order shares its memory, as in Caffe; one of another memory layout is a copy.
"""

from itertools import pairwise
from math import prod

import torch

from caffeformat.caffeformat_pb2 import ConcatParameter, SliceParameter
from torchcaffe.layer_types.base import Blob, Layer


class Concat(Layer):
    """The bottoms one behind the other along an axis."""

    n_bottoms = (1, None)

    def shares(self, bottom: list[Blob], top: list[Blob]) -> bool:
        return len(bottom) == 1

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_apart(bottom, top)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = list(bottom[0].shape)
        self._axis = _joint_axis(self, self.param.concat_param, "concat_dim", bottom[0])
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
        pieces = top[0].gradient().split([blob.shape[self._axis] for blob in bottom], self._axis)
        for down, blob, piece in zip(propagate_down, bottom, pieces, strict=True):
            if down:
                blob.grad = piece


class Slice(Layer):
    """Pieces of the bottom along an axis: cut before the places of slice_point, or into equal ones."""

    n_tops = (1, None)

    def shares(self, bottom: list[Blob], top: list[Blob]) -> bool:
        return len(top) == 1

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_apart(bottom, top)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = list(bottom[0].shape)
        self._axis = _joint_axis(self, self.param.slice_param, "slice_dim", bottom[0])
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
        self.check(min(sizes) > 0, f"slice_point {points} must rise from 1 on, below axis {self._axis}'s {size}")
        return sizes

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        if len(top) == 1:
            top[0].value = bottom[0].value
            return
        for blob, piece in zip(top, bottom[0].value.split(self._sizes, self._axis), strict=True):
            blob.value = piece.clone()  # a layer in place must not reach the bottom

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            diffs = [blob.gradient() for blob in top]
            bottom[0].grad = diffs[0] if len(diffs) == 1 else torch.cat(diffs, self._axis)


class _Reshaping(Layer):
    """The bottom's values, in their order, in another shape."""

    def shares(self, bottom: list[Blob], top: list[Blob]) -> bool:
        return True

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_apart(bottom, top)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._shape = self._new_shape(bottom[0])
        top[0].reshape(*self._shape)

    def _new_shape(self, bottom: Blob) -> tuple[int, ...]:
        raise NotImplementedError

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = bottom[0].value.reshape(self._shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = top[0].gradient().reshape(bottom[0].shape)


class Flatten(_Reshaping):
    """The axes from `axis` to `end_axis`, included, as one."""

    def _new_shape(self, bottom: Blob) -> tuple[int, ...]:
        param, shape = self.param.flatten_param, bottom.shape
        start, end = self.axis(param.axis, bottom), self.axis(param.end_axis, bottom) + 1
        self.check(start <= end, f"axis {param.axis} lies behind end_axis {param.end_axis} of a bottom of {shape}")
        return (*shape[:start], prod(shape[start:end]), *shape[end:])


class Reshape(_Reshaping):
    """`num_axes` axes from `axis` on give way to those of `shape`: 0 keeps a size, -1 stands for what is left over."""

    def _new_shape(self, bottom: Blob) -> tuple[int, ...]:
        param, shape, axes = self.param.reshape_param, bottom.shape, len(bottom.shape)
        start = param.axis if param.axis >= 0 else axes + param.axis + 1
        self.check(0 <= start <= axes, f"axis {param.axis} out of range for a bottom of {shape}")
        self.check(param.num_axes >= -1, f"num_axes must be >= 0, or -1 for all; found {param.num_axes}")
        end = axes if param.num_axes == -1 else start + param.num_axes
        self.check(end <= axes, f"axis {param.axis} + num_axes {param.num_axes} is out of range for {shape}")
        sizes = list(param.shape.dim)
        self.check(sizes.count(-1) <= 1, f"at most a single dim of -1 may be specified; found {sizes}")
        self.check(min(sizes, default=0) >= -1, f"a dim is a size, 0 or -1; found {sizes}")
        for index, size in enumerate(sizes):
            if size == 0:
                self.check(start + index < axes, f"dim {index} is 0, but there is no such axis of {shape} to copy")
                sizes[index] = shape[start + index]
        return self._filled([*shape[:start], *sizes, *shape[end:]], bottom)

    def _filled(self, sizes: list[int], bottom: Blob) -> tuple[int, ...]:
        """`sizes` with what is left over in the place of -1."""
        if -1 in sizes:
            rest = -prod(sizes)
            fits = rest and bottom.count % rest == 0
            self.check(fits, f"bottom count ({bottom.count}) must be divisible by the product of the dims ({rest})")
            sizes[sizes.index(-1)] = bottom.count // rest
        self.check(
            prod(sizes) == bottom.count,
            f"output count must match input count: {sizes} is not of the {bottom.count} values of {bottom.shape}",
        )
        return tuple(sizes)


class Crop(Layer):
    """The first bottom, from `axis` on cut to the second's sizes at `offset`, given once or for each axis."""

    n_bottoms = (2, 2)

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_apart(bottom, top)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape, sizes = bottom[0].shape, bottom[1].shape
        start, offsets = self.axis(self.param.crop_param.axis, bottom[0]), list(self.param.crop_param.offset)
        cut = len(shape) - start
        self.check(
            len(offsets) in (0, 1, cut),
            f"number of offset values ({len(offsets)}) must be that of the axes from axis {start} on ({cut})",
        )
        self.check(len(sizes) >= len(shape), f"'{bottom[1].name}' of {sizes} has too few axes to crop {shape} to")
        offsets = offsets * cut if len(offsets) == 1 else offsets or [0] * cut
        self._window = [slice(None)] * start
        for axis, offset in enumerate(offsets, start):
            self.check(
                offset + sizes[axis] <= shape[axis],
                f"the crop for dimension {axis} is out-of-bounds: {sizes[axis]} at offset {offset} of {shape[axis]}",
            )
            self._window.append(slice(offset, offset + sizes[axis]))
        top[0].reshape(*shape[:start], *sizes[start : len(shape)])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = bottom[0].value[tuple(self._window)].clone()  # a layer in place must not reach the bottom

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = torch.zeros_like(bottom[0].value)
            bottom[0].grad[tuple(self._window)] = top[0].gradient()


def _joint_axis(layer: Layer, param: ConcatParameter | SliceParameter, old: str, bottom: Blob) -> int:
    """The axis, by `axis` or by the name it had of `old`, which does not count from the end."""
    if not param.HasField(old):
        return layer.axis(param.axis, bottom)
    layer.check(not param.HasField("axis"), f"Either axis or {old} should be specified; not both")
    layer.check(getattr(param, old) < len(bottom.shape), f"{old} {getattr(param, old)} out of range for {bottom.shape}")
    return getattr(param, old)
