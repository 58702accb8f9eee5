"""SPP: spatial pyramid pooling, which gives vectors of one length for images of any size.

Source followed: BVLC Caffe's spp_layer.cpp.
"""

from math import prod

import torch

from caffeformat.caffeformat_pb2 import LayerParameter, PoolingParameter, SPPParameter
from torchcaffe.layer_types.base import Blob, Layer
from torchcaffe.layer_types.pooling import Pooling


class SPP(Layer):
    """Level i of `pyramid_height` pools the bottom (N, C, H, W) in 2^i x 2^i bins. The top is (N, C * number of bins).

    With one level it is (N, C, 1, 1). The bins of a level have one size; the last ones are padded. A bottom that leaves
    a bin with nothing but padding is refused, as in Caffe. With pool: STOCHASTIC, BVLC Caffe draws in the test phase,
    too; here this phase takes the expected values, as in Pooling.
    """

    saved_for_backward = ("_bins",)

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_not_in_place(bottom, top)
        self._height = self.param.spp_param.pyramid_height
        self.check(self._height > 0, "pyramid_height is not given, or 0")
        self.check(self._height < 31, f"pyramid_height {self._height}: no image is so large")
        self._tops = [Blob(self.context) for _ in range(self._height)]
        self._size: tuple[int, ...] = ()

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        self.check(len(shape) == 4, f"a bottom of {len(shape)} axes; 4 are needed (N, C, H, W)")
        self.check(min(shape[2:]) > 0, f"Input dimensions cannot be zero: a bottom of {shape}")
        if shape[2:] != self._size:
            self._size = shape[2:]
            self._levels = [self._pooling(level, bottom) for level in range(self._height)]
        for level, blob in zip(self._levels, self._tops, strict=True):
            level.reshape(bottom, [blob])
        if self._height == 1:
            top[0].reshape(*self._tops[0].shape)
        else:
            top[0].reshape(shape[0], sum(prod(blob.shape[1:]) for blob in self._tops))

    def _pooling(self, level: int, bottom: list[Blob]) -> Pooling:
        """The Pooling of one level. Raises Fatal if it does not fit the bottom."""
        bins = 2**level
        kernel = [-(-size // bins) for size in self._size]
        pad = [(side * bins - size + 1) // 2 for side, size in zip(kernel, self._size, strict=True)]
        fits = all(border < side for border, side in zip(pad, kernel, strict=True))
        self.check(fits, f"level {level} has {bins} x {bins} bins, too many for a bottom of {bottom[0].shape}")
        param = PoolingParameter(pool=SPPParameter.PoolMethod.Name(self.param.spp_param.pool))
        param.kernel_h, param.kernel_w = param.stride_h, param.stride_w = kernel
        param.pad_h, param.pad_w = pad
        own = LayerParameter(name=self.name, type=self.type, phase=self.phase, pooling_param=param)
        layer = Pooling(own, self.context, self.where)
        layer.layer_setup(bottom, [self._tops[level]])
        return layer

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.reshape(bottom, top)
        for level, blob in zip(self._levels, self._tops, strict=True):
            level.forward(bottom, [blob])
        values = [blob.value for blob in self._tops]
        top[0].value = values[0] if self._height == 1 else torch.cat([value.flatten(1) for value in values], 1)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        diff, total = top[0].gradient().flatten(1), torch.zeros_like(bottom[0].value)
        pieces = diff.split([prod(blob.shape[1:]) for blob in self._tops], 1)
        for level, blob, piece in zip(self._levels, self._tops, pieces, strict=True):
            blob.grad = piece.reshape(blob.shape)
            level.backward([blob], propagate_down, bottom)
            total.add_(bottom[0].gradient())
        bottom[0].grad = total

    def release_saved(self) -> None:
        for level in self._levels:
            level.release_saved()
