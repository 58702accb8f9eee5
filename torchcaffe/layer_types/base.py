"""Layer, the base class of all layer types, and the registry of types.

Each layer computes its own gradients, as in Caffe; autograd is not used. So every blob keeps its diff, layers can work
in place, a backward pass can be stopped or forced as Caffe does it, only what `backward` needs is kept, and a training
step is a fixed list of PyTorch kernels, which a CUDA graph can hold.

Source followed: BVLC Caffe's layer.hpp and layer_factory.hpp.
"""

from typing import ClassVar

import torch

from caffeformat import FormatError
from caffeformat.blobs import blob_to_array
from caffeformat.caffeformat_pb2 import FillerParameter, LayerParameter
from torchcaffe.common import log
from torchcaffe.common.blob import Blob, BlobVec, ShapeError, laid_out, to_device
from torchcaffe.common.context import Context
from torchcaffe.common.log import Fatal
from torchcaffe.common.rounded import same_order
from torchcaffe.random import fillers
from torchcaffe.random.rng import State

Range = tuple[int, int | None]  # minimum and maximum; None: no limit

_types: dict[str, type["Layer"]] = {}


class Layer:
    """A layer of one net. A subclass has the name of its type in a prototxt, and is registered by that name.

    The name of a base class ends in "Layer", as in Caffe (NeuronLayer, LossLayer); a base class is not registered.

    `reshape` sets the shapes of the tops. `forward` replaces the tensors of the tops, `backward` the gradients of the
    bottoms. `propagate_down[i]` asks for the gradient of bottom i; that of parameter blob i is computed if `learns[i]`.

    A data layer splits `forward` in two: `fetch` is the host's work, `compute` the device's. All other layers fetch
    nothing. On a GPU, `compute` and `backward` must not involve the host, so that a CUDA graph can hold them: they read
    no value back, and no size depends on values.
    """

    n_bottoms: ClassVar[Range] = (1, 1)
    n_tops: ClassVar[Range] = (1, 1)
    is_loss: ClassVar[bool] = False
    shares_gradient: ClassVar[bool] = True  # whether gradients share memory in Caffe where `shares_memory`
    resized = False  # whether the last forward pass changed the size of the tops
    operations_a_value = 8  # of a top, about, without products by weights: for nets/threads.py
    bottom_is_overwritten = False  # whether a later layer works in place on memory that a bottom shares
    saved_for_backward: ClassVar[tuple[str, ...]] = ()  # attributes that forward sets and backward reads
    recordable: ClassVar[bool] = True  # False for a type that reads values back from the device
    reshapes_itself: ClassVar[bool] = False  # whether a forward pass begins with `reshape`
    skip_filling_place: ClassVar[str] = ""  # file:line of Caffe's log line for parameters given in the prototxt

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__name__.endswith("Layer"):
            _types[cls.__name__] = cls

    def __init__(self, param: LayerParameter, context: Context, where: str):
        self.param = param
        self.name = param.name
        self.type = param.type
        self.phase = param.phase
        self.context = context
        self.where = where
        self.blobs: list[Blob] = BlobVec()
        self.learns: list[bool] = []
        self.loss_weights: list[float] = []

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Checks the numbers of bottoms and tops, creates and fills the parameters, sets the shapes of the tops.

        Raises Fatal for settings that the type does not take.
        """
        self._check_count("bottom", len(bottom), self.n_bottoms)
        self._check_count("top", len(top), self.n_tops)
        try:
            self.layer_setup(bottom, top)
            given, needed = len(self.param.blobs), len(self.blobs)
            self.check(given <= needed, f"`blobs` gives {given} parameters; the layer has {needed}")
            self.reshape(bottom, top)
        except ShapeError as error:
            raise self.refuse(str(error)) from None
        self._set_loss_weights(top)

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Reads the settings and creates the parameters: runs once, before the first `reshape`."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        raise NotImplementedError

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        raise NotImplementedError

    def release_saved(self) -> None:
        """Frees what `forward` saved, for a pass without `backward`."""
        for name in self.saved_for_backward:
            setattr(self, name, None)

    @property
    def from_host(self) -> bool:
        """Whether the host makes the tops, in `fetch`."""
        return False

    def fetch(self, top: list[Blob]) -> None:
        """The host's part of `forward`."""

    def compute(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The device's part of `forward`, after `fetch`."""
        self.forward(bottom, top)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        raise NotImplementedError

    def shares_memory(self, bottom: list[Blob], top: list[Blob]) -> bool:
        """Whether tops and bottom share memory in Caffe. Then a layer in place on one of them changes all of them."""
        return False

    def allow_force_backward(self, bottom_index: int) -> bool:
        """Whether `force_backward: true` asks for the gradient of this bottom too."""
        return True

    def state(self) -> State:
        """The arrays that, with the solver's state, determine the next batches; only data layers have any."""
        return {}

    def restore(self, state: State) -> None:
        """Goes back to `state()`."""

    def refuse(self, message: str) -> Fatal:
        """The error for a setting that this layer does not take. The caller raises it."""
        return Fatal(f"{self.where}: layer '{self.name}' ({self.type}): {message}", "layer_factory.hpp:77")

    def check(self, condition: object, message: str) -> None:
        """Raises Fatal with the layer's name unless `condition` holds."""
        if not condition:
            raise self.refuse(message)

    def check_not_empty(self, bottom: Blob) -> None:
        """Raises Fatal if a bottom has no values: the result would be meaningless, in Caffe too."""
        self.check(bottom.count, f"bottom '{bottom.name}' has no values: its shape is {bottom.shape}")

    def check_sizes(self, sizes: list[int]) -> None:
        """Raises Fatal for a kernel, stride or pad beyond int32: a prototxt has uint32, Caffe and PyTorch have int."""
        self.check(max(sizes) < 2**31, f"a size of {max(sizes)}; {2**31 - 1} is the largest")

    def check_not_in_place(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Raises Fatal if a top is a bottom, for a type that cannot work in place."""
        self.check(not any(blob is below for blob in top for below in bottom), "does not allow in-place computation")

    def add_param(self, shape: tuple[int, ...], filler: FillerParameter) -> None:
        """Adds a parameter blob: from the layer's `blobs` in the prototxt if it has any, else filled as Caffe does."""
        blob = Blob(self.context, shape)
        blob.value = self._given(shape) if self.param.blobs else self.filled(shape, filler)
        self.blobs.append(blob)
        self.learns.append(True)

    def _given(self, shape: tuple[int, ...]) -> torch.Tensor:
        index = len(self.blobs)
        if not index:
            log.info(self.skip_filling_place, "Skipping parameter initialization")
        count = len(self.param.blobs)
        self.check(index < count, f"Incorrect number of weight blobs: {count} given by `blobs`; more are needed")
        try:
            array = blob_to_array(self.param.blobs[index], f"blobs[{index}]")
        except FormatError as error:
            raise self.refuse(str(error)) from None
        legacy = array.ndim == 4 and array.shape == (1,) * (4 - len(shape)) + shape  # num, channels, height, width
        self.check(array.shape == shape or legacy, f"blobs[{index}] is of {array.shape}; the layer needs {shape}")
        return to_device(array.reshape(shape), self.context)

    def filled(self, shape: tuple[int, ...], filler: FillerParameter) -> torch.Tensor:
        """A tensor that `filler` fills, with the random numbers that Caffe would draw on the CPU."""
        try:
            return to_device(fillers.fill(filler, shape, self.context.rng), self.context)
        except FormatError as error:
            raise self.refuse(str(error)) from None

    def laid_out(self, tensor: torch.Tensor) -> torch.Tensor:
        """`tensor` in the memory layout that makes convolutions fastest."""
        return laid_out(tensor, self.context)

    def operand(self, tensor: torch.Tensor) -> torch.Tensor:
        """`tensor` in the type in which products are computed (bfloat16 for --precision=bf16)."""
        return tensor if tensor.dtype == self.context.operands else tensor.to(self.context.operands)

    def weight_operand(self, index: int) -> torch.Tensor:
        """Parameter blob `index` as `operand` gives it; on a CPU in memory that is kept, and rounded once an update."""
        value = self.blobs[index].value
        if self.context.on_gpu or self.context.operands != torch.bfloat16:
            return self.operand(value)
        return self.blobs[index].rounded.of(value, same_order)

    def result(self, tensor: torch.Tensor) -> torch.Tensor:
        """A product, in the type of the blobs."""
        return tensor if tensor.dtype == self.context.dtype else tensor.to(self.context.dtype)

    def axis(self, axis: int, bottom: Blob) -> int:
        """The index of an axis that counts from the end if it is negative. Raises Fatal if there is no such axis."""
        axes = len(bottom.shape)
        self.check(-axes <= axis < axes, f"axis {axis} of a bottom with {axes} axes, '{bottom.name}'")
        return axis % axes

    def _check_count(self, kind: str, count: int, allowed: Range) -> None:
        least, most = allowed
        if count < least or (most is not None and count > most):
            takes = f"{least}" if least == most else f"at least {least}" if most is None else f"{least} to {most}"
            raise self.refuse(f"{count} {kind} blobs; the type takes {takes}")

    def _set_loss_weights(self, top: list[Blob]) -> None:
        if self.is_loss and not self.param.loss_weight:
            self.param.loss_weight.append(1)
        weights = list(self.param.loss_weight)
        self.loss_weights = weights or [0.0] * len(top)
        self.check(
            len(self.loss_weights) == len(top),
            f"loss_weight must be unspecified or specified once per top blob; found {len(weights)} for {len(top)}",
        )
        self.keep_loss_weights(top)

    def keep_loss_weights(self, top: list[Blob]) -> None:
        """Fills the gradient of each top that has a loss_weight with it, if the top has none of its present shape.

        After a reshape to fewer values Caffe keeps these gradients, too; after one to more, its new memory has zeros.
        """
        for blob, weight in zip(top, self.loss_weights, strict=True):
            if weight and (blob.grad is None or blob.grad.shape != blob.shape):
                blob.grad = torch.full(blob.shape, weight, dtype=self.context.dtype, device=self.context.device)


def create(param: LayerParameter, context: Context, where: str) -> Layer:
    """The layer that `param` describes; `where` is its `file:line`. Raises Fatal for an unknown type."""
    layer_type = _types.get(param.type)
    if layer_type is None:
        types = ", ".join(known_types())
        message = f"{where}: layer '{param.name}': Unknown layer type: {param.type} (known types: {types})"
        raise Fatal(message, "layer_factory.hpp:81")
    return layer_type(param, context, where)


def known_types() -> list[str]:
    """The names of all registered types, in alphabetical order."""
    return sorted(_types)


__all__ = ["Blob", "Fatal", "Layer", "create", "known_types", "to_device"]
