"""Layers over maps (N, C, H, W), and InnerProduct, as lines of PyTorch code."""

import numpy as np

from caffeformat.caffeformat_pb2 import LRNParameter, PoolingParameter, SPPParameter
from torchcaffe.export.geometry import ConvGeometry, PoolGeometry, statistics
from torchcaffe.export.refusal import NeedsFixedBatch, Refused
from torchcaffe.export.torch_source import TorchSource, is_exact, number, writes
from torchcaffe.export.trace import Step


def _size(values: list[int]) -> str:
    """3 for [3, 3]; (3, 2)."""
    return str(values[0]) if len(set(values)) == 1 else str(tuple(values))


def _arguments(*positional: object, **named: tuple[str, str]) -> str:
    """The arguments of a call; of those with a name, (value, default), only what is not the default."""
    given = [f"{name}={value}" for name, (value, default) in named.items() if value != default]
    return ", ".join([*map(str, positional), *given])


@writes("Convolution", "Deconvolution")
def convolution(step: Step, source: TorchSource) -> None:
    geometry, layer = ConvGeometry.of(step), step.layer
    transposed, param = layer.type == "Deconvolution", layer.param.convolution_param
    arguments = _arguments(
        step.bottoms[0].shape[1],
        param.num_output,
        _size(geometry.kernel),
        stride=(_size(geometry.stride), "1"),
        padding=(_size(geometry.pad), "0"),
        dilation=(_size(geometry.dilation), "1"),
        groups=(str(geometry.group), "1"),
        bias=(str(param.bias_term), "True"),
    )
    kind = f"nn.Conv{'Transpose' if transposed else ''}{len(geometry.kernel)}d"
    name = source.module(step, f"{kind}({arguments})")
    for index, key in enumerate(("weight", "bias")[: len(layer.blobs)]):
        source.weights(step, name, index, key, step.weights(index))


@writes("InnerProduct")
def inner_product(step: Step, source: TorchSource) -> None:
    param, bottom = step.layer.param.inner_product_param, step.bottoms[0]
    axis, weight = param.axis % len(bottom.shape), step.weights(0)
    if any(bottom.varies[axis:]):
        raise NeedsFixedBatch("it multiplies the whole batch with its weights")
    weight = weight.T if param.transpose else weight
    inputs, bias = weight.shape[1], len(step.layer.blobs) > 1
    call = "{module}({0})" if axis == len(bottom.shape) - 1 else f"{{module}}({{0}}.flatten({axis}))"
    name = source.module(step, f"nn.Linear({inputs}, {param.num_output}{'' if bias else ', bias=False'})", call)
    source.weights(step, name, 0, "weight", weight, transposed=param.transpose)
    if bias:
        source.weights(step, name, 1, "bias", step.weights(1))


@writes("Pooling")
def pooling(step: Step, source: TorchSource) -> None:
    """PyTorch's ceil_mode clips the last window as Caffe does, and divides a mean as Caffe does."""
    geometry, param = PoolGeometry.of(step), step.layer.param.pooling_param
    is_max = param.pool == PoolingParameter.MAX
    with_places = len(step.tops) > 1
    if geometry.is_global and not with_places:
        source.line(step, "{0}.amax((2, 3), keepdim=True)" if is_max else "{0}.mean((2, 3), keepdim=True)")
        return
    if all(2 * pad <= kernel for pad, kernel in zip(geometry.pad, geometry.kernel, strict=True)):
        arguments = _arguments(
            _size(geometry.kernel),
            _size(geometry.stride),
            padding=(_size(geometry.pad), "0"),
            ceil_mode=(str(param.round_mode == PoolingParameter.CEIL), "False"),
            return_indices=(str(with_places), "False"),
        )
        module = f"nn.{'Max' if is_max else 'Avg'}Pool2d({arguments})"
    elif with_places:
        raise Refused("a second top, with padding of more than half a window, has no operator")
    else:
        sizes = ", ".join(str(tuple(pair)) for pair in (geometry.kernel, geometry.stride, geometry.pad))
        is_ceil = param.round_mode == PoolingParameter.CEIL
        module = f"{source.part('WideMaxPool' if is_max else 'WideAvgPool')}({sizes}, ceil_mode={is_ceil})"
    if not with_places:
        source.module(step, module)
        return
    name = source.module(step, module, call="")
    source.line(step, f"self.{name}({{0}})")
    source.raw_line(f"b[{step.tops[1].blob!a}] = b[{step.tops[1].blob!a}].to(b[{step.tops[0].blob!a}].dtype)")


@writes("SPP")
def spp(step: Step, source: TorchSource) -> None:
    param, _ = step.layer.param.spp_param, PoolGeometry.of_levels(step)
    source.module(step, f"{source.part('SPP')}({param.pyramid_height}, maximum={param.pool == SPPParameter.MAX})")


@writes("Im2col")
def im2col(step: Step, source: TorchSource) -> None:
    geometry = ConvGeometry.of(step)
    if len(geometry.kernel) != 2:
        raise Refused(f"a bottom of {len(step.bottoms[0].shape)} axes; nn.Unfold takes (N, C, H, W)")
    arguments = _arguments(
        _size(geometry.kernel),
        dilation=(_size(geometry.dilation), "1"),
        padding=(_size(geometry.pad), "0"),
        stride=(_size(geometry.stride), "1"),
    )
    places = step.tops[0].shape[2:]
    source.module(step, f"nn.Unfold({arguments})", f"{{module}}({{0}}).unflatten(2, {tuple(places)})")


@writes("LRN")
def lrn(step: Step, source: TorchSource) -> None:
    param = step.layer.param.lrn_param
    if param.norm_region == LRNParameter.ACROSS_CHANNELS:
        size, alpha, beta, k = param.local_size, number(param.alpha), number(param.beta), number(param.k)
        source.module(step, f"nn.LocalResponseNorm({size}, alpha={alpha}, beta={beta}, k={k})")
    else:
        part = source.part("LRNWithinChannel")
        source.module(step, f"{part}({param.local_size}, {number(param.alpha)}, {number(param.beta)})")


@writes("BatchNorm")
def batch_norm(step: Step, source: TorchSource) -> None:
    """nn.BatchNorm and Caffe divide by the same deviation, and collect the same means and unbiased variances."""
    param, axes = step.layer.param.batch_norm_param, len(step.bottoms[0].shape)
    channels, found = step.bottoms[0].shape[1], statistics(step, exact=is_exact())
    if not 2 <= axes <= 5:
        raise Refused(f"a bottom of {axes} axes; nn.BatchNorm takes 2 to 5")
    kind = f"nn.BatchNorm{ {2: 1, 3: 1, 4: 2, 5: 3}[axes] }d"
    eps = number(param.eps)
    if found is None:
        source.module(step, f"{kind}({channels}, eps={eps}, affine=False, track_running_stats=False)")
        return
    if param.HasField("use_global_stats"):
        name = source.module(step, f"{source.part('GlobalBatchNorm')}({channels}, eps={eps})")
    else:
        momentum = number(1 - param.moving_average_fraction)
        name = source.module(step, f"{kind}({channels}, eps={eps}, momentum={momentum}, affine=False)")
        source.buffer(f"{name}.num_batches_tracked", np.array(0))
    source.buffer(f"{name}.running_mean", found[0])
    source.buffer(f"{name}.running_var", found[1])


@writes("MVN")
def mvn(step: Step, source: TorchSource) -> None:
    param = step.layer.param.mvn_param
    axes = "[1, 2, 3]" if param.across_channels else "[2, 3]"
    if param.normalize_variance and np.prod(step.tops[0].shape[1 if param.across_channels else 2 :]) == 1:
        raise Refused("the variance of a single value, through which PyTorch has no gradient")
    missing = 4 - len(step.bottoms[0].shape)  # the top has four axes
    x = "{0}" + f"[...{', None' * missing}]" * bool(missing)
    source.line(step, f"{source.part('mvn')}({x}, {axes}, {param.normalize_variance}, {number(param.eps)})")
