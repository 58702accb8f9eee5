"""LSTM: long short-term memory.

Source followed: BVLC Caffe's lstm_layer.cpp and lstm_unit_layer.cpp.
"""

import torch

from torchcaffe.common.context import Context
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.products import add_linear
from torchcaffe.layer_types.recurrent import RecurrentLayer
from torchcaffe.layer_types.recurrent_steps import Steps
from torchcaffe.layer_types.unrolled import Unrolled, lstm

_sigmoid_backward, _tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward


class LSTMSteps(Steps):
    """The hidden states are h and c."""

    def __init__(self, settings: Context, steps: int, streams: int, size: int):
        super().__init__(settings, steps, streams, size)
        self._sums = self.empty(steps, streams, 4 * size)  # of the gates' inputs; then the gates i, f, o and g
        self._h, self._c = self.empty(steps + 1, streams, size), self.empty(steps + 1, streams, size)
        self._tanh_c, sums_diff = self.empty(steps, streams, size), self.empty(steps, streams, 4 * size)
        self._diffs = sums_diff, sums_diff.unflatten(2, (4, size)), sums_diff.chunk(4, 2)[2]  # all, by gate, those of o
        wide, self._wide_c = self.empty(streams, 4 * size).double(), self.empty(streams, size).double()
        self._wide = wide, *wide.split([3 * size, size], 1)
        self._gates = self._sums.chunk(4, 2)
        each = [self._h[1:], self._c[:-1], self._c[1:], self._tanh_c, self._sums, *self._gates]
        self._of_step = list(zip(*(tensor.unbind(0) for tensor in each), strict=True))

    def forward(
        self, params: list[Blob], inputs: list[torch.Tensor], before: list[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        self.begin(inputs[1])
        self.of_inputs(params, inputs, self._sums)
        weight = params[-1].value
        h = self._h[0].copy_(before[0][0])
        self._c[0].copy_(before[1][0])
        for t, (h_now, c_before, c, tanh_c, sums, i, f, o, g) in enumerate(self._of_step):
            add_linear(sums, self.goes_on(t, h), weight, sums)
            self._squash(sums)
            if not self.all_go_on[t]:
                f.mul_(self.conts[t])
            torch.mul(i, g, out=c).addcmul_(f, c_before)
            self._tanh(c, tanh_c)
            h = torch.mul(o, tanh_c, out=h_now)
        return self._h[1:].clone(), [self._h[-1:], self._c[-1:]]

    def _squash(self, sums: torch.Tensor) -> None:
        """Makes the sums gates."""
        wide, sigmoids, tanh = self._wide
        if self.exact:
            wide.copy_(sums)
            sigmoids.sigmoid_()
            tanh.tanh_()
            sums.copy_(wide)
        else:
            size = self.shape[2]
            sums.narrow(1, 0, 3 * size).sigmoid_()
            sums.narrow(1, 3 * size, size).tanh_()

    def _tanh(self, c: torch.Tensor, out: torch.Tensor) -> None:
        if self.exact:
            out.copy_(self._wide_c.copy_(c).tanh_())
        else:
            torch.tanh(c, out=out)

    def backward(
        self, params: list[Blob], inputs: list[torch.Tensor], diff: torch.Tensor, wanted: list[bool]
    ) -> list[torch.Tensor | None]:
        _, streams, size = self.shape
        of_step = [tensor.unbind(0) for tensor in (diff, *self._factors(), self._gates[1], *self._diffs)]
        weight, h_diff, c_diff = params[-1].value, self.empty(streams, size), self.empty(streams, 1, size)
        c_rows, sums_after = c_diff.view(streams, size), None
        c_rows.zero_()
        for t, step in reversed(list(enumerate(zip(*of_step, strict=True)))):
            h_now, of_h, of_sums, of_o, f, sums, sums_by_gate, sums_of_o = step
            if sums_after is not None:
                h_now = self.hidden_diff(t, h_now, weight, sums_after, h_diff)
            c_rows.addcmul_(h_now, of_h)
            torch.mul(of_sums, c_diff, out=sums_by_gate)
            torch.mul(of_o, h_now, out=sums_of_o)
            c_rows.mul_(f)
            sums_after = sums
        return self.gradients(params, inputs, self._h[:-1], self._diffs[0], wanted)

    def _factors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """For all timesteps: what the gradient of h is multiplied by for that of c; what that is multiplied by for
        those of the sums, (..., gate, size); and what that of h is multiplied by for o's, where that of c is wrong."""
        i, f, o, g = self._gates
        factors = torch.empty_like(self._sums)
        of_i, of_f, of_o, of_g = factors.chunk(4, 2)
        _sigmoid_backward(g, i, grad_input=of_i)
        _sigmoid_backward(self._c[:-1], f, grad_input=of_f)
        _sigmoid_backward(self._tanh_c, o, grad_input=of_o)
        _tanh_backward(i, g, grad_input=of_g)
        return _tanh_backward(o, self._tanh_c), factors.unflatten(2, (4, -1)), of_o


class LSTM(RecurrentLayer):
    """The blobs are W_xc (4 num_output, inputs), b_c (4 num_output,), with a static input W_xc_static, and W_hc
    (4 num_output, num_output); the gates are in the order i, f, o, g. The hidden states are h and c."""

    hidden = {"h_0": "h_{T}", "c_0": "c_T"}  # noqa: RUF012
    output = "h"
    steps_type = LSTMSteps

    def unroll(self, unrolled: Unrolled) -> None:
        lstm(unrolled)
