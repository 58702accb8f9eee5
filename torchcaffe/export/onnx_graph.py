"""An ONNX graph that grows layer by layer, and the registry of the functions that write layers into it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from torchcaffe.common.blob import Blob
from torchcaffe.export.preprocessing import Preprocessing
from torchcaffe.export.trace import Step, Trace, Value, flexible_shape

OPSET = 13  # of 2020: every present runtime reads it, and it has all that Caffe's layers need
IR_VERSION = 7
BATCH = "N"

Writer = Callable[[Step, "OnnxGraph"], None]
WRITERS: dict[str, Writer] = {}  # by the layer's type


def writes(*types: str) -> Callable[[Writer], Writer]:
    """Registers a function that writes layers of these types."""

    def register(writer: Writer) -> Writer:
        WRITERS.update(dict.fromkeys(types, writer))
        return writer

    return register


class OnnxGraph:
    """The nodes and constants of a net. Values have Caffe's blob names, constants `conv1/0` and the like."""

    def __init__(self, trace: Trace):
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._trace = trace
        self._prefix = ""  # the name of the layer that is written
        self._instead: dict[str, str] = {}  # input -> the value that is read in its place
        self._taken = {value.name for step in trace.steps for value in (*step.bottoms, *step.tops)}
        self._of_blob: dict[int, str] = {}  # id() of a parameter blob -> its constant
        self._node_names: set[str] = set()

    def add(self, step: Step) -> None:
        """Writes a step. Raises Refused or NeedsFixedBatch."""
        self._prefix = step.layer.name
        if step.is_copy:
            self.op("Reshape", [step.bottoms[0].name, self.shape_of(step.tops[0], step.bottoms[0])], step.tops[0])
        else:
            WRITERS[step.layer.type](step, self)

    def preprocess(self, preprocessing: Preprocessing) -> None:
        """Puts these nodes behind an input: whatever reads the input reads their result."""
        blob = x = preprocessing.blob
        self._prefix = f"{blob}/preprocess"
        if preprocessing.rgb:
            x = self.op("Gather", [x, self.constant([2, 1, 0], "bgr")], axis=1)
        if preprocessing.mean is not None:
            x = self.op("Sub", [x, self.constant(preprocessing.mean, "mean")])
        if preprocessing.scale != 1:
            x = self.op("Mul", [x, self.constant(np.float32(preprocessing.scale), "scale")])
        self._instead[blob] = x

    def op(self, op_type: str, inputs: Sequence[str], top: Value | None = None, **attributes: Any) -> str:
        """Adds a node with one output, and returns its name: that of `top`, or a new one."""
        output = top.name if top else self._new(f"{self._prefix}/{op_type}")
        self.node(op_type, inputs, [output], **attributes)
        return output

    def node(self, op_type: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        name = self._prefix
        while name in self._node_names:
            name += "_"
        self._node_names.add(name)
        inputs = [self._instead.get(value, value) for value in inputs]
        self.nodes.append(helper.make_node(op_type, inputs, outputs, name=name, **attributes))

    @contextmanager
    def inner(self) -> Iterator[list[NodeProto]]:
        """The nodes that are added inside are in the list, for the body of a loop; constants are the graph's own."""
        outer, self.nodes = self.nodes, []
        try:
            yield self.nodes
        finally:
            self.nodes = outer

    def new_name(self, what: str) -> str:
        """A name for a value between the nodes of a layer."""
        return self._new(f"{self._prefix}/{what}")

    def constant(self, array: np.ndarray | np.floating | Sequence[int] | float, what: str) -> str:
        """Adds a constant: floats are float32, lists of integers int64. Returns its name."""
        value = np.asarray(array)
        value = value.astype(np.float32 if value.dtype.kind == "f" else np.int64)
        name = self._new(f"{self._prefix}/{what}")
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def weights(self, step: Step, index: int, shape: tuple[int, ...] | None = None) -> str:
        """The constant with parameter blob `index`, once for all layers that share it; in another `shape` if given."""
        blob: Blob = step.layer.blobs[index]
        if shape is not None:
            return self.constant(step.weights(index).reshape(shape), str(index))
        if id(blob) not in self._of_blob:
            self._of_blob[id(blob)] = self.constant(step.weights(index), str(index))
        return self._of_blob[id(blob)]

    def shape_of(self, top: Value, bottom: Value) -> str:
        """The constant with which Reshape makes `top` of `bottom`. Raises NeedsFixedBatch."""
        return self.constant(flexible_shape(top, bottom), "shape")

    def _new(self, name: str) -> str:
        free, number = name, 1
        while free in self._taken:
            number += 1
            free = f"{name}.{number}"
        self._taken.add(free)
        return free
