"""`torchcaffe export`: reads a net and its weights, writes it in another format, and checks what was written."""

import hashlib
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from caffeformat import FormatError, blobs
from caffeformat.caffeformat_pb2 import TEST, NetParameter, NetState
from torchcaffe.common import log
from torchcaffe.common.context import Context
from torchcaffe.common.log import Fatal
from torchcaffe.export import check, reference
from torchcaffe.export.hidden_states import expose
from torchcaffe.export.inference import InferenceNet, inference_net
from torchcaffe.export.input_shapes import parse_shapes, set_shapes
from torchcaffe.export.refusal import check_types
from torchcaffe.export.trace import Trace, trace
from torchcaffe.nets import reader
from torchcaffe.nets.net import Net
from torchcaffe.snapshots import weights

FORMATS = {  # and the packages that write and check them
    "onnx": ("onnx", "onnxruntime"),
    "pytorch": ("safetensors",),
    "safetensors": ("safetensors",),
}


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    model: Path
    caffemodel: Path
    to: str
    output: Path
    shape: str = ""
    preprocess: str = ""
    channels: str = ""
    pycaffe: str = ""
    level: int = 0
    stages: tuple[str, ...] = ()
    program: str = "torchcaffe"  # with its version


@dataclass
class Loaded:
    """A net that is ready to be exported: its layers, its weights, and inputs that the data layers gave."""

    options: Options
    inference: InferenceNet
    net: Net
    traced: Trace
    real: reference.Arrays

    @property
    def param(self) -> NetParameter:
        return self.inference.parsed.param

    def sizes(self) -> str:
        """The batch sizes that the exported net takes, in words. No folder of this machine is in them."""
        return self.traced.sizes().replace(str(self.options.model), self.options.model.name)

    def ask(self, param: NetParameter, cases: Sequence[reference.Case]) -> reference.Answers:
        """What the original computes: BVLC Caffe if it is at hand, else torchcaffe."""
        pycaffe = reference.find_pycaffe(self.options.pycaffe)
        return reference.ask(param, self.options.caffemodel, cases, pycaffe, self.options.program)

    def facts(self) -> dict[str, str]:
        """Where the net comes from, for the metadata of a file."""
        sha1 = hashlib.sha1(self.options.caffemodel.read_bytes(), usedforsecurity=False).hexdigest()
        facts = {
            "name": self.net.name,
            "net": self.options.model.name,
            "caffemodel": self.options.caffemodel.name,
            "sha1": sha1,
            "exported_by": self.options.program,
        }
        more = {"hidden_states": self.hidden_states(), "not_finite": ", ".join(self.not_finite())}
        return facts | {name: text for name, text in more.items() if text}

    def hidden_states(self) -> str:
        """Which inputs hold what Caffe keeps from pass to pass, in words; empty without any."""
        pairs = [f"{before} the last {after}" for before, after in self.inference.states.items()]
        return f"of the first pass zeros, then {', '.join(pairs)}" if pairs else ""

    def not_finite(self) -> list[str]:
        """The parameter blobs that hold nan or infinite values, as conv1/0."""
        return [
            f"{layer.name}/{index}"
            for layer in self.net.layers
            for index, blob in enumerate(layer.blobs)
            if not bool(blob.value.isfinite().all())
        ]

    def left_out(self) -> list[str]:
        """A line that names the layers of the phase TRAIN alone, if there are any."""
        names = ", ".join(self.inference.in_training)
        return [f"without the layers that only the phase TRAIN has: {names}"] if names else []

    def notes(self) -> list[str]:
        """Lines about hidden states, layers that are not there, and weights that no net should have."""
        states, found = self.hidden_states(), self.not_finite()
        wrong = f"{self.options.caffemodel}: values that are not finite, in {', '.join(found)}; train the net again"
        told = [f"hidden states are inputs: {states}"] if states else []
        return [*told, *self.left_out(), *([wrong] if found else [])]


def load(options: Options, types: Container[str] | None) -> Loaded:
    """Raises Fatal, for example for layers whose type is not among `types`."""
    parsed = reader.read(options.model)
    inference = inference_net(parsed, NetState(level=options.level, stage=options.stages))
    if types is not None:
        check_types(inference.parsed, types, options.to)
    try:
        arrays = blobs.read_caffemodel(options.caffemodel)
    except FormatError:
        arrays = {}  # an HDF5 file; what else is wrong, weights.load tells
    real = set_shapes(inference, parse_shapes(options.shape), arrays)
    net = Net(inference.parsed, NetState(phase=TEST), Context())
    exposed = expose(inference, net) if types is not None else inference
    if exposed is not inference:
        inference, net = exposed, Net(exposed.parsed, NetState(phase=TEST), Context())
        real |= {blob: np.zeros(net.by_name[blob].shape, np.float32) for blob in inference.states if real}
    _load_weights(net, options.caffemodel)
    traced = trace(net, inference.parsed, inference.outputs)
    return Loaded(options, inference, net, traced, real)


def _load_weights(net: Net, caffemodel: Path) -> None:
    """Raises Fatal if a layer gets none: Caffe would leave it as the fillers made it."""
    for layer in net.layers:
        for blob in layer.blobs:
            blob.value = torch.full_like(blob.value, float("nan"))
    weights.load(net, caffemodel)
    empty = [layer for layer in net.layers if any(b.count and bool(b.value.isnan().all()) for b in layer.blobs)]
    if empty:
        names = [layer.name for layer in net.layers]
        remedy = "name the caffemodel of this net"
        if any(names.count(layer.name) > 1 for layer in empty):
            remedy = "it is told by the layer's name, which another layer has, too: give each its own, and train again"
        what = ", ".join(f"layer '{layer.name}' ({layer.type})" for layer in empty)
        raise Fatal(f"{caffemodel}: no weights, or only nan, for {what}; {remedy}")


@contextmanager
def quiet() -> Iterator[None]:
    """Without Caffe's log lines about the building of a net."""
    before, log.Logger.enabled = log.Logger.enabled, False
    try:
        yield
    finally:
        log.Logger.enabled = before


def checked(loaded: Loaded, run: Callable[[reference.Case], reference.Arrays], what: str) -> tuple[check.Report, str]:
    """Compares the blobs that `run` computes with those of the original. Returns the report, and what it was held
    against. Raises Fatal if they are not the same."""
    made = check.cases(loaded.traced, loaded.real)
    answers = loaded.ask(loaded.param, [case for _, case in made])
    report = check.Report(notes=loaded.notes() + ([answers.note] if answers.note else []))
    indices = check.index_blobs(loaded.traced)
    for (name, case), right in zip(made, answers.cases, strict=True):

        def exact(case: reference.Case = case) -> reference.Arrays:
            return reference.compute(loaded.param, loaded.options.caffemodel, case, torch.float64)

        check.compare(report, run(case), right, exact, indices, f"{what}, {name}")
    return report, f"{answers.by}, on {' and '.join(dict.fromkeys(name for name, _ in made))}"
