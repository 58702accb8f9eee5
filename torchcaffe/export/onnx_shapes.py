"""Layers that move values or pick some of them, in ONNX, and those that multiply by a matrix."""

import numpy as np

from caffeformat.caffeformat_pb2 import ReductionParameter
from torchcaffe.export.geometry import axis_or_dim, check_argmax
from torchcaffe.export.onnx_graph import OnnxGraph, writes
from torchcaffe.export.refusal import NeedsFixedBatch
from torchcaffe.export.trace import Step, Value, flexible_shape

_FLOAT, _INT64 = 1, 7  # ONNX's numbers of types


@writes("Flatten", "Reshape")
def reshape(step: Step, graph: OnnxGraph) -> None:
    graph.op("Reshape", [step.bottoms[0].name, graph.shape_of(step.tops[0], step.bottoms[0])], step.tops[0])


@writes("Concat")
def concat(step: Step, graph: OnnxGraph) -> None:
    axis = axis_or_dim(step, step.layer.param.concat_param, "concat_dim")
    graph.op("Concat", [bottom.name for bottom in step.bottoms], step.tops[0], axis=axis)


@writes("Slice")
def slice_(step: Step, graph: OnnxGraph) -> None:
    axis = axis_or_dim(step, step.layer.param.slice_param, "slice_dim")
    if step.bottoms[0].varies[axis]:
        raise NeedsFixedBatch("it cuts the batch into pieces")
    if len(step.tops) == 1:
        graph.op("Identity", [step.bottoms[0].name], step.tops[0])
        return
    sizes = graph.constant([top.shape[axis] for top in step.tops], "sizes")
    graph.node("Split", [step.bottoms[0].name, sizes], [top.name for top in step.tops], axis=axis)


@writes("Crop")
def crop(step: Step, graph: OnnxGraph) -> None:
    param, bottom, top = step.layer.param.crop_param, step.bottoms[0], step.tops[0]
    axes = range(param.axis % len(bottom.shape), len(bottom.shape))
    offsets = list(param.offset) or [0]
    offsets = offsets * len(axes) if len(offsets) == 1 else offsets
    sizes = [zip(value.shape, value.varies, strict=True) for value in (bottom, top)]
    same = [a == b for a, b in zip(*sizes, strict=True)]
    cut = [(axis, start) for axis, start in zip(axes, offsets, strict=True) if not same[axis]]
    if any(bottom.varies[axis] or top.varies[axis] for axis, _ in cut):
        raise NeedsFixedBatch("it crops the batch")
    if not cut:
        graph.op("Identity", [bottom.name], top)
        return
    starts = [start for _, start in cut]
    ends = [start + top.shape[axis] for axis, start in cut]
    limits = [graph.constant(starts, "starts"), graph.constant(ends, "ends")]
    graph.op("Slice", [bottom.name, *limits, graph.constant([axis for axis, _ in cut], "axes")], top)


@writes("InnerProduct")
def inner_product(step: Step, graph: OnnxGraph) -> None:
    param, bottom, top = step.layer.param.inner_product_param, step.bottoms[0], step.tops[0]
    axis = param.axis % len(bottom.shape)
    if any(bottom.varies[axis:]):
        raise NeedsFixedBatch("it multiplies the whole batch with its weights")
    x = bottom.name
    if not (axis == 1 and len(bottom.shape) == 2):
        x = graph.op("Flatten", [x], axis=axis)
    inputs = [x, *(graph.weights(step, index) for index in range(len(step.layer.blobs)))]
    target = top if axis == 1 else None
    y = graph.op("Gemm", inputs, target, transB=0 if param.transpose else 1)
    if target is None:
        flat = (-1, param.num_output)
        made = Value("", "", flat, (any(bottom.varies[:axis]), False))
        graph.op("Reshape", [y, graph.constant(flexible_shape(top, made), "shape")], top)


@writes("Embed")
def embed(step: Step, graph: OnnxGraph) -> None:
    index = graph.op("Cast", [step.bottoms[0].name], to=_INT64)
    has_bias = len(step.layer.blobs) > 1
    rows = graph.op("Gather", [graph.weights(step, 0), index], None if has_bias else step.tops[0])
    if has_bias:
        graph.op("Add", [rows, graph.weights(step, 1)], step.tops[0])


@writes("BatchReindex")
def batch_reindex(step: Step, graph: OnnxGraph) -> None:
    index = graph.op("Cast", [step.bottoms[1].name], to=_INT64)
    graph.op("Gather", [step.bottoms[0].name, index], step.tops[0])


@writes("ArgMax")
def argmax(step: Step, graph: OnnxGraph) -> None:
    """Of equal values Caffe takes the last one first, TopK the first one: so it looks at them from the end."""
    check_argmax(step)
    param, x, bottom, top = step.layer.param.argmax_param, step.bottoms[0].name, step.bottoms[0], step.tops[0]
    axis = param.axis % len(bottom.shape) if param.HasField("axis") else 1
    if bottom.varies[axis]:
        raise NeedsFixedBatch("it looks for the largest value among the images of a batch")
    size = bottom.shape[axis] if param.HasField("axis") else int(np.prod(bottom.shape[1:]))
    if not param.HasField("axis") and len(bottom.shape) != 2:
        x = graph.op("Flatten", [x], axis=1)
    ends = [[size - 1], [-size - 1], [axis], [-1]]
    backwards = graph.op("Slice", [x, *(graph.constant(end, "backwards") for end in ends)])
    values, places = graph.new_name("values"), graph.new_name("places")
    graph.node("TopK", [backwards, graph.constant([param.top_k], "top_k")], [values, places], axis=axis)
    last = graph.constant([size - 1], "last")
    indices = graph.op("Cast", [graph.op("Sub", [last, places])], to=_FLOAT)
    if param.HasField("axis"):
        graph.op("Identity", [values if param.out_max_val else indices], top)
        return
    rows = [indices, values] if param.out_max_val else [indices]
    joined = graph.op("Concat", rows, axis=1) if len(rows) > 1 else rows[0]
    graph.op("Reshape", [joined, graph.shape_of(top, bottom)], top)


@writes("Tile")
def tile(step: Step, graph: OnnxGraph) -> None:
    param, axes = step.layer.param.tile_param, len(step.bottoms[0].shape)
    repeats = [param.tiles if index == param.axis % axes else 1 for index in range(axes)]
    graph.op("Tile", [step.bottoms[0].name, graph.constant(repeats, "repeats")], step.tops[0])


_REDUCTIONS = {
    ReductionParameter.SUM: "ReduceSum",
    ReductionParameter.ASUM: "ReduceSum",
    ReductionParameter.SUMSQ: "ReduceSum",
    ReductionParameter.MEAN: "ReduceMean",
}


@writes("Reduction")
def reduction(step: Step, graph: OnnxGraph) -> None:
    param, x, bottom = step.layer.param.reduction_param, step.bottoms[0].name, step.bottoms[0]
    axes = list(range(param.axis % len(bottom.shape), len(bottom.shape)))
    if param.operation == ReductionParameter.ASUM:
        x = graph.op("Abs", [x])
    elif param.operation == ReductionParameter.SUMSQ:
        x = graph.op("Mul", [x, x])
    last = step.tops[0] if param.coeff == 1 else None
    if param.operation == ReductionParameter.MEAN:
        y = graph.op("ReduceMean", [x], last, axes=axes, keepdims=0)
    else:
        y = graph.op("ReduceSum", [x, graph.constant(axes, "axes")], last, keepdims=0)
    if last is None:
        graph.op("Mul", [y, graph.constant(np.float32(param.coeff), "coeff")], step.tops[0])


@writes("Parameter")
def parameter(step: Step, graph: OnnxGraph) -> None:
    graph.op("Identity", [graph.weights(step, 0)], step.tops[0])
