"""Crop: cuts its first bottom to the sizes of the second.

Source followed: BVLC Caffe's crop_layer.cpp.
"""

import torch

from torchcaffe.layer_types.base import Blob, Layer


class Crop(Layer):
    """The first bottom, its axes from `axis` on cut to the second's sizes, beginning at `offset`.

    `offset` is given once for all these axes, or once for each.
    """

    n_bottoms = (2, 2)

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_not_in_place(bottom, top)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape, sizes = bottom[0].shape, bottom[1].shape
        start, offsets = self.axis(self.param.crop_param.axis, bottom[0]), list(self.param.crop_param.offset)
        cut = len(shape) - start
        self.check(
            len(offsets) in (0, 1, cut),
            f"number of offset values ({len(offsets)}) must be 1 or that of the axes from axis {start} on ({cut})",
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
        top[0].value = bottom[0].value[tuple(self._window)].clone()  # a layer in place must not change the bottom

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = torch.zeros_like(bottom[0].value)
            bottom[0].grad[tuple(self._window)] = top[0].gradient()
