"""Products of matrices on the CPU, with the faster of PyTorch's two libraries.

PyTorch uses MKL for products of matrices, which is tuned for Intel's processors. On an AMD EPYC (Zen 4), oneDNN is a
third faster for the few rows of a batch: 93 instead of 70 GFLOP/s per core for 64 x 4096 by 4096 x 4096. On a Zen 5 it
is twice as fast, because MKL does not use AVX-512 there: 170 and 80 GFLOP/s for 64 x 800 by 800 x 500 and for its
gradients. For small matrices MKL is faster. In bfloat16 all products are oneDNN's.
"""

from typing import Any

import numpy as np
import torch

from torchcaffe.common import cpu

SMALL = 1 << 18  # multiplications, up to which OpenBLAS, NumPy's library of products, takes one thread
_LARGE = 1 << 18  # number of values in the right-hand matrix from which oneDNN is used
_MANY = 1 << 24  # number of multiplications from which oneDNN is used where MKL leaves AVX-512 unused
_WIDE, _WIDE_RESULT = 2048, 1 << 21  # columns and values of a result for which the left-hand matrix is turned first
_KEPT = 1 << 21  # values that oneDNN writes at a time: memory that is freed and taken again, still in the cache

_onednn: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)  # PyTorch's compiler calls it; it has no `out`
_mkl_is_slow = cpu.is_amd_with_avx512()
_has_tiles = cpu.has_amx()


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x (M, K) times the transpose of `weight` (N, K), plus `bias` (N): (M, N)."""
    if _by_onednn(x, weight):
        dense = weight if weight.is_contiguous() or weight.t().is_contiguous() else weight.contiguous()
        return _onednn(x, dense, bias, "none", [], "")  # which takes rows that lie apart a thousand times as long
    return x @ weight.t() if bias is None else torch.addmm(bias, x, weight.t())


def add_linear(y: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Writes y (M, N) plus x (M, K) times the transpose of `weight` (N, K) to `out`, which may be y."""
    if _by_onednn(x, weight):
        return torch.add(y, linear(x, weight), out=out)
    return torch.addmm(y, x, weight.t(), out=out)


def product(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """a (M, K) times b (K, N): (M, N), in `out` if it is given."""
    if not _many(a, b):
        return a @ b if out is None else torch.mm(a, b, out=out)
    if out is None:
        return linear(a, b.t())
    for rows in _parts(out):
        out[rows] = linear(a[rows], b.t())
    return out


def product_in_bf16(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """a (M, K), which is laid out as (K, M), times b (K, N), all in bfloat16: (M, N), in `out` if it is given.

    With AMX, oneDNN takes longer for such an `a` if the result is wide: for a batch of 256 the gradient of 4096 x 4096
    weights takes 5.1 ms, and 3.4 if `a` is turned round before; that of 4096 x 9216 weights 12.4 and 6.3.
    """
    if _has_tiles and b.shape[1] >= _WIDE and a.shape[0] * b.shape[1] >= _WIDE_RESULT:
        a = a.contiguous()
    return torch.mm(a, b) if out is None else torch.mm(a, b, out=out)


def of_arrays(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a (M, K) times b (K, N): (M, N). A small product takes NumPy a half to two thirds of PyTorch's time."""
    if a.shape[0] * b.size <= SMALL:
        return np.dot(a, b)
    return product(torch.from_numpy(a), torch.from_numpy(b)).numpy()


def add_product(total: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Adds a (M, K) times b (K, N) to `total` (M, N), and returns it."""
    if not _many(a, b):
        return total.addmm_(a, b)
    for rows in _parts(total):
        total[rows] += linear(a[rows], b.t())
    return total


def _parts(result: torch.Tensor) -> list[slice]:
    """Rows that are written at a time."""
    step = max(1, _KEPT // result.shape[1])
    return [slice(start, start + step) for start in range(0, len(result), step)]


def _by_onednn(x: torch.Tensor, weight: torch.Tensor) -> bool:
    large = weight.numel() >= _LARGE and x.device.type == "cpu" and x.dtype == torch.float32
    return (large and _onednn is not None) or _many(x, weight)


def _many(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether oneDNN is faster by far for x times `weight`, or its transpose."""
    many = _mkl_is_slow and x.shape[0] * weight.numel() >= _MANY
    return many and x.device.type == "cpu" and x.dtype == torch.float32 and _onednn is not None
