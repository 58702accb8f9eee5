"""A substitute for a CUDA graph on the CPU: PyTorch's calls are recorded and repeated on the same tensors.

No Python code of the net runs again, so the host contributes nothing new. If a layer were wrong in a graph, the tape
would give other numbers than the net. The limits of CUDA itself are not simulated.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from torchcaffe.common import context
from torchcaffe.common.blob import Blob
from torchcaffe.solvers import step
from torchcaffe.solvers.recording import Recording, Work

# A graph cannot hold these calls: the host reads a value, a size depends on values, or a tensor is made from a host's
# number, which would be copied to the GPU.
_READ = {"_local_scalar_dense", "equal", "is_nonzero", "item"}
_SIZED = {"bincount", "masked_select", "nonzero", "unique", "_unique2"}
_FORBIDDEN = _READ | _SIZED | {"lift_fresh", "scalar_tensor"}


class Tape(Recording):
    """As CudaGraph, but recording runs the work, so the first `replay` need not."""

    def __init__(self, work: Work, blobs: list[Blob]):
        super().__init__(work, blobs)
        self._calls = _Calls()
        with self._calls:
            self._record()
        self._fresh = True

    def replay(self) -> torch.Tensor | None:
        if not self._fresh:
            self._calls.play()
        self._fresh = False
        self._attach()
        return self._result


class _Calls(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self._made: list[tuple] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        assert name not in _FORBIDDEN, f"{name} cannot be captured"
        masks = [leaf for leaf in tree_leaves(args) if isinstance(leaf, torch.Tensor) and leaf.dtype == torch.bool]
        assert not (name.startswith("index") and masks), f"{name} by a mask cannot be captured"
        out = function(*args, **(kwargs or {}))
        self._made.append((function, args, kwargs or {}, out))
        return out

    def play(self) -> None:
        for function, args, kwargs, out in self._made:
            for place, found in zip(tree_leaves(out), tree_leaves(function(*args, **kwargs)), strict=True):
                if isinstance(place, torch.Tensor) and place is not found:
                    place.copy_(found)


def on_tape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are recorded on tape. Layers behave as on a GPU: PyTorch's draws and digits, no checks of values."""
    monkeypatch.setattr(context, "is_exact", lambda tensor: False)
    monkeypatch.setattr(step, "record", lambda work, blobs, device: Tape(work, blobs))
    monkeypatch.setattr(context.current(), "step", "static")
