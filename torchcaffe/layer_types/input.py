"""Input: blobs that the caller fills.

Source followed: BVLC Caffe's input_layer.cpp.
"""

from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.base_data import BaseDataLayer


class Input(BaseDataLayer):
    """Tops of the shapes in input_param: one for all tops, or one each."""

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        shapes = self.param.input_param.shape
        self.check(
            len(shapes) in (0, 1, len(top)),
            f"Must specify 'shape' once, once per top blob, or not at all: {len(top)} tops vs. {len(shapes)} shapes.",
        )
        for index, blob in enumerate(top):
            if shapes:
                blob.reshape(*shapes[index if len(shapes) > 1 else 0].dim)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        pass

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        pass
