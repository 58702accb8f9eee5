"""Parameter: a blob that is learned, as a top.

Source followed: BVLC Caffe's parameter_layer.hpp.
"""

from caffeformat.caffeformat_pb2 import FillerParameter
from torchcaffe.layer_types.base import Blob, Layer


class Parameter(Layer):
    """The top is the layer's only parameter, of the shape in parameter_param. It begins with zeros: it has no filler.

    The gradient is that of the last backward pass, as in BVLC Caffe, where top and parameter are the same memory: the
    gradients of several batches (iter_size) do not add up.
    """

    n_bottoms = (0, 0)
    skip_filling_place = "parameter_layer.hpp:18"

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._shape = tuple(self.param.parameter_param.shape.dim)
        self.add_param(self._shape, FillerParameter())

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*self._shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = self.blobs[0].value

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if self.learns[0]:
            self.blobs[0].grad = top[0].gradient().clone()
