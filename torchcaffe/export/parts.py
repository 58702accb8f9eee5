"""Layers of Caffe that torch.nn does not have. Exported PyTorch code contains the source of those that it uses.

So this module imports nothing but PyTorch, and each part stands alone.
"""

import torch
from torch import nn
from torch.nn import functional as F


class Scale(nn.Module):
    """Multiplies by a learned scale, whose axes are those of x from `axis` on, and adds a bias, if there is one."""

    def __init__(self, shape: tuple[int, ...], bias: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * self.weight
        return y if self.bias is None else y + self.bias


class Bias(nn.Module):
    """Adds a learned bias, whose axes are those of x from `axis` on."""

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.bias


class Parameter(nn.Module):
    """A learned blob."""

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape))

    def forward(self) -> torch.Tensor:
        return self.weight


class Embed(nn.Embedding):
    """Looks up a vector for each number, which is cut to an integer, and adds a bias."""

    def __init__(self, inputs: int, outputs: int, bias: bool):
        super().__init__(inputs, outputs)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x.long())
        return y if self.bias is None else y + self.bias


class GlobalBatchNorm(nn.Module):
    """A BatchNorm with use_global_stats: the collected statistics, in training too."""

    def __init__(self, channels: int, eps: float):
        super().__init__()
        self.eps = eps
        self.running_mean: torch.Tensor
        self.running_var: torch.Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, eps=self.eps)


class WideMaxPool(nn.Module):
    """A MaxPool2d with more padding than half a window, which torch.nn refuses. No window begins in the last padding.

    `pad` is of height and width; the windows are laid out for the size of each x.
    """

    def __init__(self, kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int], ceil_mode: bool):
        super().__init__()
        self.kernel, self.stride, self.pad, self.ceil_mode = kernel, stride, pad, ceil_mode

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        high, wide = self.pad
        rows, columns = ((x.shape[2 + i] + self.pad[i] - 1) // self.stride[i] + 1 for i in (0, 1))
        padded = F.pad(x, (wide, wide, high, high), value=torch.finfo(x.dtype).min)
        return F.max_pool2d(padded, self.kernel, self.stride, ceil_mode=self.ceil_mode)[:, :, :rows, :columns]


class WideAvgPool(nn.Module):
    """An AvgPool2d with more padding than half a window. No window begins in the last padding.

    Windows may reach beyond the padding; a mean counts the places within it. `pad` is of height and width; the windows
    are laid out for the size of each x.
    """

    def __init__(self, kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int], ceil_mode: bool):
        super().__init__()
        self.kernel, self.stride, self.pad, self.ceil_mode = kernel, stride, pad, ceil_mode

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        high, wide = self.pad
        rows, columns = ((x.shape[2 + i] + self.pad[i] - 1) // self.stride[i] + 1 for i in (0, 1))
        padded = F.pad(x, (wide, wide, high, high))
        return F.avg_pool2d(padded, self.kernel, self.stride, ceil_mode=self.ceil_mode)[:, :, :rows, :columns]


class LRNWithinChannel(nn.Module):
    """x / (1 + alpha * mean of x^2 over a square of size x size places)^beta."""

    def __init__(self, size: int, alpha: float, beta: float):
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = F.avg_pool2d(x * x, self.size, 1, self.size // 2)
        return x * (1 + self.alpha * means) ** -self.beta


def argmax(x: torch.Tensor, top_k: int, axis: int | None, values: bool) -> torch.Tensor:
    """The indices of the largest values along an axis, or over each image; of equal values the last one comes first.

    `values` gives the values instead; over each image both, first the indices.
    """
    y = x.flatten(1) if axis is None else x
    along = 1 if axis is None else axis
    largest, order = y.flip(along).sort(dim=along, descending=True, stable=True)
    largest = largest.narrow(along, 0, top_k)
    indices = (y.shape[along] - 1 - order.narrow(along, 0, top_k)).to(x.dtype)
    if axis is not None:
        return largest if values else indices
    rows = torch.stack([indices, largest] if values else [indices], 1)
    return rows.reshape(*rows.shape, *[1] * (x.dim() - 3))


def mvn(x: torch.Tensor, axes: list[int], variance: bool, eps: float) -> torch.Tensor:
    """x minus its mean over `axes`; with `variance` also divided by its deviation plus eps."""
    y = x - x.mean(axes, keepdim=True)
    return y / (y.square().mean(axes, keepdim=True).sqrt() + eps) if variance else y


class SPP(nn.Module):
    """Spatial pyramid pooling: level i pools in 2^i x 2^i windows of one size. All values of an image in a row."""

    def __init__(self, levels: int, maximum: bool):
        super().__init__()
        self.levels, self.maximum = levels, maximum

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (height, width), rows = x.shape[2:], []
        for bins in (2**level for level in range(self.levels)):
            high, wide = -(-height // bins), -(-width // bins)
            top, left = (bins * high - height + 1) // 2, (bins * wide - width + 1) // 2
            padded = F.pad(x, (left, left, top, top), value=torch.finfo(x.dtype).min if self.maximum else 0)
            pool = F.max_pool2d if self.maximum else F.avg_pool2d
            y = pool(padded, (high, wide), ceil_mode=True)
            rows.append(y[:, :, : (height + top - 1) // high + 1, : (width + left - 1) // wide + 1])
        return rows[0] if len(rows) == 1 else torch.cat([y.flatten(1) for y in rows], 1)


class LSTM(nn.Module):
    """T timesteps of N streams. Where `cont`, (T, N), is 0, a sequence begins: the state before does not count.

    x is (T, N, ...); h and c, (1, N, outputs), are the state before, and `static`, (N, ...), is an input of all
    timesteps. Gives the outputs (T, N, outputs) and the state after. No gradient goes through the state, as in Caffe.
    """

    def __init__(self, inputs: int, outputs: int, static: int = 0):
        super().__init__()
        self.x = nn.Linear(inputs, 4 * outputs)
        self.static = nn.Linear(static, 4 * outputs, bias=False) if static else None
        self.h = nn.Linear(outputs, 4 * outputs, bias=False)

    def forward(
        self, x: torch.Tensor, cont: torch.Tensor, h: torch.Tensor, c: torch.Tensor, static: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        sums, h, c, outputs = self.x(x.flatten(2)), h[0].detach(), c[0].detach(), []
        if self.static is not None and static is not None:
            sums = sums + self.static(static.flatten(1))
        for t, goes_on in enumerate(cont.unsqueeze(-1)):
            i, f, o, g = (sums[t] + self.h(h * goes_on)).chunk(4, -1)
            c = goes_on * f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return torch.stack(outputs), h.detach()[None], c.detach()[None]


class RNN(nn.Module):
    """T timesteps of N streams. Where `cont`, (T, N), is 0, a sequence begins: the state before does not count.

    x is (T, N, ...); h, (1, N, outputs), is the state before, and `static`, (N, ...), is an input of all timesteps.
    Gives the outputs (T, N, outputs) and the state after. No gradient goes through the state, as in Caffe.
    """

    def __init__(self, inputs: int, outputs: int, static: int = 0):
        super().__init__()
        self.x = nn.Linear(inputs, outputs)
        self.static = nn.Linear(static, outputs, bias=False) if static else None
        self.h = nn.Linear(outputs, outputs, bias=False)
        self.o = nn.Linear(outputs, outputs)

    def forward(
        self, x: torch.Tensor, cont: torch.Tensor, h: torch.Tensor, static: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        sums, h, states = self.x(x.flatten(2)), h[0].detach(), []
        if self.static is not None and static is not None:
            sums = sums + self.static(static.flatten(1))
        for t, goes_on in enumerate(cont.unsqueeze(-1)):
            h = (sums[t] + self.h(h * goes_on)).tanh()
            states.append(h)
        return self.o(torch.stack(states)).tanh(), h.detach()[None]


def lstm_unit(c: torch.Tensor, gates: torch.Tensor, cont: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The cells and the outputs of a timestep, from the cells before; where `cont` is 0, those do not count."""
    i, f, o, g = gates.chunk(4, -1)
    c = cont.unsqueeze(-1) * f.sigmoid() * c + i.sigmoid() * g.tanh()
    return c, o.sigmoid() * c.tanh()
