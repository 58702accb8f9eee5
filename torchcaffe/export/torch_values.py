"""Layers that work value by value, or combine bottoms or parameters by broadcasting, as lines of PyTorch code."""

import numpy as np

from caffeformat.caffeformat_pb2 import EltwiseParameter
from torchcaffe.export.refusal import NeedsFixedBatch
from torchcaffe.export.torch_source import TorchSource, number, writes
from torchcaffe.export.trace import Step

_PLAIN = {"AbsVal": "{0}.abs()", "Sigmoid": "{0}.sigmoid()", "TanH": "{0}.tanh()"}


@writes(*_PLAIN)
def plain(step: Step, source: TorchSource) -> None:
    source.line(step, _PLAIN[step.layer.type])


@writes("BNLL")
def bnll(step: Step, source: TorchSource) -> None:
    source.module(step, "nn.Softplus(threshold=50)")


@writes("Dropout")
def dropout(step: Step, source: TorchSource) -> None:
    source.module(step, f"nn.Dropout({number(step.layer.param.dropout_param.dropout_ratio)})")


@writes("ReLU")
def relu(step: Step, source: TorchSource) -> None:
    slope = step.layer.param.relu_param.negative_slope
    source.module(step, f"nn.LeakyReLU({number(slope)})" if slope else "nn.ReLU()")


@writes("PReLU")
def prelu(step: Step, source: TorchSource) -> None:
    slopes = step.weights(0).reshape(-1)
    source.weights(step, source.module(step, f"nn.PReLU({len(slopes)})"), 0, "weight", slopes)


@writes("ELU")
def elu(step: Step, source: TorchSource) -> None:
    source.module(step, f"nn.ELU({number(step.layer.param.elu_param.alpha)})")


@writes("Threshold")
def threshold(step: Step, source: TorchSource) -> None:
    limit = number(step.layer.param.threshold_param.threshold)
    source.line(step, f"({{0}} > {limit}).to({{0}}.dtype)")


def _affine(scale: float, shift: float) -> str:
    text = "{0}" if scale == 1 else f"{number(scale)} * {{0}}"
    return f"{text} + {number(shift)}" if shift else text


@writes("Power")
def power(step: Step, source: TorchSource) -> None:
    param = step.layer.param.power_param
    inner = _affine(0.0 if param.power == 0 else param.scale, param.shift)
    if param.power != 1:
        inner = f"({inner}) ** {number(param.power)}" if inner != "{0}" else f"{{0}} ** {number(param.power)}"
    source.line(step, inner)


@writes("Exp")
def exp(step: Step, source: TorchSource) -> None:
    param = step.layer.param.exp_param
    log_base = 1.0 if param.base == -1 else float(np.log(param.base))
    source.line(step, f"({_affine(log_base * param.scale, log_base * param.shift)}).exp()")


@writes("Log")
def log(step: Step, source: TorchSource) -> None:
    param = step.layer.param.log_param
    divided = "" if param.base == -1 else f" / {number(np.log(param.base))}"
    source.line(step, f"({_affine(param.scale, param.shift)}).log(){divided}")


@writes("Softmax")
def softmax(step: Step, source: TorchSource) -> None:
    source.module(step, f"nn.Softmax({step.layer.param.softmax_param.axis % len(step.bottoms[0].shape)})")


@writes("Scale", "Bias")
def scale(step: Step, source: TorchSource) -> None:
    layer, is_scale = step.layer, step.layer.type == "Scale"
    param = layer.param.scale_param if is_scale else layer.param.bias_param
    has_bias = is_scale and layer.param.scale_param.bias_term
    axes = len(step.bottoms[0].shape)
    axis = param.axis % max(1, axes)
    if len(step.bottoms) > 1:
        other = step.bottoms[1].shape
        missing = axes - axis - len(other) if other else 0
        operand = "{1}" + f"[(...,{' None,' * missing})]" * bool(missing)
        text = f"{{0}} {'*' if is_scale else '+'} {operand}"
        if has_bias:
            shape = _learned_shape(step, 0, axis)
            name = source.module(step, f"{source.part('Bias')}({shape})", call="")
            source.weights(step, name, 0, "bias", step.weights(0).reshape(shape))
            text = f"self.{name}({text})"
        source.line(step, text)
        return
    shape = _learned_shape(step, 0, axis)
    part = source.part(layer.type)
    name = source.module(step, f"{part}({shape}, bias={has_bias})" if is_scale else f"{part}({shape})")
    source.weights(step, name, 0, "weight" if is_scale else "bias", step.weights(0).reshape(shape))
    if has_bias:
        source.weights(step, name, 1, "bias", step.weights(1).reshape(shape))


def _learned_shape(step: Step, index: int, axis: int) -> tuple[int, ...]:
    """The shape of a parameter with 1 for the axes behind its own."""
    shape, bottom = tuple(step.layer.blobs[index].shape), step.bottoms[0]
    if any(bottom.varies[axis : axis + len(shape)]):
        raise NeedsFixedBatch("its parameters are as many as the images of a batch")
    return (*shape, *[1] * (len(bottom.shape) - axis - len(shape))) if shape else ()


@writes("Eltwise")
def eltwise(step: Step, source: TorchSource) -> None:
    param, count = step.layer.param.eltwise_param, len(step.bottoms)
    if param.operation == EltwiseParameter.MAX:
        text = "{0}"
        for index in range(1, count):
            text = f"torch.maximum({text}, {{{index}}})"
    elif param.operation == EltwiseParameter.PROD:
        text = " * ".join(f"{{{index}}}" for index in range(count))
    else:
        coeff = list(param.coeff) or [1.0] * count
        text = " + ".join(f"{{{i}}}" if c == 1 else f"{number(c)} * {{{i}}}" for i, c in enumerate(coeff))
    source.line(step, text)


@writes("Clip")
def clip(step: Step, source: TorchSource) -> None:
    """With `min` above `max`, Caffe's layer gives `min`, one call of clamp `max`."""
    param = step.layer.param.clip_param
    least, most = number(param.min), number(param.max)
    source.line(
        step, f"{{0}}.clamp({least}, {most})" if param.min <= param.max else f"{{0}}.clamp(max={most}).clamp({least})"
    )


@writes("Swish")
def swish(step: Step, source: TorchSource) -> None:
    source.line(step, f"{{0}} * ({_affine(step.layer.param.swish_param.beta, 0)}).sigmoid()")
