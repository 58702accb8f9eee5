"""The parameters of a net: their multipliers (lr_mult, decay_mult), and which layers share one by its name.

Source followed: BVLC Caffe's Net::AppendParam.
"""

from dataclasses import dataclass

import numpy as np
import torch

from caffeformat.caffeformat_pb2 import ParamSpec
from torchcaffe.common import log
from torchcaffe.common.blob import Blob
from torchcaffe.common.log import check, shape_string
from torchcaffe.common.rounded import Rounded
from torchcaffe.layer_types import Layer


@dataclass
class Param:
    """Blob `index` of `layer`, which owns it. Layers that share it may add multipliers to `spec` that it lacks."""

    blob: Blob
    layer: Layer
    index: int
    spec: ParamSpec

    @property
    def lr_mult(self) -> float:
        return self.spec.lr_mult

    @property
    def decay_mult(self) -> float:
        return self.spec.decay_mult


class Params:
    """All parameters of a net. `learnable` has each blob once, in the order of the layers. A solverstate's history has
    the same order."""

    def __init__(self) -> None:
        self.learnable: list[Param] = []
        self._by_name: dict[str, Param] = {}
        self._shared: list[tuple[Layer, int, Param]] = []

    def append(self, layer: Layer, index: int, spec: ParamSpec) -> None:
        """Adds blob `index` of `layer`. Raises Fatal if it cannot be shared as `spec` asks."""
        owner = self._by_name.get(spec.name) if spec.name else None
        if owner is None:
            own_spec = ParamSpec()
            own_spec.CopyFrom(spec)
            param = Param(layer.blobs[index], layer, index, own_spec)
            self.learnable.append(param)
            if spec.name:
                self._by_name[spec.name] = param
            return
        owned_by = f"layer '{owner.layer.name}', param index {owner.index}"
        log.info("net.cpp:467", f"Sharing parameters '{spec.name}' owned by {owned_by}")
        _check_shapes(owner, layer, index, spec)
        for name in ("lr_mult", "decay_mult"):
            if spec.HasField(name):
                same = not owner.spec.HasField(name) or getattr(owner.spec, name) == getattr(spec, name)
                check(same, f"{layer.where}: Shared param '{spec.name}' has mismatched {name}.", "net.cpp:497")
                setattr(owner.spec, name, getattr(spec, name))
        self._shared.append((layer, index, owner))

    def of(self, layer: Layer, index: int) -> Param:
        """The parameter that blob `index` of `layer` is: its own, or the one that it shares."""
        own = ((param.layer, param.index, param) for param in self.learnable)
        return next(param for one, at, param in (*own, *self._shared) if one is layer and at == index)

    def share(self) -> None:
        """Replaces each blob that shares a parameter by its owner's. With share_mode PERMISSIVE it keeps its shape."""
        for layer, index, owner in self._shared:
            blob = layer.blobs[index]
            layer.blobs[index] = owner.blob if blob.shape == owner.blob.shape else _Reshaped(owner.blob, blob.shape)

    def part_values(self) -> None:
        """Gives each layer that shares a parameter values of its own, the present ones. Gradients stay shared.

        For a net that then uses another net's parameters: in Caffe that gives new memory to the layers of the same
        names, and a layer of this net alone keeps the memory, and so the values, that it shared before.
        """
        for layer, index, owner in self._shared:
            shared = layer.blobs[index]
            layer.blobs[index] = _SharesGradient(owner.blob, shared.shape, shared.value)
        self._shared.clear()

    def settle_reshaped(self) -> None:
        """Puts parameters that are shared in different shapes into Caffe's memory order, in which each shape is a view
        of the same memory: for another net that uses them."""
        for layer, index, owner in self._shared:
            weight = owner.blob.value
            if layer.blobs[index] is not owner.blob and not weight.is_contiguous():
                owner.blob.move(weight.contiguous())

    def any_reshaped(self) -> bool:
        """Whether layers share a parameter in different shapes (share_mode PERMISSIVE)."""
        return any(layer.blobs[index] is not owner.blob for layer, index, owner in self._shared)

    def clear_gradients(self) -> None:
        for param in self.learnable:
            param.blob.clear_gradient()


class _Reshaped(Blob):
    """Another blob's values and gradient in a different shape."""

    def __init__(self, owner: Blob, shape: tuple[int, ...]):
        self.name = ""
        self.rounded = Rounded()
        self._value = self._spare = None
        self._arrays = {}
        self._owner = owner
        self._shape = shape

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def data(self) -> np.ndarray:
        return self._owner.data.reshape(self._shape)

    @data.setter
    def data(self, array: np.ndarray) -> None:
        self.data[...] = self.fitting(array, "data")

    @property
    def diff(self) -> np.ndarray:
        return self._owner.diff.reshape(self._shape)

    @diff.setter
    def diff(self, array: np.ndarray) -> None:
        self.diff[...] = self.fitting(array, "diff")

    @property
    def value(self) -> torch.Tensor:
        return self._owner.value.reshape(self._shape)

    @value.setter
    def value(self, tensor: torch.Tensor) -> None:
        self._owner.value = tensor.reshape(self._owner.shape)

    @property
    def grad(self) -> torch.Tensor | None:
        return None if self._owner.grad is None else self._owner.grad.reshape(self._shape)

    @grad.setter
    def grad(self, tensor: torch.Tensor | None) -> None:
        self._owner.grad = None if tensor is None else tensor.reshape(self._owner.shape)

    def add_product(self, a: torch.Tensor, b: torch.Tensor) -> None:
        self.add_gradient((a @ b).to(self.value.dtype))

    def clear_gradient(self) -> None:
        self._owner.clear_gradient()


class _SharesGradient(_Reshaped):
    """Another blob's gradient, and values of its own."""

    def __init__(self, owner: Blob, shape: tuple[int, ...], value: torch.Tensor):
        super().__init__(owner, shape)
        self._own = value

    @property
    def data(self) -> np.ndarray:
        return self._array("value")

    @data.setter
    def data(self, array: np.ndarray) -> None:
        self.data[...] = self.fitting(array, "data")

    @property
    def value(self) -> torch.Tensor:
        return self._own

    @value.setter
    def value(self, tensor: torch.Tensor) -> None:
        self._own = tensor


def _check_shapes(owner: Param, layer: Layer, index: int, spec: ParamSpec) -> None:
    mine, theirs = layer.blobs[index], owner.blob
    permissive = spec.share_mode == ParamSpec.PERMISSIVE
    check(
        mine.count == theirs.count if permissive else mine.shape == theirs.shape,
        f"{layer.where}: Cannot share param '{spec.name}' owned by layer '{owner.layer.name}' with layer "
        f"'{layer.name}'; {'count' if permissive else 'shape'} mismatch.  Owner layer param shape is "
        f"{shape_string(theirs.shape)}; sharing layer expects shape {shape_string(mine.shape)}",
        "net.cpp:486",
    )
