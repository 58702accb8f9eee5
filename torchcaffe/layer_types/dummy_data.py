"""DummyData: blobs that fillers fill.

Source followed: BVLC Caffe's dummy_data_layer.cpp.
"""

import torch

from caffeformat.caffeformat_pb2 import FillerParameter
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.base_data import BaseDataLayer


class DummyData(BaseDataLayer):
    """Each forward pass fills the tops again, with new random numbers. A constant filler fills its top only once."""

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.dummy_data_param
        given = list(param.data_filler) or [FillerParameter(type="constant", value=0)]
        self.check(
            len(given) in (1, len(top)),
            f"Number of data fillers must be 0, 1 or equal to the number of tops: {len(top)}; found {len(given)}",
        )
        self._fillers = given * len(top) if len(given) == 1 else given
        self._shapes = [self._top_shape(index, len(top)) for index in range(len(top))]
        for index, blob in enumerate(top):
            blob.reshape(*self._shapes[index])
            if self._fillers[index].type == "constant":
                blob.value = self._fill(index)

    def _top_shape(self, index: int, tops: int) -> tuple[int, ...]:
        param = self.param.dummy_data_param
        legacy = [param.num, param.channels, param.height, param.width]
        if not any(legacy):
            self.check(len(param.shape) in (1, tops), f"Must specify 'shape' once, or once per top blob ({tops})")
            return tuple(param.shape[index if len(param.shape) > 1 else 0].dim)
        self.check(not param.shape, "Both shape and legacy fields were specified")
        names = "num, channels, height, width"
        self.check(
            all(len(sizes) in (1, tops) for sizes in legacy), f"Must specify {names} once, or once per top ({tops})"
        )
        return tuple(sizes[index if len(sizes) > 1 else 0] for sizes in legacy)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        pass

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        for index, blob in enumerate(top):
            if self._fillers[index].type != "constant":
                blob.value = self._fill(index)

    def _fill(self, index: int) -> torch.Tensor:
        return self.filled(self._shapes[index], self._fillers[index])
