"""Layers over maps (N, C, H, W) in ONNX: Convolution, Deconvolution, Im2col, Pooling, SPP, LRN, BatchNorm, MVN."""

from typing import Any

import numpy as np

from caffeformat.caffeformat_pb2 import LRNParameter, PoolingParameter, SPPParameter
from torchcaffe.export.geometry import ConvGeometry, PoolGeometry, statistics
from torchcaffe.export.onnx_graph import OnnxGraph, writes
from torchcaffe.export.trace import Step, Value


@writes("Convolution", "Deconvolution")
def convolution(step: Step, graph: OnnxGraph) -> None:
    geometry = ConvGeometry.of(step)
    weights = [graph.weights(step, index) for index in range(len(step.layer.blobs))]
    op = "ConvTranspose" if step.layer.type == "Deconvolution" else "Conv"
    for bottom, top in zip(step.bottoms, step.tops, strict=True):
        graph.op(
            op,
            [bottom.name, *weights],
            top,
            kernel_shape=geometry.kernel,
            strides=geometry.stride,
            pads=geometry.pad * 2,
            dilations=geometry.dilation,
            group=geometry.group,
        )


@writes("Pooling")
def pooling(step: Step, graph: OnnxGraph) -> None:
    """The windows are laid out by explicit pads, so that ceil_mode, which runtimes read differently, is not needed."""
    geometry, bottom = PoolGeometry.of(step), step.bottoms[0]
    size = {"kernel_shape": geometry.kernel, "strides": geometry.stride, "pads": geometry.pads}
    if step.layer.param.pooling_param.pool == PoolingParameter.MAX:
        places = graph.new_name("places") if len(step.tops) > 1 else None
        graph.node("MaxPool", [bottom.name], [step.tops[0].name, *([places] if places else [])], **size)
        if places:  # they count over all images and channels
            plane = graph.constant([bottom.shape[2] * bottom.shape[3]], "plane")
            graph.op("Cast", [graph.op("Mod", [places, plane])], step.tops[1], to=1)
        return
    if geometry.is_global:
        graph.op("GlobalAveragePool", [bottom.name], step.tops[0])
        return
    _means(graph, bottom.name, geometry, step.tops[0])


def _means(graph: OnnxGraph, x: str, geometry: PoolGeometry, top: Value | None) -> str:
    """Windows that reach beyond the padded border count only the places within it."""
    size: dict[str, Any] = {"kernel_shape": geometry.kernel, "strides": geometry.stride, "pads": geometry.pads}
    shares = geometry.cut_windows
    means = graph.op("AveragePool", [x], top if shares is None else None, count_include_pad=1, **size)
    if shares is None:
        return means
    return graph.op("Mul", [means, graph.constant(shares, "windows")], top)


@writes("SPP")
def spp(step: Step, graph: OnnxGraph) -> None:
    x, levels, rows = step.bottoms[0].name, PoolGeometry.of_levels(step), []
    for geometry in levels:
        last = step.tops[0] if len(levels) == 1 else None
        if step.layer.param.spp_param.pool == SPPParameter.MAX:
            size: dict[str, Any] = {"kernel_shape": geometry.kernel, "strides": geometry.stride, "pads": geometry.pads}
            rows.append(graph.op("MaxPool", [x], last, **size))
        else:
            rows.append(_means(graph, x, geometry, last))
    if len(levels) > 1:
        graph.op("Concat", [graph.op("Flatten", [row], axis=1) for row in rows], step.tops[0], axis=1)


@writes("Im2col")
def im2col(step: Step, graph: OnnxGraph) -> None:
    """A convolution of each channel alone, whose filters are 1 at one place of the window and 0 elsewhere."""
    geometry, channels = ConvGeometry.of(step), step.bottoms[0].shape[1]
    places = int(np.prod(geometry.kernel))
    filters = np.tile(np.eye(places, dtype=np.float32), (channels, 1)).reshape(-1, 1, *geometry.kernel)
    graph.op(
        "Conv",
        [step.bottoms[0].name, graph.constant(filters, "places")],
        step.tops[0],
        kernel_shape=geometry.kernel,
        strides=geometry.stride,
        pads=geometry.pad * 2,
        dilations=geometry.dilation,
        group=channels,
    )


@writes("LRN")
def lrn(step: Step, graph: OnnxGraph) -> None:
    param, x = step.layer.param.lrn_param, step.bottoms[0].name
    if param.norm_region == LRNParameter.ACROSS_CHANNELS:
        graph.op("LRN", [x], step.tops[0], alpha=param.alpha, beta=param.beta, bias=param.k, size=param.local_size)
        return
    size, half = param.local_size, param.local_size // 2
    squares = graph.op("Mul", [x, x])
    means = graph.op(
        "AveragePool", [squares], kernel_shape=[size] * 2, strides=[1, 1], pads=[half] * 4, count_include_pad=1
    )
    scaled = graph.op("Mul", [means, graph.constant(np.float32(param.alpha), "alpha")])
    shifted = graph.op("Add", [scaled, graph.constant(np.float32(1), "one")])
    graph.op("Mul", [x, graph.op("Pow", [shifted, graph.constant(np.float32(-param.beta), "power")])], step.tops[0])


@writes("BatchNorm")
def batch_norm(step: Step, graph: OnnxGraph) -> None:
    eps, bottom = step.layer.param.batch_norm_param.eps, step.bottoms[0]
    if (found := statistics(step)) is not None:
        mean, variance = found
        plain = [graph.constant(np.ones_like(mean), "scale"), graph.constant(np.zeros_like(mean), "bias")]
        collected = [graph.constant(mean, "mean"), graph.constant(variance, "variance")]
        graph.op("BatchNormalization", [bottom.name, *plain, *collected], step.tops[0], epsilon=eps)
        return
    axes = [axis for axis in range(len(bottom.shape)) if axis != 1]
    centred = graph.op("Sub", [bottom.name, graph.op("ReduceMean", [bottom.name], axes=axes)])
    variances = graph.op("ReduceMean", [graph.op("Mul", [centred, centred])], axes=axes)
    deviation = graph.op("Sqrt", [graph.op("Add", [variances, graph.constant(np.float32(eps), "eps")])])
    graph.op("Div", [centred, deviation], step.tops[0])


@writes("MVN")
def mvn(step: Step, graph: OnnxGraph) -> None:
    param, bottom = step.layer.param.mvn_param, step.bottoms[0]
    axes, x = [1, 2, 3] if param.across_channels else [2, 3], bottom.name
    if len(bottom.shape) < 4:  # the top has four axes
        x = graph.op("Unsqueeze", [x, graph.constant(list(range(len(bottom.shape), 4)), "axes")])
    centred = step.tops[0] if not param.normalize_variance else None
    name = graph.op("Sub", [x, graph.op("ReduceMean", [x], axes=axes)], centred)
    if param.normalize_variance:
        variances = graph.op("ReduceMean", [graph.op("Mul", [name, name])], axes=axes)
        deviation = graph.op("Add", [graph.op("Sqrt", [variances]), graph.constant(np.float32(param.eps), "eps")])
        graph.op("Div", [name, deviation], step.tops[0])
