"""Convolution: filters that slide over maps.

Source followed: BVLC Caffe's conv_layer.cpp.
"""

from torchcaffe.layer_types.base_conv import BaseConvolutionLayer


class Convolution(BaseConvolutionLayer):
    """Weights are (num_output, channels / group, kernel h, kernel w): after the first two, a size for each axis
    of the maps. The sizes of the top are rounded down."""

    _transposed = False
    _too_large = "kernel"

    def _weight_channels(self, channels: int) -> tuple[int, int]:
        return self.param.convolution_param.num_output, channels // self.param.convolution_param.group

    def _output_sizes(self, sizes: tuple[int, ...]) -> list[int]:
        return self.window_places(sizes)
