"""What LSTM and RNN compute over all timesteps, without the layers of their unrolled net.

These layers are many and small, and calling PyTorch for each takes longer than its arithmetic. Here a timestep is a few
calls that write to memory that stays. The gradients of the weights are one product each, over all timesteps.
"""

import torch

from torchcaffe.common import context
from torchcaffe.common.context import Context
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.products import add_linear, linear


class Steps:
    """The passes of `steps` timesteps of `streams` streams, with `size` outputs.

    `exact` asks for Caffe's last digits: functions in float64, then rounded, for near 1 the last digit decides.

    Tensors are of (timesteps, streams, ...). `forward` keeps what `backward` needs, until the next `forward`.
    """

    def __init__(self, settings: Context, steps: int, streams: int, size: int):
        self._settings, self.shape = settings, (steps, streams, size)
        self.exact = context.is_exact(self.empty(0))

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

    def empty(self, *shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=self._settings.dtype, device=self._settings.device)

    def begin(self, cont: torch.Tensor) -> None:
        """Looks where all sequences go on, so that there is nothing to multiply. Not on a GPU: the host would wait."""
        self._cont = cont.unsqueeze(-1)
        self.conts = self._cont.unbind(0)
        self.all_go_on = (cont == 1).all(1).tolist() if self.exact else [False] * self.shape[0]

    def goes_on(self, t: int, hidden: torch.Tensor) -> torch.Tensor:
        """The hidden values before timestep t, 0 where a sequence begins."""
        return hidden if self.all_go_on[t] else hidden * self.conts[t]

    def of_inputs(self, params: list[Blob], inputs: list[torch.Tensor], out: torch.Tensor) -> None:
        """Writes the products of the inputs with their weights to `out`, (timesteps, streams, gates * size)."""
        rows = inputs[0].reshape(out.shape[0] * out.shape[1], -1)
        add_linear(params[1].value, rows, params[0].value, out.view(-1, out.shape[2]))
        if len(inputs) > 2:
            out.add_(linear(inputs[2].reshape(out.shape[1], -1), params[2].value))

    def gradients(
        self,
        params: list[Blob],
        inputs: list[torch.Tensor],
        hidden: torch.Tensor,
        sums_diff: torch.Tensor,
        wanted: list[bool],
    ) -> list[torch.Tensor | None]:
        """From the gradient of all sums those of the weights and the inputs. `hidden` has the values before each
        timestep."""
        diff = sums_diff.view(-1, sums_diff.shape[-1])
        hidden = hidden if all(self.all_go_on) else hidden * self._cont
        params[len(inputs)].add_product(diff.t(), hidden.reshape(diff.shape[0], -1))
        params[0].add_product(diff.t(), inputs[0].reshape(diff.shape[0], -1))
        params[1].add_gradient(diff.sum(0))
        found: list[torch.Tensor | None] = [None] * len(inputs)
        if wanted[0]:
            found[0] = linear(diff, params[0].value.t()).reshape(inputs[0].shape)
        if len(inputs) > 2:
            static_diff = sums_diff.sum(0)
            params[2].add_product(static_diff.t(), inputs[2].reshape(static_diff.shape[0], -1))
            if wanted[2]:
                found[2] = linear(static_diff, params[2].value.t()).reshape(inputs[2].shape)
        return found

    def hidden_diff(
        self, t: int, diff: torch.Tensor, weight: torch.Tensor, sums_diff: torch.Tensor, out: torch.Tensor
    ) -> torch.Tensor:
        """Writes to `out` the gradient of the hidden values after timestep t: `diff`, and what comes through
        `sums_diff`, that of the sums of the next timestep, and the `weight` of the hidden values."""
        if self.all_go_on[t + 1]:
            return add_linear(diff, sums_diff, weight.t(), out)
        return torch.addcmul(diff, linear(sums_diff, weight.t()), self.conts[t + 1], out=out)
