"""Im2col: the values under a sliding window, as the channels of the place where it is.

Source followed: BVLC Caffe's im2col_layer.cpp.
"""

from math import prod

from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.columns import col2im, im2col
from torchcaffe.layer_types.sliding_windows import SlidingWindowsLayer


class Im2col(SlidingWindowsLayer):
    """A bottom (N, C, H, W) gives a top (N, C * kernel h * kernel w, places h, places w).

    As in a Convolution, maps have any number of axes, here at least one, and come after the channels, `axis`.
    """

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_not_in_place(bottom, top)
        self.read_geometry(bottom[0])
        axis = self.param.convolution_param.axis
        self.check(self._spatial, f"bottom '{bottom[0].name}' of {bottom[0].shape} has no axes after axis {axis}")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape, axis = bottom[0].shape, self._channel_axis
        self.check(
            len(shape) == axis + 1 + self._spatial, f"bottom '{bottom[0].name}' of {shape}; num_axes may not change"
        )
        places = self.window_places(shape[axis + 1 :])
        self.check(min(places) > 0, f"a bottom of {shape} gives an empty top: the kernel is larger")
        self._windows = self.windows(shape[axis + 1 :], places)
        top[0].reshape(*shape[:axis], shape[axis] * prod(self._kernel), *places)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = im2col(self.maps(bottom[0].value), self._windows).reshape(top[0].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            shape = self.maps(bottom[0].value).shape[:2]
            columns = top[0].gradient().reshape(*shape, *self._kernel, *self._windows.places)
            bottom[0].grad = col2im(columns, self._windows).reshape(bottom[0].shape)
