"""Silence: reads blobs that nothing else reads, so that their values are not printed as outputs of the net.

Source followed: BVLC Caffe's silence_layer.cpp.
"""

from torchcaffe.layer_types.base import Blob, Layer


class Silence(Layer):
    """No tops. The gradients of its bottoms are 0."""

    n_bottoms = (1, None)
    n_tops = (0, 0)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        pass

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        pass

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for blob, down in zip(bottom, propagate_down, strict=True):
            if down:
                blob.grad = None
