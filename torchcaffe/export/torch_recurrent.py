"""LSTM, RNN and LSTMUnit as lines of PyTorch code: a short class with a loop over the timesteps."""

from math import prod

from torchcaffe.export.hidden_states import static_input
from torchcaffe.export.torch_source import TorchSource, writes
from torchcaffe.export.trace import Step

_KEYS = {"LSTM": ("h.weight",), "RNN": ("h.weight", "o.weight", "o.bias")}


@writes("LSTM", "RNN")
def recurrent(step: Step, source: TorchSource) -> None:
    layer, x = step.layer, step.bottoms[0]
    has_static = static_input(layer.param) is not None
    sizes = [prod(x.shape[2:]), layer.param.recurrent_param.num_output]
    if has_static:
        sizes.append(prod(step.bottoms[2].shape[1:]))
    name = source.module(step, f"{source.part(layer.type)}({', '.join(map(str, sizes))})", call="")
    keys = ("x.weight", "x.bias", *(("static.weight",) if has_static else ()), *_KEYS[layer.type])
    for index, key in enumerate(keys):
        source.weights(step, name, index, key, step.weights(index))
    states = [f"{{{index}}}" for index in range(2 + has_static, len(step.bottoms))]
    arguments = ["{0}", "{1}", *states, *(["{2}"] if has_static else [])]
    source.line(step, f"self.{name}({', '.join(arguments)})")


@writes("LSTMUnit")
def lstm_unit(step: Step, source: TorchSource) -> None:
    source.line(step, f"{source.part('lstm_unit')}({{0}}, {{1}}, {{2}})")
