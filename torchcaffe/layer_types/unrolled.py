"""The layers that LSTM and RNN consist of: those of all timesteps, one after the other.

Source followed: FillUnrolledNet in BVLC Caffe's lstm_layer.cpp and rnn_layer.cpp. The names of layers, blobs and
parameters are Caffe's: the log of both has them.
"""

from caffeformat.caffeformat_pb2 import BlobShape, EltwiseParameter, LayerParameter, NetParameter, RecurrentParameter


class Unrolled:
    """Adds layers to `net`, an unrolled net for `param`: first its `inputs`, blobs x, cont and x_static with shapes."""

    def __init__(self, net: NetParameter, param: RecurrentParameter, inputs: dict[str, tuple[int, ...]]):
        self._net, self._param = net, param
        self.size, (self.steps, self.streams) = param.num_output, inputs["x"][:2]
        self.has_static = "x_static" in inputs
        self.input(inputs)

    def add(self, type_: str, name: str, bottoms: list[str], tops: list[str]) -> LayerParameter:
        layer = self._net.layer.add(name=name, type=type_, bottom=bottoms, top=tops)
        if type_ == "Slice":
            layer.slice_param.axis = 0
        elif type_ == "Scale":
            layer.scale_param.axis = 0
        elif type_ == "Concat":
            layer.concat_param.axis = 0
        elif type_ == "Eltwise":
            layer.eltwise_param.operation = EltwiseParameter.SUM
        return layer

    def input(self, blobs: dict[str, tuple[int, ...]]) -> None:
        layer = self._net.layer.add(type="Input", top=blobs)
        layer.input_param.shape.extend(BlobShape(dim=shape) for shape in blobs.values())

    def product(
        self, name: str, bottom: str, top: str, outputs: int, params: list[str], axis: int = 2
    ) -> LayerParameter:
        """An InnerProduct, with a bias if `params` names two."""
        layer = self.add("InnerProduct", name, [bottom], [top])
        settings = layer.inner_product_param
        settings.num_output, settings.bias_term, settings.axis = outputs, len(params) > 1, axis
        settings.weight_filler.CopyFrom(self._param.weight_filler)
        settings.weight_filler.SetInParent()
        if len(params) > 1:
            settings.bias_filler.CopyFrom(self._param.bias_filler)
            settings.bias_filler.SetInParent()
        for param in params:
            layer.param.add(name=param)
        return layer

    def of_inputs(self, outputs: int, kind: str, bias: str) -> tuple[LayerParameter, LayerParameter]:
        """The products of all inputs with their weights. Returns the two Slice layers, of cont and of the products, to
        which each timestep adds a top. `kind` is the ending of the names: xc for LSTM, xh for RNN."""
        cont_slice = self.add("Slice", "cont_slice", ["cont"], [])
        product = f"W_{kind}_x"
        self.product("x_transform", "x", product, outputs, [f"W_{kind}", bias]).propagate_down.append(True)
        if self.has_static:
            static = f"{product}_static"
            layer = self.product(static, "x_static", f"{static}_preshape", outputs, [f"W_{kind}_static"], axis=1)
            layer.propagate_down.append(True)
            reshape = self.add("Reshape", f"{static}_reshape", [f"{static}_preshape"], [static])
            reshape.reshape_param.shape.dim.extend([1, -1, outputs])
        return cont_slice, self.add("Slice", f"{product}_slice", [product], [])


def lstm(unrolled: Unrolled) -> None:
    """Adds the layers of an LSTM: for each timestep the sum of the gates' inputs, and an LSTMUnit."""
    size, steps = unrolled.size, unrolled.steps
    unrolled.input(dict.fromkeys(("c_0", "h_0"), (1, unrolled.streams, size)))
    cont_slice, x_slice = unrolled.of_inputs(4 * size, "xc", "b_c")
    static = ["W_xc_x_static"] if unrolled.has_static else []
    for t in range(1, steps + 1):
        cont_slice.top.append(f"cont_{t}")
        x_slice.top.append(f"W_xc_x_{t}")
        before = t - 1
        unrolled.add("Scale", f"h_conted_{before}", [f"h_{before}", f"cont_{t}"], [f"h_conted_{before}"])
        unrolled.product(f"transform_{t}", f"h_conted_{before}", f"W_hc_h_{before}", 4 * size, ["W_hc"])
        gates = f"gate_input_{t}"
        unrolled.add("Eltwise", gates, [f"W_hc_h_{before}", f"W_xc_x_{t}", *static], [gates])
        unrolled.add("LSTMUnit", f"unit_{t}", [f"c_{before}", gates, f"cont_{t}"], [f"c_{t}", f"h_{t}"])
    unrolled.add("Split", "", [f"c_{steps}"], ["c_T"])
    unrolled.add("Concat", "h_concat", [f"h_{t}" for t in range(1, steps + 1)], ["h"])


def rnn(unrolled: Unrolled) -> None:
    """Adds the layers of an RNN: for each timestep the hidden values, and from them the output."""
    size, steps = unrolled.size, unrolled.steps
    unrolled.input({"h_0": (1, unrolled.streams, size)})
    cont_slice, x_slice = unrolled.of_inputs(size, "xh", "b_h")
    static = ["W_xh_x_static"] if unrolled.has_static else []
    for t in range(1, steps + 1):
        cont_slice.top.append(f"cont_{t}")
        x_slice.top.append(f"W_xh_x_{t}")
        before = t - 1
        unrolled.add("Scale", f"h_conted_{before}", [f"h_{before}", f"cont_{t}"], [f"h_conted_{before}"])
        unrolled.product(f"W_hh_h_{before}", f"h_conted_{before}", f"W_hh_h_{before}", size, ["W_hh"])
        neuron = f"h_neuron_input_{t}"
        unrolled.add("Eltwise", f"h_input_sum_{t}", [f"W_hh_h_{before}", f"W_xh_x_{t}", *static], [neuron])
        unrolled.add("TanH", f"h_neuron_{t}", [neuron], [f"h_{t}"])
        unrolled.product(f"W_ho_h_{t}", f"h_{t}", f"W_ho_h_{t}", size, ["W_ho", "b_o"])
        unrolled.add("TanH", f"o_neuron_{t}", [f"W_ho_h_{t}"], [f"o_{t}"])
    unrolled.add("Concat", "o_concat", [f"o_{t}" for t in range(1, steps + 1)], ["o"])
