"""Layer, what all layer types share, and the registry of types.

Gradients are written out layer by layer, as in Caffe, rather than left to autograd: every blob keeps its diff, tops in
place and stopped or forced backward passes mean what they mean in Caffe, nothing is recorded that backward does not
need, and a step is a fixed list of PyTorch kernels, which a CUDA graph can hold.
"""

from typing import ClassVar

import torch

from caffeformat import FormatError
from caffeformat.blobs import blob_to_array
from caffeformat.caffeformat_pb2 import FillerParameter, LayerParameter
from torchcaffe.common import log
from torchcaffe.common.blob import Blob, ShapeError, laid_out, to_device
from torchcaffe.common.context import Context
from torchcaffe.common.log import Fatal
from torchcaffe.random import fillers

_types: dict[str, type["Layer"]] = {}

Range = tuple[int, int | None]


class Layer:
    """A layer of one net. Subclasses are named as Caffe names the type, and registered by that name.

    `reshape` gives the tops their shapes, `forward` and `backward` replace the tensors of tops and bottoms.
    `propagate_down[i]` asks for the gradient of bottom i; that of blob i is computed if `learns[i]`.

    A layer that brings data splits `forward` in two: `fetch`, what the host does, then `compute`, what the device does.
    In all others there is nothing to fetch. `compute` and `backward` have to leave the host out on a GPU, so that a
    CUDA graph can hold them: no value is read back, no size depends on values.
    """

    n_bottoms: ClassVar[Range] = (1, 1)
    n_tops: ClassVar[Range] = (1, 1)
    is_loss: ClassVar[bool] = False
    auto_top: ClassVar[bool] = False
    resized = False  # whether the last forward pass has changed the size of the tops
    kept: ClassVar[tuple[str, ...]] = ()  # attributes that forward leaves for backward
    recordable: ClassVar[bool] = True  # False for a type that reads values back from the device
    skips_at: ClassVar[str] = ""  # where BVLC Caffe logs that the parameters are given: file:line

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__name__.startswith("_"):
            _types[cls.__name__] = cls

    def __init__(self, param: LayerParameter, context: Context, where: str):
        self.param = param
        self.name = param.name
        self.type = param.type
        self.phase = param.phase
        self.context = context
        self.where = where
        self.blobs: list[Blob] = []
        self.learns: list[bool] = []
        self.loss_weights: list[float] = []

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Checks the counts of bottoms and tops, makes and fills the parameters, shapes the tops."""
        self._check_count("bottom", len(bottom), self.n_bottoms)
        self._check_count("top", len(top), self.n_tops)
        try:
            self.layer_setup(bottom, top)
            self.reshape(bottom, top)
        except ShapeError as error:
            raise self.refuse(str(error)) from None
        self._set_loss_weights(top)

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """What is done once."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        raise NotImplementedError

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        raise NotImplementedError

    def forget(self) -> None:
        """Lets go of what `backward`, which will not come, would need."""
        for name in self.kept:
            setattr(self, name, None)

    @property
    def from_host(self) -> bool:
        """Whether `fetch` makes the tops."""
        return False

    def fetch(self, top: list[Blob]) -> None:
        """What comes from the host, ahead of a pass."""

    def compute(self, bottom: list[Blob], top: list[Blob]) -> None:
        """`forward` once all is fetched."""
        self.forward(bottom, top)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        raise NotImplementedError

    def shares(self, bottom: list[Blob], top: list[Blob]) -> bool:
        """Whether tops and bottom are one memory in Caffe, so that a layer in place on one of them changes all."""
        return False

    def allow_force_backward(self, bottom_index: int) -> bool:
        return True

    def refuse(self, found: str) -> Fatal:
        """The error for a setting that this layer does not take: raise it."""
        return Fatal(f"{self.where}: layer '{self.name}' ({self.type}): {found}", "layer_factory.hpp:77")

    def check(self, condition: object, found: str) -> None:
        if not condition:
            raise self.refuse(found)

    def check_values(self, bottom: Blob) -> None:
        """For a type of whose arithmetic an empty blob makes nonsense, in Caffe too."""
        self.check(bottom.count, f"bottom '{bottom.name}' has no values: its shape is {bottom.shape}")

    def check_sizes(self, sizes: list[int]) -> None:
        """Kernels, strides, pads: uint32 in a prototxt, int in Caffe and PyTorch."""
        self.check(max(sizes) < 2**31, f"a size of {max(sizes)}; {2**31 - 1} is the largest")

    def check_apart(self, bottom: list[Blob], top: list[Blob]) -> None:
        """For a type that cannot work in place."""
        self.check(not any(blob is below for blob in top for below in bottom), "does not allow in-place computation")

    def add_param(self, shape: tuple[int, ...], filler: FillerParameter) -> None:
        """A new parameter blob: what the layer's `blobs` in the prototxt give, else filled with Caffe's own draws."""
        blob = Blob(self.context, shape)
        blob.value = self._given(shape) if self.param.blobs else self.filled(shape, filler)
        self.blobs.append(blob)
        self.learns.append(True)

    def _given(self, shape: tuple[int, ...]) -> torch.Tensor:
        index = len(self.blobs)
        if not index:
            log.info(self.skips_at, "Skipping parameter initialization")
        count = len(self.param.blobs)
        self.check(index < count, f"Incorrect number of weight blobs: {count} given by `blobs`; more are needed")
        try:
            array = blob_to_array(self.param.blobs[index], f"blobs[{index}]")
        except FormatError as error:
            raise self.refuse(str(error)) from None
        old = array.ndim == 4 and array.shape == (1,) * (4 - len(shape)) + shape
        self.check(array.shape == shape or old, f"blobs[{index}] is of {array.shape}; the layer needs {shape}")
        return to_device(array.reshape(shape), self.context)

    def filled(self, shape: tuple[int, ...], filler: FillerParameter) -> torch.Tensor:
        """A tensor of Caffe's own draws."""
        try:
            return to_device(fillers.fill(filler, shape, self.context.rng), self.context)
        except FormatError as error:
            raise self.refuse(str(error)) from None

    def laid_out(self, tensor: torch.Tensor) -> torch.Tensor:
        """`tensor` in the memory layout in which convolutions are fastest."""
        return laid_out(tensor, self.context)

    def operand(self, tensor: torch.Tensor) -> torch.Tensor:
        """`tensor` as it is multiplied in the chosen precision."""
        return tensor.to(self.context.operands)

    def result(self, tensor: torch.Tensor) -> torch.Tensor:
        """What was multiplied, in the type of the blobs."""
        return tensor.to(self.context.dtype)

    def axis(self, axis: int, bottom: Blob) -> int:
        """An axis of the prototxt, which counts from the end when negative."""
        axes = len(bottom.shape)
        self.check(-axes <= axis < axes, f"axis {axis} of a bottom with {axes} axes, '{bottom.name}'")
        return axis % axes

    def _check_count(self, kind: str, found: int, allowed: Range) -> None:
        least, most = allowed
        if found < least or (most is not None and found > most):
            right = f"{least}" if least == most else f"at least {least}" if most is None else f"{least} to {most}"
            raise self.refuse(f"{found} {kind} blobs; the type takes {right}")

    def _set_loss_weights(self, top: list[Blob]) -> None:
        if self.is_loss and not self.param.loss_weight:
            self.param.loss_weight.append(1)
        weights = list(self.param.loss_weight)
        self.loss_weights = weights or [0.0] * len(top)
        self.check(
            len(self.loss_weights) == len(top),
            f"loss_weight must be unspecified or specified once per top blob; found {len(weights)} for {len(top)}",
        )
        for blob, weight in zip(top, self.loss_weights, strict=True):
            if weight:
                blob.grad = torch.full(blob.shape, weight, dtype=self.context.dtype, device=self.context.device)


def create(param: LayerParameter, context: Context, where: str) -> Layer:
    """The layer that `param` describes; `where` is `file:line`. Raises Fatal for a type that is not there."""
    found = _types.get(param.type)
    if found is None:
        known = ", ".join(known_types())
        message = f"{where}: layer '{param.name}': Unknown layer type: {param.type} (known types: {known})"
        raise Fatal(message, "layer_factory.hpp:81")
    return found(param, context, where)


def known_types() -> list[str]:
    return sorted(_types)


__all__ = ["Blob", "Fatal", "Layer", "create", "known_types", "to_device"]
