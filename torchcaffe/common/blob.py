"""Blob: an array with its gradient, Caffe's `data` and `diff`."""

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from caffeformat import FormatError
from torchcaffe.common import products
from torchcaffe.common.context import Context
from torchcaffe.common.host_arrays import HostArray, Side
from torchcaffe.common.rounded import Rounded
from torchcaffe.common.unpicklable import Unpicklable

_MOST_AXES, _MOST_VALUES = 32, 2**31 - 1  # Caffe's kMaxBlobAxes and INT_MAX


class ShapeError(FormatError):
    """A shape that no blob can have. The layer that needs the blob adds its name to the text."""


class Blob(Unpicklable):
    """Two tensors of the same shape. Axes are in Caffe's order (N, C, H, W); the memory layout is the context's.

    `value` and `grad` are the tensors. `grad` is None while all its values are zero. Layers replace both tensors.
    `data` and `diff` are pycaffe's arrays of the same values (host_arrays.py), and can be assigned to. They put the
    tensors into Caffe's memory order; `values` and `diff_values` do not, and are for reading only.

    `same_memory` are the blobs whose values have the same memory in Caffe, such as the bottom and the tops of a Split;
    `same_gradient` those whose gradients have, such as the bottom and the top of a Flatten layer.

    `rounded` holds the copies of a parameter's values that products in bfloat16 read.
    """

    same_memory: Sequence["Blob"] = ()
    same_gradient: Sequence["Blob"] = ()

    def __init__(self, context: Context, shape: tuple[int, ...] = (), name: str = ""):
        check_shape(shape)
        self.name = name
        self._context = context
        self._shape = tuple(shape)
        self._value: torch.Tensor | None = None
        self.rounded = Rounded()
        self._grad: torch.Tensor | None = None
        self._spare: torch.Tensor | None = None  # memory of the last gradient, kept by clear_gradient for reuse
        self._product: torch.Tensor | None = None  # memory of the last product in bfloat16
        self._source: torch.Tensor | None = None  # what the gradient is a copy of, while `_grad` is not written yet
        self._arrays: dict[Side, HostArray] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape if self._value is None else tuple(self._value.shape)

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def value(self) -> torch.Tensor:
        if self._value is None:
            self._value = self._zeros()
        return self._value

    @value.setter
    def value(self, tensor: torch.Tensor) -> None:
        self._value = tensor

    @property
    def grad(self) -> torch.Tensor | None:
        if self._source is not None:
            self.copy_gradient_now()
        return self._grad

    @grad.setter
    def grad(self, tensor: torch.Tensor | None) -> None:
        self._grad, self._source = tensor, None

    def grad_or_product(self) -> torch.Tensor | None:
        """`grad`; or in bfloat16, if it is one product in bfloat16 and nobody has asked for `grad` yet."""
        return self._product if self._has_product() else self._grad

    def _has_product(self) -> bool:
        return self._source is not None and self._source is self._product

    def copy_gradient_later(self, source: torch.Tensor) -> None:
        """Makes the gradient a copy of `source`, which is made when somebody asks for the gradient. Call
        `copy_gradient_now` before `source` changes, unless the gradient has been set or cleared since."""
        self.clear_gradient()
        self._source = source

    def copy_gradient_now(self) -> None:
        """Makes the copy that `copy_gradient_later` put off, if it is still to be made."""
        if self._source is not None:
            memory = self._spare if self._has_product() else None
            memory = torch.empty_like(self.value) if memory is None else memory
            self._grad, self._spare, self._source = memory.copy_(self._source), None, None

    def gradient(self) -> torch.Tensor:
        """`grad`; zeros if it is None."""
        grad = self.grad
        if grad is None and self._spare is not None:
            grad, self._spare = self._spare.zero_(), None
            self.grad = grad
        if grad is None or grad.shape != (self._shape if self._value is None else self._value.shape):
            grad = self.grad = torch.zeros_like(self.value)
        return grad

    def add_gradient(self, tensor: torch.Tensor) -> None:
        """Adds to `grad`. Gradients of a parameter sum over the layers that share it, and over iter_size batches."""
        self.grad = tensor if self.grad is None else self.grad.add_(tensor)

    def add_product(self, a: torch.Tensor, b: torch.Tensor) -> None:
        """As add_gradient(a @ b), but in the memory of the last gradient: fresh memory pages for a large gradient
        (64 MB) take as long as the product."""
        if a.dtype != self.value.dtype:
            self._add_rounded_product(a, b)
        elif self.grad is not None:
            self.grad = products.add_product(self.grad, a, b)
        elif self._spare is not None:
            self.grad, self._spare = products.product(a, b, self._spare), None
        else:
            self.grad = products.product(a, b)

    def _add_rounded_product(self, a: torch.Tensor, b: torch.Tensor) -> None:
        before = self.grad
        self._product = products.product_in_bf16(a, b, self._product)
        if before is None:
            self._source = self._product
        else:
            before.add_(self._product)

    def tensors(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """The tensors of value and gradient, for a later `attach`."""
        return self._value, self.grad

    def attach(self, value: torch.Tensor | None, grad: torch.Tensor | None) -> None:
        """Makes these two the blob's tensors."""
        self._value, self.grad = value, grad

    def clear_gradient(self) -> None:
        """Sets the gradient to zero: `grad` is None afterwards."""
        if self._grad is not None:
            self._spare = self._grad
        self.grad = None

    def reshape(self, *shape: int) -> None:
        """Gives the blob a new shape. Keeps the values that have room, in Caffe's order; with more room than before,
        all become zeros. Raises TypeError unless sizes are whole numbers."""
        shape = tuple(map(operator.index, shape))
        if shape == self.shape:
            return
        check_shape(shape)
        count = math.prod(shape)
        if self._value is not None and count <= self._value.numel():
            self._value = self._value.reshape(-1)[:count].reshape(shape)
        else:
            self._value = None
        self.grad = self._spare = self._product = None
        self._shape = shape

    @property
    def data(self) -> np.ndarray:
        return self._array("value")

    @data.setter
    def data(self, array: np.ndarray) -> None:
        """Copies `array`. Raises ValueError unless it has the blob's shape."""
        self.value.copy_(_tensor(self.fitting(array, "data")))

    @property
    def diff(self) -> np.ndarray:
        return self._array("grad")

    @diff.setter
    def diff(self, array: np.ndarray) -> None:
        self.gradient().copy_(_tensor(self.fitting(array, "diff")))

    def fitting(self, array: np.ndarray, name: str) -> np.ndarray:
        """`array`, which is assigned to the attribute `name`. Raises ValueError unless it has the blob's shape."""
        given = np.asarray(array)
        if given.shape != self.shape:
            what = f"blob '{self.name}'" if self.name else "a blob"
            raise ValueError(
                f"{what} of {self.shape}: an array of {given.shape} was assigned to its {name}. Give one of the "
                f"blob's shape; {name}[...] = value gives all places a value"
            )
        return given

    def values(self) -> np.ndarray:
        """The values, in any memory order. Do not write to them."""
        return self.value.numpy(force=True)

    def diff_values(self) -> np.ndarray:
        """The gradient, in any memory order. Do not write to it."""
        return self.gradient().numpy(force=True)

    @property
    def num(self) -> int:
        return self._legacy_size(0)

    @property
    def channels(self) -> int:
        return self._legacy_size(1)

    @property
    def height(self) -> int:
        return self._legacy_size(2)

    @property
    def width(self) -> int:
        return self._legacy_size(3)

    def _legacy_size(self, axis: int) -> int:
        """The size of one of the four axes that blobs had until 2014. Axes that are missing at the end have size 1."""
        if len(self.shape) > 4:
            raise ValueError(f"blob '{self.name}' of {self.shape}: num, channels, height, width are of 4 axes at most")
        return self.shape[axis] if axis < len(self.shape) else 1

    def move(self, memory: torch.Tensor) -> None:
        """Moves the values, of which `memory` is a copy, into it. The blobs with the same tensor move too: another
        net's shared weights, the tops of a Split."""
        self.value.set_(memory.untyped_storage(), memory.storage_offset(), memory.shape, memory.stride())
        self.join_memory()

    def move_gradient(self, memory: torch.Tensor) -> None:
        """Makes `memory`, a copy of the gradient, the gradient of this blob and of those in `same_gradient`."""
        for blob in [self, *self.same_gradient]:
            if blob.count == self.count:
                blob.grad = memory.view(blob.shape)

    def join_memory(self) -> None:
        """Gives the blobs in `same_memory` the memory of this one: it was a copy where the order in memory differed."""
        tensor = self.value
        for other in self.same_memory:
            if other.value.data_ptr() != tensor.data_ptr() and other.count == self.count:
                other.value = tensor.view(other.shape)

    def _array(self, side: Side) -> np.ndarray:
        self.rounded.exposed |= side == "value"
        if side not in self._arrays:
            self._arrays[side] = HostArray(self, side)
        return self._arrays[side].get()

    def _zeros(self) -> torch.Tensor:
        return torch.zeros(self._shape, dtype=self._context.dtype, device=self._context.device)


class BlobVec(list[Blob]):
    """The parameters of a layer. As in pycaffe, only a blob can take the place of one."""

    def __init__(self, blobs: Iterable[Blob] = ()):
        super().__init__(blobs)

    def __setitem__(self, index: Any, blob: Any) -> None:
        given = blob if isinstance(index, slice) else [blob]
        if not all(isinstance(each, Blob) for each in given):
            raise TypeError("Invalid assignment: a parameter is a blob. Its values are set by [...].data[...] = array")
        super().__setitem__(index, blob)


def check_shape(shape: tuple[int, ...]) -> None:
    """Raises ShapeError if Caffe's Blob::Reshape would stop: too many axes, a negative size, or too many values."""
    count = 1
    for size in shape[: _MOST_AXES + 1]:
        if size < 0:
            raise ShapeError(f"a blob of {_size(shape)}: a size is negative")
        count *= size
        if count > _MOST_VALUES:
            raise ShapeError(f"a blob of {_size(shape)}: blob size exceeds INT_MAX, {_MOST_VALUES} values")
    if len(shape) > _MOST_AXES:
        raise ShapeError(f"a blob of {len(shape)} axes; Caffe takes {_MOST_AXES} at most")


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape[:_MOST_AXES]))


def to_device(array: np.ndarray | torch.Tensor, context: Context) -> torch.Tensor:
    """`array` as a tensor with the context's dtype, device and layout; itself if it is one."""
    return laid_out(upload(array, context).to(context.dtype), context)


def upload(array: np.ndarray | torch.Tensor, context: Context) -> torch.Tensor:
    """`array` as a tensor on the context's device, with its own dtype.

    The host does not wait for a GPU: PyTorch keeps the pinned copy until the GPU has read it.
    """
    tensor = array if isinstance(array, torch.Tensor) else _tensor(array)
    return tensor.pin_memory().to(context.device, non_blocking=True) if context.on_gpu else tensor


def _tensor(array: np.ndarray) -> torch.Tensor:
    """`array` as a tensor. PyTorch takes neither negative strides nor memory that cannot be written to."""
    whole = np.asarray(array)
    if not whole.flags.writeable or any(stride < 0 for stride in whole.strides):
        whole = whole.copy()
    return torch.from_numpy(whole)


def laid_out(tensor: torch.Tensor, context: Context) -> torch.Tensor:
    """`tensor` in the context's memory format, if it has four axes: the one in which convolutions are fastest.

    With a single channel both formats have the same bytes, and only the strides tell PyTorch which one is meant.
    """
    if tensor.dim() != 4:
        return tensor.contiguous()
    tensor = tensor.contiguous(memory_format=context.layout)
    if context.layout != torch.channels_last or tensor.stride(1) == 1:
        return tensor
    _, channels, height, width = tensor.shape
    return tensor.as_strided(tensor.shape, (height * width * channels, 1, width * channels, channels))
