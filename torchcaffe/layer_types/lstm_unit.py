"""LSTMUnit: one timestep of an LSTM, from the inputs of its gates.

Source followed: BVLC Caffe's lstm_unit_layer.cpp.
"""

import torch

from torchcaffe.common import context
from torchcaffe.layer_types.base import Blob, Layer
from torchcaffe.layer_types.loss import correctly_rounded

_sigmoid_backward = torch.ops.aten.sigmoid_backward
_tanh_backward = torch.ops.aten.tanh_backward


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
        x, size = bottom[1].value, self._size
        wide = x.to(torch.float64 if context.is_exact(x) else x.dtype, copy=True)  # near 1 the last digit decides
        wide[..., : 3 * size].sigmoid_()
        wide[..., 3 * size :].tanh_()
        gates = wide.to(x.dtype)
        i, f, o, g = self._parts(gates)
        f.mul_(bottom[2].value[..., None])
        cells = (i * g).addcmul_(f, bottom[0].value)
        self._gates, self._tanh_c = gates, correctly_rounded(torch.tanh, cells)
        top[0].value, top[1].value = cells, o * self._tanh_c

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.check(not propagate_down[2], "Cannot backpropagate to sequence indicators.")
        if not any(propagate_down):
            return
        i, f, o, g = self._parts(self._gates)
        h_diff, tanh_c = top[1].gradient(), self._tanh_c
        c_diff = _tanh_backward(h_diff * o, tanh_c).add_(top[0].gradient())
        x_diff = torch.empty_like(self._gates)
        i_diff, f_diff, o_diff, g_diff = self._parts(x_diff)
        _sigmoid_backward(c_diff * g, i, grad_input=i_diff)
        _sigmoid_backward(c_diff * bottom[0].value, f, grad_input=f_diff)
        _sigmoid_backward(h_diff * tanh_c, o, grad_input=o_diff)
        _tanh_backward(c_diff * i, g, grad_input=g_diff)
        bottom[0].grad, bottom[1].grad = c_diff.mul_(f), x_diff

    def _parts(self, gates: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return gates.split(self._size, -1)
