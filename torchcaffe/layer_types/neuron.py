"""NeuronLayer, the base class of layers that work value by value and can work in place.

In place, the data of the bottom is the data of the top when `backward` runs, as in Caffe: a formula that needs the
inputs gets the outputs (ELU, BNLL). Only PReLU saves its inputs.

Source followed: BVLC Caffe's neuron_layer.cpp.
"""

from torchcaffe.layer_types.base import Blob, Layer


class NeuronLayer(Layer):
    """One bottom and one top of the same shape."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        if top[0] is not bottom[0]:
            top[0].reshape(*bottom[0].shape)

    def check_gradient_not_in_place(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Raises Fatal in place, for a type whose gradient is wrong there in BVLC Caffe."""
        self.check(
            top[0] is not bottom[0],
            "has no gradient in place, where BVLC Caffe's is wrong; give its top another name",
        )
