"""Reshape: the bottom's values in another shape.

Source followed: BVLC Caffe's reshape_layer.cpp.
"""

from math import prod

from torchcaffe.layer_types.base import Blob, Layer


class BaseReshapeLayer(Layer):
    """The bottom's values in another shape, in the same order; the base of Reshape and Flatten.

    The top shares the bottom's memory, as in Caffe, unless the bottom's values are in another order in memory.
    """

    def shares_memory(self, bottom: list[Blob], top: list[Blob]) -> bool:
        return True

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_not_in_place(bottom, top)

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


class Reshape(BaseReshapeLayer):
    """Replaces `num_axes` axes, from `axis` on, by the axes of `shape`.

    Among the sizes, 0 copies the bottom's and one -1 is inferred from the others.
    """

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
        return self._inferred([*shape[:start], *sizes, *shape[end:]], bottom)

    def _inferred(self, sizes: list[int], bottom: Blob) -> tuple[int, ...]:
        """`sizes` with the inferred size in place of -1. Raises Fatal unless they hold the bottom's values."""
        if -1 in sizes:
            product = -prod(sizes)
            fits = product and bottom.count % product == 0
            self.check(fits, f"bottom count ({bottom.count}) must be divisible by the product of the dims ({product})")
            sizes[sizes.index(-1)] = bottom.count // product
        self.check(
            prod(sizes) == bottom.count,
            f"output count must match input count: {sizes} does not hold the {bottom.count} values of {bottom.shape}",
        )
        return tuple(sizes)
