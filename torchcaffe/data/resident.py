"""A data set held on the device: all images as they are stored. The device crops, mirrors and subtracts the mean.

The host's transformer draws the random numbers, as it does for batches that the host makes. So both ways give the same
batches, bit for bit.
"""

import numpy as np
import torch

from torchcaffe.common.blob import laid_out, upload
from torchcaffe.common.context import Context
from torchcaffe.data.data_source import DatumSource

SHARE = 0.25  # share of a GPU's free memory that a data set may use; several runs may share the GPU

_PIECE = 1024  # records read at a time


def bytes_of(source: DatumSource) -> int:
    """The memory that the images and labels of `source` take, in bytes."""
    return len(source) * (int(np.prod(source.image_shape)) * source.image_type.itemsize + 4)


def room(device: torch.device) -> int:
    """The memory of a GPU that a data set may take, in bytes."""
    return int(torch.cuda.mem_get_info(device)[0] * SHARE)


class ResidentImages:
    """The images of `source`, read once. Raises SeveralSizes if an image has another size or type than the first."""

    def __init__(self, source: DatumSource, context: Context):
        self._context, device = context, context.device
        count, (_, height, width) = len(source), source.shape
        kind = torch.uint8 if source.image_type == np.uint8 else torch.float32
        self._images = torch.empty((count, *source.image_shape), dtype=kind, device=device)
        self._labels = torch.empty(count, dtype=context.dtype, device=device)
        for start in range(0, count, _PIECE):
            images, labels = (torch.from_numpy(array) for array in source.records(start, start + _PIECE))
            self._images[start : start + len(images)].copy_(images)
            self._labels[start : start + len(images)].copy_(labels)
        mean = source.transform.mean
        self._mean = None if mean is None else torch.from_numpy(np.array(mean)).to(device)
        self._scale = float(source.transform.scale)
        self._rows, self._columns = (torch.arange(size, device=device) for size in (height, width))
        self._channels = torch.arange(source.image_shape[0], device=device)[:, None, None]
        self._choices = torch.zeros((4, source.batch_size), dtype=torch.int64, device=device)

    def choose(self, choices: np.ndarray) -> None:
        """Sets which images the next batch has, and how they are cropped and mirrored: DatumSource.next_choices()."""
        self._choices.copy_(upload(choices, self._context))

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The images, (N, C, H, W), and labels, (N,), that `choose` set. Only the device works here, not the host."""
        index, mirror, top, left = (choice[:, None] for choice in self._choices)
        rows = (top + self._rows)[:, None, :, None]
        columns = torch.where(mirror == 1, self._columns.flip(0), self._columns) + left
        place = (self._channels, rows, columns[:, None, None, :])
        pixels = self._images[(index[:, :, None, None], *place)]
        images = pixels.to(torch.float32) if self._mean is None else pixels - self._mean[place]
        if self._scale != 1:
            images.mul_(self._scale)
        return laid_out(images.to(self._context.dtype), self._context), self._labels[self._choices[0]]
