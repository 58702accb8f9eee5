"""PyTorch's gradients of a batch normalization, for layers that hold their bottom and its gradient in any layout."""

import torch


def batch_norm_backward(
    diff: torch.Tensor,
    x: torch.Tensor,
    scale: torch.Tensor | None,
    given: tuple[torch.Tensor, torch.Tensor] | None,
    found: tuple[torch.Tensor, torch.Tensor] | None,
    eps: float,
    wanted: list[bool],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradients of x, the scale and the bias; those that are not `wanted` are undefined.

    x and diff are of one shape, (N, C, ...). given: mean and variance that are constants. found: the batch's mean and
    its 1 / sqrt(variance + eps). One of them is None.
    """
    if 1 in x.shape and diff.stride() != x.stride():
        # An axis of size 1 fits two layouts at once: where x and diff differ, PyTorch 2.13 takes one for the other.
        diff = torch.empty_like(x).copy_(diff)
    statistics = (*(given or (None, None)), *(found or (None, None)))
    return torch.ops.aten.native_batch_norm_backward(diff, x, scale, *statistics, given is None, eps, wanted)
