"""Convolution: filters over one to three spatial axes.

Source followed: BVLC Caffe's conv_layer.cpp.
"""

from torchcaffe.layer_types.base_conv import BaseConvolutionLayer


class Convolution(BaseConvolutionLayer):
    """Weights are (num_output, channels / group, kernel h, kernel w). The sizes of the top are rounded down."""

    _transposed = False
    _too_large = "kernel"

    def _weight_channels(self, channels: int) -> tuple[int, int]:
        return self.param.convolution_param.num_output, channels // self.param.convolution_param.group

    def _output_sizes(self, sizes: tuple[int, ...]) -> list[int]:
        return [
            (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
            for size, pad, dilation, kernel, stride in zip(
                sizes, self._pad, self._dilation, self._kernel, self._stride, strict=True
            )
        ]
