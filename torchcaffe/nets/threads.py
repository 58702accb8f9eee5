"""How many threads a net is worth: one, if its layers are so small that a second would wait more than work.

Two threads wait for one another after each product and each sum. For few values that takes as long as they save, and on
cores that have other work many times as long.
"""

from collections.abc import Sequence

import torch

from torchcaffe.layer_types.base import Blob, Layer
from torchcaffe.nets.net import Net

_FEW = 1 << 22  # operations of an iteration up to which two threads win nothing (docs/speed-notes.md, "Small nets")
_A_WEIGHT = 8  # operations that a weight stands for, in the update


def fit(nets: Sequence[Net]) -> None:
    """Lets this process compute on one thread if all `nets` are small and on the CPU; changes nothing if one is not."""
    if all(not net.context.on_gpu and _operations(net) <= _FEW for net in nets):
        torch.set_num_threads(1)


def _operations(net: Net) -> int:
    """Multiplications of a forward pass by weights, and some for each weight and each value of a top."""
    weights = _A_WEIGHT * sum(param.blob.count for param in net.params.learnable)
    return weights + sum(
        sum(blob.count for blob in top) * layer.operations_a_value + _products(layer, top[0])
        for layer, top in zip(net.layers, net.tops, strict=True)
        if top
    )


def _products(layer: Layer, top: Blob) -> int:
    """Each matrix or kernel has its outputs on its first axis, and meets each of them at some places of the top."""
    weights = [blob for blob in layer.blobs if len(blob.shape) > 1 and blob.count]
    return sum(blob.count * max(1, top.count // blob.shape[0]) for blob in weights)
