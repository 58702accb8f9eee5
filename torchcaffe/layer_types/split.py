"""Split: one blob for several readers, put in by the net where a blob is read twice. Silence: a reader that is idle."""

from torchcaffe.layer_types.base import Blob, Layer


class Split(Layer):
    """The tops share the bottom's data; the bottom's gradient is the sum of the tops'."""

    n_tops = (1, None)

    def shares(self, bottom: list[Blob], top: list[Blob]) -> bool:
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
        given = [blob.grad for blob in top if blob.grad is not None]
        if not given:
            bottom[0].grad = None
            return
        total = given[0]
        for index, grad in enumerate(given[1:]):
            total = total + grad if index == 0 else total.add_(grad)
        bottom[0].grad = total


class Silence(Layer):
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
