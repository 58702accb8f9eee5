"""Products of matrices on the CPU, by whichever of PyTorch's two libraries is the faster.

PyTorch gives matrix products to MKL, which knows few processors but Intel's: on an AMD EPYC (Zen 4) it reaches two
thirds of what oneDNN reaches with the few rows of a batch (64 x 4096 by 4096 x 4096: 70 and 93 GFLOP/s a core). oneDNN
is the slower one where the matrices are small.
"""

import torch

_LARGE = 1 << 18  # numbers in the right-hand matrix from which on oneDNN is used


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x (M, K) times the transpose of `weight` (N, K), plus `bias` (N): (M, N)."""
    if _onednn and weight.numel() >= _LARGE and x.device.type == "cpu" and x.dtype == torch.float32:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return x @ weight.t() if bias is None else torch.addmm(bias, x, weight.t())


# The operator that PyTorch's own compiler calls; a build without oneDNN has none.
_onednn = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
