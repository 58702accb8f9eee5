"""Layers that work value by value in ONNX, and those that combine bottoms or parameters by broadcasting."""

import numpy as np

from caffeformat.caffeformat_pb2 import EltwiseParameter
from torchcaffe.export.onnx_graph import OnnxGraph, writes
from torchcaffe.export.refusal import NeedsFixedBatch
from torchcaffe.export.trace import Step, Value

_PLAIN = {
    "AbsVal": "Abs",
    "BNLL": "Softplus",
    "Dropout": "Identity",
    "Sigmoid": "Sigmoid",
    "TanH": "Tanh",
}


@writes(*_PLAIN)
def plain(step: Step, graph: OnnxGraph) -> None:
    graph.op(_PLAIN[step.layer.type], [step.bottoms[0].name], step.tops[0])


@writes("Split")
def split(step: Step, graph: OnnxGraph) -> None:
    for top in step.tops:
        graph.op("Identity", [step.bottoms[0].name], top)


@writes("ReLU")
def relu(step: Step, graph: OnnxGraph) -> None:
    slope, x = step.layer.param.relu_param.negative_slope, step.bottoms[0].name
    if slope:
        graph.op("LeakyRelu", [x], step.tops[0], alpha=slope)
    else:
        graph.op("Relu", [x], step.tops[0])


@writes("PReLU")
def prelu(step: Step, graph: OnnxGraph) -> None:
    spatial = len(step.bottoms[0].shape) - 2
    slopes = graph.weights(step, 0, (-1, *[1] * spatial))
    graph.op("PRelu", [step.bottoms[0].name, slopes], step.tops[0])


@writes("ELU")
def elu(step: Step, graph: OnnxGraph) -> None:
    graph.op("Elu", [step.bottoms[0].name], step.tops[0], alpha=step.layer.param.elu_param.alpha)


@writes("Threshold")
def threshold(step: Step, graph: OnnxGraph) -> None:
    limit = graph.constant(np.float32(step.layer.param.threshold_param.threshold), "threshold")
    graph.op("Cast", [graph.op("Greater", [step.bottoms[0].name, limit])], step.tops[0], to=1)


def _affine(graph: OnnxGraph, x: str, scale: float, shift: float, top: Value | None = None) -> str:
    """shift + scale * x, without the factors that change nothing."""
    if scale != 1 or not shift:
        x = graph.op("Mul", [x, graph.constant(np.float32(scale), "scale")], None if shift else top)
    return graph.op("Add", [x, graph.constant(np.float32(shift), "shift")], top) if shift else x


@writes("Power")
def power(step: Step, graph: OnnxGraph) -> None:
    param, top = step.layer.param.power_param, step.tops[0]
    if param.power == 1:
        _affine(graph, step.bottoms[0].name, param.scale, param.shift, top)
        return
    scale = 0.0 if param.power == 0 else param.scale  # Caffe does not look at x if the slope is 0
    inner = _affine(graph, step.bottoms[0].name, scale, param.shift)
    graph.op("Pow", [inner, graph.constant(np.float32(param.power), "power")], top)


@writes("Exp")
def exp(step: Step, graph: OnnxGraph) -> None:
    param = step.layer.param.exp_param
    log_base = 1.0 if param.base == -1 else float(np.log(param.base))
    inner = _affine(graph, step.bottoms[0].name, log_base * param.scale, log_base * param.shift)
    graph.op("Exp", [inner], step.tops[0])


@writes("Log")
def log(step: Step, graph: OnnxGraph) -> None:
    param = step.layer.param.log_param
    inner = _affine(graph, step.bottoms[0].name, param.scale, param.shift)
    if param.base == -1:
        graph.op("Log", [inner], step.tops[0])
        return
    divisor = graph.constant(np.float32(np.log(param.base)), "base")
    graph.op("Div", [graph.op("Log", [inner]), divisor], step.tops[0])


@writes("Softmax")
def softmax(step: Step, graph: OnnxGraph) -> None:
    axis = step.layer.param.softmax_param.axis % len(step.bottoms[0].shape)
    graph.op("Softmax", [step.bottoms[0].name], step.tops[0], axis=axis)


@writes("Eltwise")
def eltwise(step: Step, graph: OnnxGraph) -> None:
    param, names = step.layer.param.eltwise_param, [bottom.name for bottom in step.bottoms]
    if param.operation == EltwiseParameter.MAX:
        graph.op("Max", names, step.tops[0])
        return
    op = "Mul" if param.operation == EltwiseParameter.PROD else "Add"
    for index, coeff in enumerate(param.coeff):
        if coeff != 1:
            names[index] = graph.op("Mul", [names[index], graph.constant(np.float32(coeff), "coeff")])
    total = names[0]
    for index, name in enumerate(names[1:], 2):
        total = graph.op(op, [total, name], step.tops[0] if index == len(names) else None)


@writes("Scale", "Bias")
def scale(step: Step, graph: OnnxGraph) -> None:
    layer, x = step.layer, step.bottoms[0].name
    is_scale = layer.type == "Scale"
    has_bias = is_scale and layer.param.scale_param.bias_term
    op = "Mul" if is_scale else "Add"
    last = None if has_bias else step.tops[0]
    x = graph.op(op, [x, _operand(step, graph, 1 if len(step.bottoms) > 1 else 0)], last)
    if has_bias:
        graph.op("Add", [x, _learned(step, graph, len(layer.blobs) - 1)], step.tops[0])


def _operand(step: Step, graph: OnnxGraph, bottoms: int) -> str:
    if not bottoms:
        return _learned(step, graph, 0)
    other = step.bottoms[1]
    if not other.shape:
        return other.name
    missing = len(step.bottoms[0].shape) - _axis(step) - len(other.shape)
    if not missing:
        return other.name
    count = len(other.shape)
    return graph.op("Unsqueeze", [other.name, graph.constant(list(range(count, count + missing)), "axes")])


def _axis(step: Step) -> int:
    param = step.layer.param.scale_param if step.layer.type == "Scale" else step.layer.param.bias_param
    return int(param.axis) % max(1, len(step.bottoms[0].shape))


def _learned(step: Step, graph: OnnxGraph, index: int) -> str:
    """Parameter blob `index`, with 1 for the axes behind its own."""
    shape = tuple(step.layer.blobs[index].shape)
    missing = len(step.bottoms[0].shape) - _axis(step) - len(shape) if shape else 0
    if any(step.bottoms[0].varies[_axis(step) : _axis(step) + len(shape)]):
        raise NeedsFixedBatch("its parameters are as many as the images of a batch")
    return graph.weights(step, index, (*shape, *[1] * missing))


@writes("Clip")
def clip(step: Step, graph: OnnxGraph) -> None:
    """With `min` above `max`, Caffe's layer gives `min`, the operator Clip `max`."""
    param, x = step.layer.param.clip_param, step.bottoms[0].name
    least, most = (graph.constant(np.float32(value), name) for value, name in ((param.min, "min"), (param.max, "max")))
    if param.min <= param.max:
        graph.op("Clip", [x, least, most], step.tops[0])
    else:
        graph.op("Max", [graph.op("Min", [x, most]), least], step.tops[0])


@writes("Swish")
def swish(step: Step, graph: OnnxGraph) -> None:
    beta, x = step.layer.param.swish_param.beta, step.bottoms[0].name
    gate = graph.op("Sigmoid", [_affine(graph, x, beta, 0) if beta != 1 else x])
    graph.op("Mul", [x, gate], step.tops[0])
