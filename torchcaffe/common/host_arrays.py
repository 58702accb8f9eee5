"""The numpy arrays that a script gets of a blob: C-contiguous, writable, and good until the blob changes its size.

As in pycaffe, an array is the blob's own memory: `params["conv"][0].data.reshape(-1)[:] = 0` changes the weights, and
an array that was taken before a pass shows the values after it. But layers here replace their tensors, in the memory
order that is fastest. So on the CPU, a tensor is moved into the array's memory: when the array is taken, and, while a
script holds the array or a view of it, again after each pass (`refresh`). An array that nobody holds costs nothing.

On a GPU an array is a copy, as in Caffe. `push` uploads those that were taken since the last pass, `refresh` downloads
those that are still held.
"""

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, Protocol

import numpy as np
import torch

Side = Literal["value", "grad"]

_held: "dict[int, HostArray]" = {}  # by id(): all whose array somebody may hold


class Blob(Protocol):
    """What is needed of a blob (blob.py)."""

    grad: torch.Tensor | None

    @property
    def value(self) -> torch.Tensor: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def count(self) -> int: ...

    @property
    def same_gradient(self) -> Sequence["Blob"]: ...

    def gradient(self) -> torch.Tensor: ...

    def move(self, memory: torch.Tensor) -> None: ...

    def move_gradient(self, memory: torch.Tensor) -> None: ...

    def join_memory(self) -> None: ...


@contextmanager
def synced(blobs: Sequence[Blob] = ()) -> Iterator[None]:
    """Around work on the net of these `blobs`: it sees what a script has written, and the script's arrays show what it
    did."""
    push()
    try:
        yield
    finally:
        refresh(blobs)


def push() -> None:
    """Uploads the arrays that were taken since the last `push`; does nothing for nets on the CPU."""
    for array in list(_held.values()):
        array.upload()


def refresh(blobs: Sequence[Blob] = ()) -> None:
    """Brings all arrays that somebody holds up to date, and makes them their blobs' memory again.

    No gradient of `blobs` stays in the memory of another one's array: a layer may pass a gradient on as it is, which in
    Caffe is a copy.
    """
    for array in list(_held.values()):
        array.part_gradients(blobs)
        array.refresh()


class HostArray:
    """The array of one side of a blob: of its values or of its gradient."""

    def __init__(self, blob: Blob, side: Side):
        self._blob, self._side = blob, side
        self._memory: torch.Tensor | None = None  # on the CPU: the memory of the array
        self._array: weakref.ref[np.ndarray] | None = None
        self._to_upload: np.ndarray | None = None

    def get(self) -> np.ndarray:
        """The array, of the blob's present shape."""
        tensor = self._tensor()
        array = self._array() if self._array else None
        if array is None or array.shape != tuple(tensor.shape) or not self._is_current(tensor):
            array = self._new(tensor)
        if not _shares_memory(tensor):
            self._to_upload = array
        return array

    def upload(self) -> None:
        array, self._to_upload = self._to_upload, None
        if array is not None:
            self._tensor().copy_(torch.from_numpy(array))

    def part_gradients(self, blobs: Sequence[Blob]) -> None:
        """Copies the gradients among `blobs` that lie in this array's memory but are another blob's."""
        if self._side == "value" or self._memory is None:
            return
        may_share = {id(self._blob), *map(id, self._blob.same_gradient)}
        for blob in blobs:
            if blob.grad is not None and blob.grad.data_ptr() == self._memory.data_ptr() and id(blob) not in may_share:
                blob.grad = blob.grad.clone()

    def refresh(self) -> None:
        array = self._array() if self._array else None
        if array is None or array.size != self._blob.count:
            self._forget()
            return
        if self._memory is None:
            torch.from_numpy(array).copy_(self._tensor().reshape(array.shape))
            return
        tensor = self._present()
        if tensor is None:
            self._memory.zero_()
        elif self._is_current(tensor):
            return
        else:
            self._memory.view(tensor.shape).copy_(tensor)
        self._move_to(self._memory.view(self._blob.shape))

    def _new(self, tensor: torch.Tensor) -> np.ndarray:
        if not _shares_memory(tensor):
            self._memory = None
            array = tensor.numpy(force=True).copy(order="C")
        else:
            if self._side == "grad":
                self._move_to(tensor.clone(memory_format=torch.contiguous_format))
            elif not tensor.is_contiguous():
                self._move_to(tensor.contiguous())
            else:
                self._blob.join_memory()
            self._memory = self._tensor().detach()  # another tensor of the same memory: the blob's may be moved
            array = self._memory.numpy()
        self._array = weakref.ref(array, self._on_end)
        _held[id(self)] = self
        return array

    def _move_to(self, memory: torch.Tensor) -> None:
        """Makes `memory`, which holds the same values, the blob's."""
        if self._side == "grad":
            self._blob.move_gradient(memory)
        else:
            self._blob.move(memory)

    def _is_current(self, tensor: torch.Tensor) -> bool:
        """Whether the array is the memory of `tensor`."""
        if self._memory is None:
            return not _shares_memory(tensor)
        return tensor.data_ptr() == self._memory.data_ptr() and tensor.is_contiguous()

    def _tensor(self) -> torch.Tensor:
        return self._blob.value if self._side == "value" else self._blob.gradient()

    def _present(self) -> torch.Tensor | None:
        """The tensor; None for a gradient of zeros, for which there is none."""
        return self._blob.value if self._side == "value" else self._blob.grad

    def _on_end(self, reference: "weakref.ref[np.ndarray]") -> None:
        if reference is self._array:
            self._forget()

    def _forget(self) -> None:
        self._memory = self._array = self._to_upload = None
        _held.pop(id(self), None)


def _shares_memory(tensor: torch.Tensor) -> bool:
    """Whether numpy can use the memory of `tensor`."""
    return tensor.device.type == "cpu"
