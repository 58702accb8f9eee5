"""RNN: a recurrent layer of tanh.

Source followed: BVLC Caffe's rnn_layer.cpp.
"""

from torchcaffe.layer_types.recurrent import RecurrentLayer
from torchcaffe.layer_types.unrolled import Unrolled, rnn


class RNN(RecurrentLayer):
    """h = tanh(W_hh h + W_xh x + b_h), and the top is tanh(W_ho h + b_o).

    The blobs are W_xh, b_h, with a static input W_xh_static, W_hh, W_ho and b_o. The hidden state is h.
    """

    hidden = {"h_0": "h_{T}"}  # noqa: RUF012
    output = "o"

    def unroll(self, unrolled: Unrolled) -> None:
        rnn(unrolled)
