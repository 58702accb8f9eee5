"""What LSTM and RNN compute over all timesteps, without the layers of their unrolled net.

These layers are many and small, and calling PyTorch for each takes longer than its arithmetic. Here a timestep is a few
calls that write to memory that stays. The gradients of the weights are one product each, over all timesteps.

On the CPU these calls are NumPy's, which take a half to a third of the time of PyTorch's for few values.
"""

from typing import Any

import numpy as np
import torch

from torchcaffe.common import context
from torchcaffe.common.context import Context
from torchcaffe.common.products import SMALL, add_linear, linear
from torchcaffe.layer_types.base import Blob

Array = Any  # of NumPy on the CPU, a tensor on a GPU; np and torch share the names of the functions used here


class Weight:
    """A matrix (N, K) by whose transpose rows (M, K) are multiplied in each timestep."""

    def __init__(self, weight: torch.Tensor, exact: bool, rows: int):
        self._tensor, self._exact = weight, exact
        small = exact and rows * weight.numel() <= SMALL
        self._columns = np.ascontiguousarray(weight.numpy().T) if small else None

    def product(self, x: Array) -> Array:
        """x (M, K) times the transpose, (M, N)."""
        if self._columns is not None:
            return np.dot(x, self._columns)
        if self._exact:
            return linear(torch.from_numpy(x), self._tensor).numpy()
        return linear(x, self._tensor)

    def add_product(self, y: Array, x: Array, out: Array) -> Array:
        """Writes y (M, N) plus the product to `out`, which may be y."""
        if self._exact:
            return np.add(y, self.product(x), out=out)
        return add_linear(y, x, self._tensor, out)


class Steps:
    """The passes of `steps` timesteps of `streams` streams, with `size` outputs.

    `exact` asks for Caffe's last digits: functions in float64, then rounded, for near 1 the last digit decides. `math`
    is the module of the arrays, NumPy where `exact`.

    Arrays are of (timesteps, streams, ...). `forward` keeps what `backward` needs, until the next `forward`.
    """

    def __init__(self, settings: Context, steps: int, streams: int, size: int):
        self._settings, self.shape = settings, (steps, streams, size)
        self.exact = context.is_exact(torch.empty(0, device=settings.device))
        self.math: Any = np if self.exact else torch

    def forward(
        self, params: list[Blob], inputs: list[torch.Tensor], before: list[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The outputs, new memory, and the hidden states after the last timestep, memory that the next pass overwrites.

        `params` are the layer's, `inputs` x, cont and the static one if there is one, `before` the hidden states.
        """
        raise NotImplementedError

    def backward(
        self, params: list[Blob], inputs: list[torch.Tensor], diff: torch.Tensor, wanted: list[bool]
    ) -> list[torch.Tensor | None]:
        """Adds to the gradients of `params`. Returns those of the inputs that are wanted, None for the others."""
        raise NotImplementedError

    def empty(self, *shape: int) -> Array:
        return self.array(torch.empty(shape, dtype=self._settings.dtype, device=self._settings.device))

    def array(self, tensor: torch.Tensor) -> Array:
        return tensor.numpy() if self.exact else tensor

    def tensor(self, array: Array) -> torch.Tensor:
        """The same memory."""
        return torch.from_numpy(array) if self.exact else array

    def weight(self, param: torch.Tensor) -> Weight:
        return Weight(param, self.exact, self.shape[1])

    def begin(self, cont: torch.Tensor) -> None:
        """Looks where all sequences go on, so that there is nothing to multiply. Not on a GPU: the host would wait."""
        self.cont = self.array(cont)[..., None]
        self.all_go_on = (self.cont == 1).all((1, 2)).tolist() if self.exact else [False] * self.shape[0]

    def goes_on(self, t: int, hidden: Array) -> Array:
        """The hidden values before timestep t, 0 where a sequence begins."""
        return hidden if self.all_go_on[t] else hidden * self.cont[t]

    def of_inputs(self, params: list[Blob], inputs: list[torch.Tensor], array: Array) -> None:
        """Writes the products of the inputs with their weights to `array`, (timesteps, streams, gates * size)."""
        out = self.tensor(array)
        rows = inputs[0].reshape(out.shape[0] * out.shape[1], -1)
        add_linear(params[1].value, rows, params[0].value, out.view(-1, out.shape[2]))
        if len(inputs) > 2:
            out.add_(linear(inputs[2].reshape(out.shape[1], -1), params[2].value))

    def gradients(
        self, params: list[Blob], inputs: list[torch.Tensor], hidden: Array, sums_diff: Array, wanted: list[bool]
    ) -> list[torch.Tensor | None]:
        """From the gradient of all sums those of the weights and the inputs. `hidden` has the values before each
        timestep."""
        of_sums = self.tensor(sums_diff)
        diff = of_sums.view(-1, of_sums.shape[-1])
        before = self.tensor(hidden if all(self.all_go_on) else hidden * self.cont)
        params[len(inputs)].add_product(diff.t(), before.reshape(diff.shape[0], -1))
        params[0].add_product(diff.t(), inputs[0].reshape(diff.shape[0], -1))
        params[1].add_gradient(diff.sum(0))
        found: list[torch.Tensor | None] = [None] * len(inputs)
        if wanted[0]:
            found[0] = linear(diff, params[0].value.t()).reshape(inputs[0].shape)
        if len(inputs) > 2:
            static_diff = of_sums.sum(0)
            params[2].add_product(static_diff.t(), inputs[2].reshape(static_diff.shape[0], -1))
            if wanted[2]:
                found[2] = linear(static_diff, params[2].value.t()).reshape(inputs[2].shape)
        return found

    def hidden_diff(self, t: int, diff: Array, weight: Weight, sums_diff: Array, out: Array) -> Array:
        """Writes to `out` the gradient of the hidden values after timestep t: `diff`, and what comes through
        `sums_diff`, that of the sums of the next timestep, and the transpose of the weight of the hidden values."""
        if self.all_go_on[t + 1]:
            return weight.add_product(diff, sums_diff, out)
        return self.math.add(diff, weight.product(sums_diff) * self.cont[t + 1], out=out)
