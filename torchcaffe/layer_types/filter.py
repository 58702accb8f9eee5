"""Filter: those images of a batch for which a selector is not 0.

Source followed: BVLC Caffe's filter_layer.cpp.
"""

import torch

from torchcaffe.layer_types.base import Blob, Fatal, Layer


class Filter(Layer):
    """The last bottom is the selector, (N,) or (N, 1, ...). Top i has those images of bottom i, of N, that it selects.

    So the tops have another size after each forward pass, and the layers above are reshaped. After the net is built
    they have the bottoms' sizes. Where nothing is selected, losses and others refuse a batch without images: BVLC Caffe
    divides by 0 and is ended. The selector has no gradient: with `force_backward: true`, which asks for one, the
    backward pass raises Fatal, as in Caffe.
    """

    n_bottoms = (2, None)
    n_tops = (1, None)
    recordable = False  # the sizes of the tops depend on values

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check(len(top) == len(bottom) - 1, f"{len(bottom)} bottoms, the last is the selector, but {len(top)} tops")
        self.check_not_in_place(bottom, top)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        *images, selector = bottom
        single = all(size == 1 for size in selector.shape[1:])
        self.check(single, f"Selector blob dimensions must be singletons (1), except the first; found {selector.shape}")
        self.check(selector.shape, "a selector of no axes")
        for below, above in zip(images, top, strict=True):
            same = below.shape[:1] == selector.shape[:1]
            self.check(same, f"'{below.name}' of {below.shape} has not the {selector.shape[0]} images of the selector")
            above.reshape(*below.shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        before = [blob.shape for blob in top]
        self._selected = bottom[-1].value.reshape(-1).nonzero().reshape(-1)
        for below, above in zip(bottom, top, strict=False):
            above.value = below.value.index_select(0, self._selected)
        self.resized = [blob.shape for blob in top] != before
        self.keep_loss_weights(top)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[-1]:
            message = f"{self.where}: layer '{self.name}': Filter Layer cannot backpropagate to filter index inputs"
            raise Fatal(message, "filter_layer.cpp:84")
        for above, down, below in zip(top, propagate_down, bottom, strict=False):
            if down:
                below.grad = torch.zeros_like(below.value).index_copy_(0, self._selected, above.gradient())
