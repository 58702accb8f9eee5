"""LSTM: long short-term memory.

Source followed: BVLC Caffe's lstm_layer.cpp.
"""

from torchcaffe.layer_types.recurrent import RecurrentLayer
from torchcaffe.layer_types.unrolled import Unrolled, lstm


class LSTM(RecurrentLayer):
    """The blobs are W_xc (4 num_output, inputs), b_c (4 num_output,), with a static input W_xc_static, and W_hc
    (4 num_output, num_output); the gates are in the order i, f, o, g. The hidden states are h and c."""

    hidden = {"h_0": "h_{T}", "c_0": "c_T"}  # noqa: RUF012
    output = "h"

    def unroll(self, unrolled: Unrolled) -> None:
        lstm(unrolled)
