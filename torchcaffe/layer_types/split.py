"""Split: one blob for several layers to read. The net inserts it where a blob is read twice.

Source followed: BVLC Caffe's split_layer.cpp.
"""

from torchcaffe.layer_types.base import Blob, Layer


class Split(Layer):
    """The tops share the bottom's memory. The bottom's gradient is the sum of those of the tops."""

    n_tops = (1, None)
    shares_gradient = False

    def shares_memory(self, bottom: list[Blob], top: list[Blob]) -> bool:
        return True

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        for blob in top:
            self.check(blob is not bottom[0], "does not allow in-place computation")
            blob.reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        for blob in top:
            blob.value = bottom[0].value

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        grads = [blob.grad for blob in top if blob.grad is not None]
        if not grads:
            bottom[0].grad = None
            return
        total = grads[0]
        for index, grad in enumerate(grads[1:]):
            total = total + grad if index == 0 else total.add_(grad)
        bottom[0].grad = total
