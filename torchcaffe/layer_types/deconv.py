"""Deconvolution: the transpose of a convolution.

Source followed: BVLC Caffe's deconv_layer.cpp.
"""

from torchcaffe.layer_types.base_conv import BaseConvolutionLayer


class Deconvolution(BaseConvolutionLayer):
    """Maps a bottom to a top as the gradient of a Convolution with the same settings maps its top to its bottom.

    Weights are (channels, num_output / group, kernel h, kernel w).
    """

    _transposed = True
    _too_large = "padding"

    def _weight_channels(self, channels: int) -> tuple[int, int]:
        return channels, self.param.convolution_param.num_output // self.param.convolution_param.group

    def _output_sizes(self, sizes: tuple[int, ...]) -> list[int]:
        return [
            stride * (size - 1) + dilation * (kernel - 1) + 1 - 2 * pad
            for size, pad, dilation, kernel, stride in zip(
                sizes, self._pad, self._dilation, self._kernel, self._stride, strict=True
            )
        ]
