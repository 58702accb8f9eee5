"""RNN: a recurrent layer of tanh.

Source followed: BVLC Caffe's rnn_layer.cpp.
"""

import torch

from torchcaffe.common.context import Context
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.loss import correctly_rounded
from torchcaffe.layer_types.products import add_linear, linear
from torchcaffe.layer_types.recurrent import RecurrentLayer
from torchcaffe.layer_types.recurrent_steps import Steps
from torchcaffe.layer_types.unrolled import Unrolled, rnn

_tanh_backward = torch.ops.aten.tanh_backward


class RNNSteps(Steps):
    """The hidden state is h."""

    def __init__(self, settings: Context, steps: int, streams: int, size: int):
        super().__init__(settings, steps, streams, size)
        self._sums, self._sums_diff = self.empty(steps, streams, size), self.empty(steps, streams, size)
        self._h, self._wide = self.empty(steps + 1, streams, size), self.empty(streams, size).double()
        self._of_step = list(zip(self._sums.unbind(0), self._h[1:].unbind(0), strict=True))

    def forward(
        self, params: list[Blob], inputs: list[torch.Tensor], before: list[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        self.begin(inputs[1])
        self.of_inputs(params, inputs, self._sums)
        weight, bias, of_output = params[-3].value, params[-1].value, params[-2].value
        h = self._h[0].copy_(before[0][0])
        for t, (sums, h_now) in enumerate(self._of_step):
            add_linear(sums, self.goes_on(t, h), weight, sums)
            h = self._tanh(sums, h_now)
        rows = self._h[1:].view(-1, self.shape[2])
        self._output = correctly_rounded(torch.tanh_, linear(rows, of_output, bias)).view(self.shape)
        return self._output.clone(), [self._h[-1:]]

    def _tanh(self, sums: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        if self.exact:
            return h.copy_(self._wide.copy_(sums).tanh_())
        return torch.tanh(sums, out=h)

    def backward(
        self, params: list[Blob], inputs: list[torch.Tensor], diff: torch.Tensor, wanted: list[bool]
    ) -> list[torch.Tensor | None]:
        steps, _, size = self.shape
        rows, output_diff = self._h[1:].view(-1, size), _tanh_backward(diff, self._output).view(-1, size)
        params[-2].add_product(output_diff.t(), rows)
        params[-1].add_gradient(output_diff.sum(0))
        of_step = linear(output_diff, params[-2].value.t()).view(self.shape).unbind(0)
        sums, weight, after = self._sums_diff.unbind(0), params[-3].value, None
        for t in range(steps - 1, -1, -1):
            h_diff = of_step[t]
            if after is not None:
                self.hidden_diff(t, h_diff, weight, after, h_diff)
            after = _tanh_backward(h_diff, self._of_step[t][1], grad_input=sums[t])
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
