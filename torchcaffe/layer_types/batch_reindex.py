"""BatchReindex: the images of a batch in another order, some left out and some repeated.

Source followed: BVLC Caffe's batch_reindex_layer.cpp.
"""

import torch

from torchcaffe.common import context
from torchcaffe.layer_types.base import Blob, Fatal, Layer


class BatchReindex(Layer):
    """Image i of the top is the image of the first bottom whose index is value i of the second, (M,): 0 to N - 1.

    The gradient of an image is the sum of those of its copies. The indices have none: with `force_backward: true`,
    which asks for one, the backward pass raises Fatal, as in Caffe.
    """

    n_bottoms = (2, 2)

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_not_in_place(bottom, top)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        images, indices = bottom[0].shape, bottom[1].shape
        self.check(len(indices) == 1, f"the indices, '{bottom[1].name}', must have one axis; found {indices}")
        self.check(images, f"a bottom of no axes, '{bottom[0].name}'")
        top[0].reshape(*indices, *images[1:])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, indices = bottom[0].value, bottom[1].value
        if context.is_exact(indices) and indices.numel():
            low, high = (float(end) for end in torch.aminmax(indices))
            wrong = f"{low if low < 0 else high:g}, but the batch has {len(x)} images, 0 to {len(x) - 1}"
            self.check(low >= 0 and high < len(x), f"an index is {wrong}")
        self._index = indices.long()
        top[0].value = x.index_select(0, self._index)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[1]:
            message = f"{self.where}: layer '{self.name}' (BatchReindex): Cannot backprop to index."
            raise Fatal(message, "batch_reindex_layer.cpp:61")
        if propagate_down[0]:
            rows = top[0].gradient().flatten(1) if top[0].value.dim() > 1 else top[0].gradient()[:, None]
            summed = torch.ops.aten.embedding_dense_backward(rows, self._index, bottom[0].shape[0], -1, False)
            bottom[0].grad = summed.reshape(bottom[0].shape)
