"""LSTM, RNN and LSTMUnit in ONNX.

LSTM and RNN are a Scan, whose body computes one timestep: ONNX's own LSTM and RNN cannot begin a sequence in the middle
of a batch, as `cont` does. The graph is as small for a hundred timesteps as for one, and the streams may be any number.
"""

from onnx import GraphProto, TensorProto, ValueInfoProto, helper

from torchcaffe.export.hidden_states import static_input
from torchcaffe.export.onnx_graph import BATCH, OnnxGraph, writes
from torchcaffe.export.refusal import NeedsFixedBatch
from torchcaffe.export.trace import Step, Value, flexible_shape


@writes("LSTM", "RNN")
def recurrent(step: Step, graph: OnnxGraph) -> None:
    """The products of all inputs with their weights come before the Scan, and those of all hidden values with the
    weights of an RNN's outputs behind it, as in Caffe."""
    is_lstm, size = step.layer.type == "LSTM", step.layer.param.recurrent_param.num_output
    (x, cont), width = step.bottoms[:2], 4 * size if is_lstm else size
    weights = [graph.weights(step, index) for index in range(len(step.layer.blobs))]
    sums = _of_all_timesteps(graph, x.name, x, weights[:2], width)
    has_static = static_input(step.layer.param) is not None
    if has_static:
        static = step.bottoms[2]
        if any(static.varies[1:]):
            raise NeedsFixedBatch("it multiplies the whole batch with its weights")
        product = graph.op("Gemm", [graph.op("Flatten", [static.name], axis=1), weights[2]], transB=1)
        sums = graph.op("Add", [sums, product])
    first = graph.constant([0], "axis")
    before = [graph.op("Squeeze", [value.name, first]) for value in step.bottoms[2 + has_static :]]
    after = [graph.new_name("after") for _ in before]
    streams = BATCH if cont.varies[1] else cont.shape[1]
    outputs = step.tops[0].name if is_lstm else graph.new_name("h")
    body = _timestep(graph, is_lstm, size, width, streams, weights[2 + has_static])
    graph.node("Scan", [*before, sums, cont.name], [*after, outputs], body=body, num_scan_inputs=2)
    for name, top in zip(after, step.tops[1:], strict=True):
        graph.op("Unsqueeze", [name, first], top)
    if not is_lstm:
        made = Value("", "", step.tops[0].shape, step.tops[0].varies)
        graph.op("Tanh", [_of_all_timesteps(graph, outputs, made, weights[-2:], size)], step.tops[0])


def _of_all_timesteps(graph: OnnxGraph, name: str, value: Value, weights: list[str], outputs: int) -> str:
    """The products with `weights` of a value (T, N, ...): (T, N, outputs)."""
    if any(value.varies[2:]):
        raise NeedsFixedBatch("it multiplies the whole batch with its weights")
    rows = graph.op("Gemm", [graph.op("Flatten", [name], axis=2), *weights], transB=1)
    flat = Value("", "", (-1, outputs), (any(value.varies), False))
    top = Value("", "", (*value.shape[:2], outputs), (*value.varies[:2], False))
    return graph.op("Reshape", [rows, graph.constant(flexible_shape(top, flat), "shape")])


def _timestep(graph: OnnxGraph, is_lstm: bool, size: int, width: int, streams: int | str, weights: str) -> GraphProto:
    """The body of the Scan: the hidden values before, and the sums and cont of a timestep, give those after."""
    h, c, sums, cont = (graph.new_name(name) for name in ("h", "c", "sums", "cont"))
    with graph.inner() as nodes:
        goes_on = graph.op("Unsqueeze", [cont, graph.constant([-1], "axis")])
        total = graph.op("Gemm", [graph.op("Mul", [h, goes_on]), weights, sums], transB=1)
        if is_lstm:
            c_after, h_after = _unit(graph, c, total, goes_on, size)
        else:
            h_after = graph.op("Tanh", [total])
        output = graph.op("Identity", [h_after])

    def described(*names: str) -> list[ValueInfoProto]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, [streams, size]) for name in names]

    given = [
        helper.make_tensor_value_info(sums, TensorProto.FLOAT, [streams, width]),
        helper.make_tensor_value_info(cont, TensorProto.FLOAT, [streams]),
    ]
    before, after = ([h, c], [h_after, c_after]) if is_lstm else ([h], [h_after])
    return helper.make_graph(nodes, "timestep", [*described(*before), *given], described(*after, output))


@writes("LSTMUnit")
def lstm_unit(step: Step, graph: OnnxGraph) -> None:
    c, gates, cont = step.bottoms
    goes_on = graph.op("Unsqueeze", [cont.name, graph.constant([-1], "axis")])
    _unit(graph, c.name, gates.name, goes_on, c.shape[-1], step.tops)


def _unit(
    graph: OnnxGraph, c: str, gates: str, goes_on: str, size: int, tops: list[Value] | None = None
) -> tuple[str, str]:
    """The cells and the outputs of a timestep, from the cells before and the inputs of the gates i, f, o, g."""
    c_top, h_top = tops or (None, None)
    sums = [graph.new_name(name) for name in "ifog"]
    graph.node("Split", [gates, graph.constant([size] * 4, "sizes")], sums, axis=-1)
    i, f, o = (graph.op("Sigmoid", [name]) for name in sums[:3])
    kept = graph.op("Mul", [graph.op("Mul", [f, goes_on]), c])
    cells = graph.op("Add", [graph.op("Mul", [i, graph.op("Tanh", [sums[3]])]), kept], c_top)
    return cells, graph.op("Mul", [o, graph.op("Tanh", [cells])], h_top)
