"""MVN: shifts each channel of each image, or each image, to mean 0, and scales it to variance 1.

Source followed: BVLC Caffe's mvn_layer.cpp.
"""

import torch

from torchcaffe.layer_types.base import Blob, Layer


class MVN(Layer):
    """(x - mean) / (standard deviation + eps) over the values of a channel, or with across_channels of an image.

    Without normalize_variance, x - mean. The top has four axes, as in Caffe: a bottom (N, C) gives (N, C, 1, 1). Where
    it differentiates the standard deviation, Caffe's gradient counts eps as 0. In place, the gradient of a normalized
    variance is refused: Caffe overwrites the top's gradient before it has read it.
    """

    saved_for_backward = ("_scale",)
    _scale: torch.Tensor

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        axes = len(bottom[0].shape)
        self.check(axes <= 4, f"a bottom of {axes} axes; at most 4 are supported (N, C, H, W)")
        self.check(
            axes == 4 or top[0] is not bottom[0], f"changes the shape {bottom[0].shape}; give its top another name"
        )
        self._normalizes = self.param.mvn_param.normalize_variance

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_not_empty(bottom[0])
        shape = bottom[0].shape
        top[0].reshape(*shape, *[1] * (4 - len(shape)))
        self._rows = (top[0].shape[0], -1) if self.param.mvn_param.across_channels else (*top[0].shape[:2], -1)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = top[0].shape
        x = bottom[0].value.reshape(self._rows)
        y = x - x.mean(-1, keepdim=True)
        if self._normalizes:
            self._scale = y.square().mean(-1, keepdim=True).sqrt_().add_(self.param.mvn_param.eps)
            y = y.div_(self._scale)
        top[0].value = y.reshape(shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        diff = top[0].gradient().reshape(self._rows)
        below = diff - diff.mean(-1, keepdim=True)
        if self._normalizes:
            wrong = "has no gradient in place, where BVLC Caffe's is wrong; give its top another name"
            self.check(top[0] is not bottom[0], wrong)
            y = top[0].value.reshape(self._rows)
            below = below.sub_(y * (y * diff).mean(-1, keepdim=True)).div_(self._scale)
        bottom[0].grad = below.reshape(bottom[0].shape)
