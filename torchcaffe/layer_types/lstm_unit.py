"""LSTMUnit: one timestep of an LSTM, from the inputs of its gates.

Source followed: BVLC Caffe's lstm_unit_layer.cpp.
"""

import torch

from torchcaffe.common import context
from torchcaffe.layer_types.base import Blob, Layer
from torchcaffe.layer_types.tanh import tanh, tanh_

_sigmoid_backward, _tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward


class LSTMUnit(Layer):
    """The cells c and the outputs h, (1, N, D) each, of a timestep.

    The bottoms are the cells before, (1, N, D), the inputs of the gates i, f, o and g, (1, N, 4D), and whether each
    sequence goes on, (1, N): where that is 0, the cells before do not count. The last has no gradient.
    """

    n_bottoms = (3, 3)
    n_tops = (2, 2)
    saved_for_backward = ("_gates", "_tanh_c")

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index != 2

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        for blob, axes in zip(bottom, (3, 3, 2), strict=True):
            fits = len(blob.shape) == axes and blob.shape[0] == 1 and blob.shape[1] == bottom[0].shape[1]
            found = f"'{blob.name}' is of {blob.shape}"
            self.check(fits, f"takes bottoms of (1, N, D), (1, N, 4 D) and (1, N); {found}")
        self._size = bottom[0].shape[2]
        gates = f"'{bottom[1].name}' has {bottom[1].shape[2]} inputs of gates for {self._size} cells; 4 each are needed"
        self.check(bottom[1].shape[2] == 4 * self._size, gates)
        for blob in top:
            blob.reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[1].value
        wide = x.to(torch.float64 if context.is_exact(x) else x.dtype, copy=True)  # near 1 the last digit decides
        self._sigmoids(wide).sigmoid_()
        tanh_(self._tanh(wide))
        self._gates = wide.to(x.dtype)
        i, f, o, g = self._gates.chunk(4, -1)
        f.mul_(bottom[2].value.unsqueeze(-1))
        cells = (i * g).addcmul_(f, bottom[0].value)
        self._tanh_c = tanh(cells)
        top[0].value, top[1].value = cells, o * self._tanh_c

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.check(not propagate_down[2], "Cannot backpropagate to sequence indicators.")
        if not any(propagate_down):
            return
        i, f, o, g = self._gates.chunk(4, -1)
        h_diff, tanh_c = top[1].gradient(), self._tanh_c
        c_diff = _tanh_backward(h_diff * o, tanh_c).add_(top[0].gradient())
        x_diff = torch.empty_like(self._gates)
        i_diff, f_diff, o_diff, g_diff = x_diff.chunk(4, -1)
        torch.mul(c_diff, g, out=i_diff)
        torch.mul(c_diff, bottom[0].value, out=f_diff)
        torch.mul(h_diff, tanh_c, out=o_diff)
        torch.mul(c_diff, i, out=g_diff)
        sigmoids_diff = self._sigmoids(x_diff)
        _sigmoid_backward(sigmoids_diff, self._sigmoids(self._gates), grad_input=sigmoids_diff)
        _tanh_backward(g_diff, g, grad_input=g_diff)
        bottom[0].grad, bottom[1].grad = c_diff.mul_(f), x_diff

    def _sigmoids(self, gates: torch.Tensor) -> torch.Tensor:
        """The gates i, f and o, side by side."""
        return gates.narrow(-1, 0, 3 * self._size)

    def _tanh(self, gates: torch.Tensor) -> torch.Tensor:
        """The gate g."""
        return gates.narrow(-1, 3 * self._size, self._size)
