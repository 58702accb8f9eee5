"""The source of a PyTorch module that grows layer by layer, and the registry of the functions that write layers."""

import builtins
import inspect
import keyword
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from textwrap import indent

import numpy as np
from torch import nn

from torchcaffe.export import parts
from torchcaffe.export.refusal import Refused
from torchcaffe.export.trace import Step, Value, flexible_shape
from torchcaffe.nets.params import Params

Writer = Callable[[Step, "TorchSource"], None]
WRITERS: dict[str, Writer] = {}  # by the layer's type

_TEMPLATE = '''"""{title}

    from net import Net
    net = Net()                   # in eval mode, as Caffe's phase TEST; net.train() switches dropout and BatchNorm
    {results} = net({arguments})
    net.blobs({arguments})        # all blobs, by Caffe's names: the scores before a softmax, to train on, or features

{inputs}

{facts}
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
{functional}{parts}

class Net(nn.Module):
    def __init__(self, weights: str | Path | None = Path(__file__).with_name("weights.safetensors")):
        super().__init__()
{modules}
        if weights is not None:
            self.load_state_dict(load_file(weights))
        self.eval()

    def forward(self, {signature}):
        b = self.blobs({arguments})
        return {returned}

    def blobs(self, {signature}) -> dict[str, torch.Tensor]:
        b = {blobs}
{lines}
        return b
{groups}'''


def writes(*types: str) -> Callable[[Writer], Writer]:
    """Registers a function that writes layers of these types."""

    def register(writer: Writer) -> Writer:
        WRITERS.update(dict.fromkeys(types, writer))
        return writer

    return register


class TorchSource:
    """`params` are the net's. `state` has the arrays of weights.safetensors. `gradients` has, for each parameter, the
    layer, the index of its blob, its key in `state`, and whether it is transposed there."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self.state: dict[str, np.ndarray] = {}
        self.gradients: list[tuple[str, int, str, bool]] = []
        self._arguments: dict[str, str] = {}  # input -> the name of forward's argument
        self._modules: list[str] = []
        self._lines: list[str] = []
        self._parts: dict[str, None] = {}
        self._names: set[str] = {"b", "self", "weights"}
        self._owners: dict[int, tuple[str, bool]] = {}  # id() of a parameter -> its key, and whether it is transposed
        self._multipliers: dict[str, tuple[float, float]] = {}

    def add(self, step: Step) -> None:
        """Writes a step. Raises Refused."""
        if step.is_copy:
            self.reshape(step)
        else:
            WRITERS[step.layer.type](step, self)

    def module(self, step: Step, code: str, call: str = "{module}({0})") -> str:
        """Adds the module `code` under the layer's name, and a line for each top. Returns its name."""
        name = self._name(step.layer.name)
        self._modules.append(f"self.{name} = {code}")
        if call:
            for bottom, top in zip(step.bottoms, step.tops, strict=True):
                self._assign([top], call.format(_blob(bottom), module=f"self.{name}"))
        return name

    def line(self, step: Step, expression: str) -> None:
        """Adds a line that computes the tops from the bottoms {0}, {1}, ..."""
        self._assign(step.tops, expression.format(*map(_blob, step.bottoms)))

    def reshape(self, step: Step) -> None:
        """Adds a line that makes the top of the bottom, of any batch size."""
        sizes = flexible_shape(step.tops[0], step.bottoms[0])
        self.line(step, f"{{0}}.reshape({', '.join('{0}.shape[0]' if size == 0 else str(size) for size in sizes)})")

    def raw_line(self, text: str) -> None:
        self._lines.append(text)

    def part(self, name: str) -> str:
        """Uses a class or function of parts.py. Returns its name."""
        self._parts[name] = None
        return name

    def weights(
        self, step: Step, module: str, index: int, name: str, array: np.ndarray, transposed: bool = False
    ) -> None:
        """Sets `name` of a module to `array`, made of parameter blob `index`, which layers may share.

        Raises Refused if another module has it transposed, or in another shape: one tensor cannot be both.
        """
        key = f"{module}.{name}"
        self.state[key] = np.ascontiguousarray(array)
        self.gradients.append((step.layer.name, index, key, transposed))
        param = self._params.of(step.layer, index)
        if id(param) in self._owners:
            owner, is_transposed = self._owners[id(param)]
            if array.shape != self.state[owner].shape or transposed != is_transposed:
                raise Refused(f"it shares blob {index} with {owner}, but transposed or in another shape")
            self._modules.append(f"self.{key} = self.{owner}")
        else:
            self._owners[id(param)] = key, transposed
            if index < len(step.layer.param.param):
                self._multipliers[key] = (param.lr_mult, param.decay_mult)

    def buffer(self, key: str, array: np.ndarray) -> None:
        self.state[key] = array

    def text(self, title: str, inputs: Sequence[Value], outputs: Sequence[Value], facts: Sequence[str]) -> str:
        for value in inputs:
            if value.blob not in self._arguments:
                self._arguments[value.blob] = self._name(value.blob)
        arguments = [self._arguments[value.blob] for value in inputs]
        returned = [f"b[{value.blob!a}]" for value in outputs]
        sources = [inspect.getsource(getattr(parts, name)) for name in self._parts]
        uses_functional = any("F." in source for source in sources)
        shapes = []
        for argument, value in zip(arguments, inputs, strict=True):
            sizes = ("N" if varies else str(size) for size, varies in zip(value.shape, value.varies, strict=True))
            shapes.append(f"{argument}: float32, ({', '.join(sizes)})")
        return _TEMPLATE.format(
            title=_plain(title),
            results="y" if len(outputs) == 1 else ", ".join(f"y{index}" for index, _ in enumerate(outputs, 1)),
            arguments=", ".join(arguments),
            signature=", ".join(f"{argument}: torch.Tensor" for argument in arguments),
            inputs="\n".join(shapes),
            facts="\n".join(map(_plain, facts)),
            functional="from torch.nn import functional as F\n" if uses_functional else "",
            parts="".join(f"\n\n{source.rstrip()}\n" for source in sources),
            modules=indent("\n".join(self._modules), " " * 8) if self._modules else "        pass",
            returned=", ".join(returned),
            blobs="{" + ", ".join(f"{v.blob!a}: {a}" for v, a in zip(inputs, arguments, strict=True)) + "}",
            lines=indent("\n".join(self._lines), " " * 8),
            groups=self._groups(),
        )

    def _groups(self) -> str:
        """A method with the learning rates of the prototxt, if it has any."""
        if not self._multipliers:
            return ""
        table = "".join(
            f"            {key!r}: ({', '.join(map(number, pair))}),\n" for key, pair in self._multipliers.items()
        )
        return f'''
    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict]:
        """For torch.optim.SGD(net.parameter_groups(0.01, 0.0005), momentum=0.9): lr_mult and decay_mult as in Caffe."""
        multipliers = {{
{table}        }}
        return [
            {{"params": [p], "lr": lr * multipliers.get(name, (1, 1))[0],
             "weight_decay": weight_decay * multipliers.get(name, (1, 1))[1]}}
            for name, p in self.named_parameters()
        ]
'''

    def _assign(self, tops: Sequence[Value], expression: str) -> None:
        self._lines.append(f"{', '.join(map(_blob, tops))} = {expression}")

    def _name(self, name: str) -> str:
        """An identifier like `name` that neither Python, nor nn.Module, nor another layer uses."""
        free = re.sub(r"\W", "_", name, flags=re.ASCII) or "_"
        if free[0].isdigit() or free.startswith("__"):
            free = "layer_" + free.strip("_")
        while free in self._names or keyword.iskeyword(free) or hasattr(builtins, free) or hasattr(nn.Module(), free):
            free += "_"
        if free in ("blobs", "parameter_groups", "torch", "nn", "F", "Path", "load_file", "Net", "training"):
            free += "_"
        self._names.add(free)
        return free


def _blob(value: Value) -> str:
    """Escaped for str.format too, because names may hold braces."""
    return f"b[{value.blob!a}]"


def _plain(text: str) -> str:
    """`text` for a comment: nothing in it can end the comment."""
    return "".join(c if c.isprintable() and c not in '"\\' else "?" for c in text)


_exact: ContextVar[bool] = ContextVar("exact", default=False)


@contextmanager
def exact_numbers() -> Iterator[None]:
    """Code that is written inside has all digits, and float64 statistics: for a comparison in float64."""
    token = _exact.set(True)
    try:
        yield
    finally:
        _exact.reset(token)


def is_exact() -> bool:
    """Whether this is code for a comparison in float64."""
    return _exact.get()


def number(value: float) -> str:
    """A float32 in its shortest form, or inside `exact_numbers` with all digits."""
    text = repr(float(value)) if is_exact() else str(np.float32(value))
    return text if np.isfinite(value) else f'float("{text}")'
