"""Blob: an array with its gradient, Caffe's `data` and `diff`."""

import numpy as np
import torch

from caffeformat import FormatError
from torchcaffe.common.context import Context

_MOST_AXES, _MOST_VALUES = 32, 2**31 - 1  # Caffe's kMaxBlobAxes and INT_MAX


class ShapeError(FormatError):
    """A shape that no blob can have. The layer that asks for it adds its name."""


class Blob:
    """Two tensors of one shape, in Caffe's order of axes (N, C, H, W), in memory as suits PyTorch.

    `value` and `grad` are the tensors; `grad` is None where it is zero throughout. Layers replace them. `data` and
    `diff` are the same as numpy arrays: on the CPU views that can be written to, from a GPU copies to read, and both
    can be assigned to. A view is one of the tensor of that moment.
    """

    def __init__(self, context: Context, shape: tuple[int, ...] = (), name: str = ""):
        check_shape(shape)
        self.name = name
        self._context = context
        self._shape = tuple(shape)
        self._value: torch.Tensor | None = None
        self.grad: torch.Tensor | None = None
        self._spare: torch.Tensor | None = None  # the memory of a gradient that was cleared

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape if self._value is None else tuple(self._value.shape)

    @property
    def count(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def value(self) -> torch.Tensor:
        if self._value is None:
            self._value = self._zeros()
        return self._value

    @value.setter
    def value(self, tensor: torch.Tensor) -> None:
        self._value = tensor

    def gradient(self) -> torch.Tensor:
        """`grad`, made of zeros where there is none yet."""
        if self.grad is None and self._spare is not None:
            self.grad, self._spare = self._spare.zero_(), None
        if self.grad is None or self.grad.shape != self.shape:
            self.grad = torch.zeros_like(self.value)
        return self.grad

    def add_gradient(self, tensor: torch.Tensor) -> None:
        """Adds to `grad`: gradients of parameters sum over layers that share them, and over iter_size."""
        self.grad = tensor if self.grad is None else self.grad.add_(tensor)

    def add_product(self, a: torch.Tensor, b: torch.Tensor) -> None:
        """As add_gradient(a @ b), into the memory of the last gradient: fresh pages for 64 MB cost as much as the
        product itself."""
        if a.dtype != self.value.dtype:
            self.add_gradient((a @ b).to(self.value.dtype))
        elif self.grad is not None:
            self.grad = self.grad.addmm_(a, b)
        elif self._spare is not None:
            self.grad, self._spare = torch.mm(a, b, out=self._spare), None
        else:
            self.grad = a @ b

    def tensors(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """The tensors of data and gradient, as `attach` takes them."""
        return self._value, self.grad

    def attach(self, value: torch.Tensor | None, grad: torch.Tensor | None) -> None:
        self._value, self.grad = value, grad

    def clear_gradient(self) -> None:
        if self.grad is not None:
            self.grad, self._spare = None, self.grad

    def reshape(self, *shape: int) -> None:
        """Give the blob a new shape. The values are kept where their number stays, else they are zeros."""
        if tuple(shape) == self.shape:
            return
        check_shape(shape)
        if self._value is not None and self._value.numel() == int(np.prod(shape, dtype=np.int64)):
            self._value = self._value.reshape(shape)
        else:
            self._value = None
        self.grad = self._spare = None
        self._shape = tuple(shape)

    @property
    def data(self) -> np.ndarray:
        return self.value.numpy(force=True)

    @data.setter
    def data(self, array: np.ndarray) -> None:
        self.value.copy_(_tensor(array).reshape(self.shape))

    @property
    def diff(self) -> np.ndarray:
        return self.gradient().numpy(force=True)

    @diff.setter
    def diff(self, array: np.ndarray) -> None:
        self.gradient().copy_(_tensor(array).reshape(self.shape))

    def _zeros(self) -> torch.Tensor:
        return torch.zeros(self._shape, dtype=self._context.dtype, device=self._context.device)


def check_shape(shape: tuple[int, ...]) -> None:
    """Raises ShapeError for what Caffe's Blob::Reshape stops on: too many axes, a size below 0, too many values."""
    count = 1
    for size in shape[: _MOST_AXES + 1]:
        if size < 0:
            raise ShapeError(f"a blob of {_size(shape)}: a size is below 0")
        count *= size
        if count > _MOST_VALUES:
            raise ShapeError(f"a blob of {_size(shape)}: blob size exceeds INT_MAX, {_MOST_VALUES} values")
    if len(shape) > _MOST_AXES:
        raise ShapeError(f"a blob of {len(shape)} axes; there are {_MOST_AXES} at most")


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape[:_MOST_AXES]))


def to_device(array: np.ndarray, context: Context) -> torch.Tensor:
    """`array` as a tensor of the context's type, device and layout."""
    return laid_out(sent(array, context).to(context.dtype), context)


def sent(array: np.ndarray, context: Context) -> torch.Tensor:
    """`array` on the context's device. A GPU is not waited for: PyTorch keeps the pinned copy until it is read."""
    tensor = _tensor(array)
    return tensor.pin_memory().to(context.device, non_blocking=True) if context.on_gpu else tensor


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.require(array, requirements="W"))


def laid_out(tensor: torch.Tensor, context: Context) -> torch.Tensor:
    """The same values; a tensor of four axes in the layout in which PyTorch's convolutions are fastest.

    Of a single channel both layouts are one, and only the strides tell PyTorch which is meant.
    """
    if tensor.dim() != 4:
        return tensor.contiguous()
    tensor = tensor.contiguous(memory_format=context.layout)
    if context.layout != torch.channels_last or tensor.stride(1) == 1:
        return tensor
    _, channels, height, width = tensor.shape
    return tensor.as_strided(tensor.shape, (height * width * channels, 1, width * channels, channels))
