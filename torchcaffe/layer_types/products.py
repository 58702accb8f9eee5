"""Products of matrices on the CPU, with the faster of PyTorch's two libraries.

PyTorch uses MKL for products of matrices, which is tuned for Intel's processors. On an AMD EPYC (Zen 4), oneDNN is a
third faster for the few rows of a batch: 93 instead of 70 GFLOP/s per core for 64 x 4096 by 4096 x 4096. For small
matrices MKL is faster.
"""

import torch

_LARGE = 1 << 18  # number of values in the right-hand matrix from which oneDNN is used


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x (M, K) times the transpose of `weight` (N, K), plus `bias` (N): (M, N)."""
    if _is_large(x, weight):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return x @ weight.t() if bias is None else torch.addmm(bias, x, weight.t())


def add_linear(y: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Writes y (M, N) plus x (M, K) times the transpose of `weight` (N, K) to `out`, which may be y."""
    if _is_large(x, weight):
        return torch.add(y, linear(x, weight), out=out)
    return torch.addmm(y, x, weight.t(), out=out)


def _is_large(x: torch.Tensor, weight: torch.Tensor) -> bool:
    return _onednn and weight.numel() >= _LARGE and x.device.type == "cpu" and x.dtype == torch.float32


# PyTorch's own compiler calls this operator. Builds without oneDNN do not have it.
_onednn = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
