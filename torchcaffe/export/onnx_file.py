"""An ONNX model of a traced net, and what onnxruntime computes with it."""

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, TensorProto, helper

from torchcaffe.common.log import Fatal
from torchcaffe.export import onnx_maps, onnx_recurrent, onnx_shapes, onnx_values  # noqa: F401  # they register their writers
from torchcaffe.export.onnx_graph import BATCH, IR_VERSION, OPSET, WRITERS, OnnxGraph
from torchcaffe.export.preprocessing import Preprocessing
from torchcaffe.export.refusal import NeedsFixedBatch, Refused, refuse
from torchcaffe.export.trace import Trace, Value

TYPES = WRITERS.keys()
_MOST = 2**31 - 2**20  # bytes of a protobuf message


def build(trace: Trace, preprocessing: Preprocessing | None = None) -> ModelProto:
    """The model. Raises Fatal with every layer that ONNX cannot express, NeedsFixedBatch for one that needs that."""
    graph = OnnxGraph(trace)
    if preprocessing:
        graph.preprocess(preprocessing)
    reasons = []
    for step in trace.steps:
        if step.layer.type == "Input":
            continue
        where = f"{step.layer.where}: layer '{step.layer.name}' ({step.layer.type})"
        try:
            graph.add(step)
        except Refused as reason:
            reasons.append(f"{where}: {reason}")
        except NeedsFixedBatch as reason:
            raise NeedsFixedBatch(f"{where}: {reason}") from None
    refuse(reasons, "onnx")
    if sum(len(constant.raw_data) for constant in graph.constants) > _MOST:
        raise Fatal("more than 2 GB of weights, which no ONNX file holds; export to safetensors or pytorch")
    inputs = [_described(value) for value in trace.inputs]
    outputs = [_described(value) for value in trace.outputs]
    made = helper.make_graph(graph.nodes, trace.name or "net", inputs, outputs, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    model.producer_name = "torchcaffe"
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise Fatal(f"the net gives no valid ONNX graph: {error}; nothing was written") from None
    return model


def _described(value: Value) -> onnx.ValueInfoProto:
    """Its name and shape: the first size that varies is the batch size, another one is left open."""
    sizes = [
        (BATCH if axis == value.batch_axis else None) if varies else size
        for axis, (size, varies) in enumerate(zip(value.shape, value.varies, strict=True))
    ]
    return helper.make_tensor_value_info(value.name, TensorProto.FLOAT, sizes)


def with_all_blobs(model: ModelProto, trace: Trace) -> ModelProto:
    """A copy of which every blob is an output."""
    copy = ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    made = {name for node in copy.graph.node for name in node.output}
    values = {value.name: value for value in trace.blobs.values() if value.name in made}
    copy.graph.output.extend(_described(value) for value in values.values())
    return copy


def run(model: ModelProto, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The model's outputs by name, computed by onnxruntime on the CPU. Raises Fatal if it cannot."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))
    except Exception as error:  # onnxruntime's errors have no common class of their own
        raise Fatal(f"onnxruntime cannot run the exported net: {error}; nothing was written") from None


def with_facts(model: ModelProto, facts: Mapping[str, str]) -> bytes:
    """The content of the file: the model with `facts` as its metadata."""
    helper.set_model_props(model, dict(facts))
    return model.SerializeToString(deterministic=True)
