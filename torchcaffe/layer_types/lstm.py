"""LSTM: long short-term memory.

Source followed: BVLC Caffe's lstm_layer.cpp and lstm_unit_layer.cpp.
"""

import numpy as np
import torch

from torchcaffe.common.context import Context
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.recurrent import RecurrentLayer
from torchcaffe.layer_types.recurrent_steps import Array, Steps
from torchcaffe.layer_types.unrolled import Unrolled, lstm


class LSTMSteps(Steps):
    """The hidden states are h and c."""

    def __init__(self, settings: Context, steps: int, streams: int, size: int):
        super().__init__(settings, steps, streams, size)
        self._sums = self.empty(steps, streams, 4 * size)  # of the gates' inputs; then the gates i, f, o and g
        self._gates = [self._sums[..., gate * size : (gate + 1) * size] for gate in range(4)]
        self._h, self._c = self.empty(steps + 1, streams, size), self.empty(steps + 1, streams, size)
        self._tanh_c, self._term = self.empty(steps, streams, size), self.empty(streams, size)
        self._sums_diff = self.empty(steps, streams, 4 * size)
        wide = torch.empty(streams, 4 * size, dtype=torch.float64)
        self._wide = wide.numpy(), wide[:, : 3 * size], wide[:, 3 * size :].numpy(), np.empty((streams, size))
        each = [self._h[1:], self._c[:-1], self._c[1:], self._tanh_c, self._sums, *self._gates]
        self._of_step = list(zip(*each, strict=True))

    def forward(
        self, params: list[Blob], inputs: list[torch.Tensor], before: list[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        self.begin(inputs[1])
        self.of_inputs(params, inputs, self._sums)
        weight, multiply, add, term = self.weight(params[-1].value), self.math.multiply, self.math.add, self._term
        h = self._h[0]
        h[...], self._c[0] = self.array(before[0][0]), self.array(before[1][0])
        for t, (h_now, c_before, c, tanh_c, sums, i, f, o, g) in enumerate(self._of_step):
            weight.add_product(sums, self.goes_on(t, h), sums)
            self._squash(sums)
            if not self.all_go_on[t]:
                multiply(f, self.cont[t], out=f)
            add(multiply(i, g, out=c), multiply(f, c_before, out=term), out=c)
            self._tanh(c, tanh_c)
            h = multiply(o, tanh_c, out=h_now)
        return self.tensor(self._h[1:]).clone(), [self.tensor(self._h[-1:]), self.tensor(self._c[-1:])]

    def _squash(self, sums: Array) -> None:
        """Makes the sums gates."""
        if self.exact:
            wide, sigmoids, tanh, _ = self._wide
            wide[...] = sums
            sigmoids.sigmoid_()
            np.tanh(tanh, out=tanh)
            sums[...] = wide
        else:
            size = self.shape[2]
            sums[:, : 3 * size].sigmoid_()
            sums[:, 3 * size :].tanh_()

    def _tanh(self, c: Array, out: Array) -> None:
        if self.exact:
            wide = self._wide[-1]
            wide[...] = c
            out[...] = np.tanh(wide, out=wide)
        else:
            torch.tanh(c, out=out)

    def backward(
        self, params: list[Blob], inputs: list[torch.Tensor], diff: torch.Tensor, wanted: list[bool]
    ) -> list[torch.Tensor | None]:
        _, streams, size = self.shape
        of_h, of_sums, of_o = self._factors()
        by_gate = self._sums_diff.reshape(*self.shape[:2], 4, size)
        of_step = [self.array(diff), of_h, of_sums, of_o, self._gates[1], self._sums_diff, by_gate, by_gate[:, :, 2]]
        weight, multiply, add, term = self.weight(params[-1].value.t()), self.math.multiply, self.math.add, self._term
        h_diff, c_rows, sums_after = self.empty(streams, size), self.math.zeros_like(term), None
        c_diff = c_rows[:, None]
        for t, step in reversed(list(enumerate(zip(*of_step, strict=True)))):
            h_now, of_h, of_sums, of_o, f, sums, sums_by_gate, sums_of_o = step
            if sums_after is not None:
                h_now = self.hidden_diff(t, h_now, weight, sums_after, h_diff)
            add(c_rows, multiply(h_now, of_h, out=term), out=c_rows)
            multiply(of_sums, c_diff, out=sums_by_gate)
            multiply(of_o, h_now, out=sums_of_o)
            multiply(c_rows, f, out=c_rows)
            sums_after = sums
        return self.gradients(params, inputs, self._h[:-1], self._sums_diff, wanted)

    def _factors(self) -> tuple[Array, Array, Array]:
        """For all timesteps: what the gradient of h is multiplied by for that of c; what that is multiplied by for
        those of the sums, (..., gate, size); and what that of h is multiplied by for o's, where that of c is wrong."""
        (i, _, o, g), size = self._gates, self.shape[2]
        factors = (1 - self._sums) * self._sums
        of_o = factors[..., 2 * size : 3 * size]
        factors[..., :size] *= g
        factors[..., size : 2 * size] *= self._c[:-1]
        of_o *= self._tanh_c
        factors[..., 3 * size :] = (1 - g * g) * i
        return (1 - self._tanh_c * self._tanh_c) * o, factors.reshape(*self.shape[:2], 4, size), of_o


class LSTM(RecurrentLayer):
    """The blobs are W_xc (4 num_output, inputs), b_c (4 num_output,), with a static input W_xc_static, and W_hc
    (4 num_output, num_output); the gates are in the order i, f, o, g. The hidden states are h and c."""

    hidden = {"h_0": "h_{T}", "c_0": "c_T"}  # noqa: RUF012
    output = "h"
    steps_type = LSTMSteps

    def unroll(self, unrolled: Unrolled) -> None:
        lstm(unrolled)
