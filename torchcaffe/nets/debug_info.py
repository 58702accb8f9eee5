"""The log lines of `debug_info: true`: the mean absolute value of each top, parameter and gradient.

The source of BVLC Caffe 1.0 also has [Update] lines, but never prints them. Source followed: BVLC Caffe's net.cpp.
"""

from collections.abc import Iterable

import torch

from torchcaffe.common import log
from torchcaffe.common.blob import Blob
from torchcaffe.common.log import number
from torchcaffe.layer_types import Layer
from torchcaffe.nets.params import Params


def forward(layer: Layer, top: list[Blob]) -> None:
    """Logs the tops and the parameters of a layer after its forward pass."""
    for blob in top:
        line = f"    [Forward] Layer {layer.name}, top blob {blob.name} data: {_mean(blob.value)}"
        log.info("net.cpp:593", line)
    for index, blob in enumerate(layer.blobs):
        name = layer.param.param[index].name if index < len(layer.param.param) else ""
        line = f"    [Forward] Layer {layer.name}, param blob {name or index} data: {_mean(blob.value)}"
        log.info("net.cpp:605", line)


def backward(layer: Layer, bottom: list[Blob], propagate_down: list[bool]) -> None:
    """Logs the gradients that a layer has computed, after its backward pass."""
    for blob, wanted in zip(bottom, propagate_down, strict=True):
        if wanted:
            line = f"    [Backward] Layer {layer.name}, bottom blob {blob.name} diff: {_mean(blob.grad)}"
            log.info("net.cpp:621", line)
    for index, (blob, learns) in enumerate(zip(layer.blobs, layer.learns, strict=True)):
        if learns:
            log.info("net.cpp:632", f"    [Backward] Layer {layer.name}, param blob {index} diff: {_mean(blob.grad)}")


def all_params(params: Params) -> None:
    """Logs the norms of all parameters and of their gradients, after a whole backward pass; as an error, as Caffe
    does."""
    blobs = [param.blob for param in params.learnable]
    (l1, l2), (l1_diff, l2_diff) = _norms(blob.value for blob in blobs), _norms(blob.grad for blob in blobs)
    norms = f"L1 norm = ({l1}, {l1_diff}); L2 norm = ({l2}, {l2_diff})"
    log.error("net.cpp:721", f"    [Backward] All net params (data, diff): {norms}")


def _mean(tensor: torch.Tensor | None) -> str:
    """The mean absolute value. A gradient that is None is zero."""
    return number(0 if tensor is None else float(tensor.double().abs().mean()))


def _norms(tensors: Iterable[torch.Tensor | None]) -> tuple[str, str]:
    """The L1 and the L2 norm of all tensors together."""
    doubles = [tensor.double() for tensor in tensors if tensor is not None]
    l1 = sum(float(tensor.abs().sum()) for tensor in doubles)
    return number(l1), number(sum(float(tensor.square().sum()) for tensor in doubles) ** 0.5)
