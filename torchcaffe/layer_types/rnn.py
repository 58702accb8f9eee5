"""RNN: a recurrent layer of tanh.

Source followed: BVLC Caffe's rnn_layer.cpp.
"""

import numpy as np
import torch

from torchcaffe.common.context import Context
from torchcaffe.common.products import linear
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.recurrent import RecurrentLayer
from torchcaffe.layer_types.recurrent_steps import Array, Steps
from torchcaffe.layer_types.tanh import tanh
from torchcaffe.layer_types.unrolled import Unrolled, rnn


class RNNSteps(Steps):
    """The hidden state is h."""

    def __init__(self, settings: Context, steps: int, streams: int, size: int):
        super().__init__(settings, steps, streams, size)
        self._sums, self._sums_diff = self.empty(steps, streams, size), self.empty(steps, streams, size)
        self._h, self._wide = self.empty(steps + 1, streams, size), np.empty((streams, size))
        self._of_step = list(zip(self._sums, self._h[1:], strict=True))

    def forward(
        self, params: list[Blob], inputs: list[torch.Tensor], before: list[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        self.begin(inputs[1])
        self.of_inputs(params, inputs, self._sums)
        weight, bias, of_output = self.weight(params[-3].value), params[-1].value, params[-2].value
        h = self._h[0]
        h[...] = self.array(before[0][0])
        for t, (sums, h_now) in enumerate(self._of_step):
            weight.add_product(sums, self.goes_on(t, h), sums)
            h = self._tanh(sums, h_now)
        rows = self.tensor(self._h[1:]).view(-1, self.shape[2])
        self._output = tanh(linear(rows, of_output, bias)).view(self.shape)
        return self._output.clone(), [self.tensor(self._h[-1:])]

    def _tanh(self, sums: Array, h: Array) -> Array:
        if not self.exact:
            return torch.tanh(sums, out=h)
        self._wide[...] = sums
        h[...] = np.tanh(self._wide, out=self._wide)
        return h

    def backward(
        self, params: list[Blob], inputs: list[torch.Tensor], diff: torch.Tensor, wanted: list[bool]
    ) -> list[torch.Tensor | None]:
        steps, _, size = self.shape
        h = self._h[1:]
        rows = self.tensor(h).view(-1, size)
        output_diff = torch.ops.aten.tanh_backward(diff, self._output).view(-1, size)
        params[-2].add_product(output_diff.t(), rows)
        params[-1].add_gradient(output_diff.sum(0))
        of_h = self.array(linear(output_diff, params[-2].value.t()).view(self.shape))
        weight, factors, after = self.weight(params[-3].value.t()), 1 - h * h, None
        for t in range(steps - 1, -1, -1):
            h_diff = of_h[t]
            if after is not None:
                self.hidden_diff(t, h_diff, weight, after, h_diff)
            after = self.math.multiply(h_diff, factors[t], out=self._sums_diff[t])
        return self.gradients(params, inputs, self._h[:-1], self._sums_diff, wanted)


class RNN(RecurrentLayer):
    """h = tanh(W_hh h + W_xh x + b_h), and the top is tanh(W_ho h + b_o).

    The blobs are W_xh, b_h, with a static input W_xh_static, W_hh, W_ho and b_o. The hidden state is h.
    """

    hidden = {"h_0": "h_{T}"}  # noqa: RUF012
    output = "o"
    steps_type = RNNSteps

    def unroll(self, unrolled: Unrolled) -> None:
        rnn(unrolled)
