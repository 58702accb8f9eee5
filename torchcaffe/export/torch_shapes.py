"""Layers that move values or pick some of them, as lines of PyTorch code."""

from caffeformat.caffeformat_pb2 import ReductionParameter
from torchcaffe.export.geometry import axis_or_dim, check_argmax
from torchcaffe.export.refusal import NeedsFixedBatch
from torchcaffe.export.torch_source import TorchSource, number, writes
from torchcaffe.export.trace import Step


@writes("Split")
def split(step: Step, source: TorchSource) -> None:
    source.line(step, ", ".join(["{0}"] * len(step.tops)))


@writes("Parameter")
def parameter(step: Step, source: TorchSource) -> None:
    shape = tuple(step.layer.blobs[0].shape)
    name = source.module(step, f"{source.part('Parameter')}({shape})", call="")
    source.weights(step, name, 0, "weight", step.weights(0))
    source.line(step, f"self.{name}()")


@writes("Embed")
def embed(step: Step, source: TorchSource) -> None:
    param = step.layer.param.embed_param
    name = source.module(step, f"{source.part('Embed')}({param.input_dim}, {param.num_output}, bias={param.bias_term})")
    for index, key in enumerate(("weight", "bias")[: len(step.layer.blobs)]):
        source.weights(step, name, index, key, step.weights(index))


@writes("Flatten", "Reshape")
def reshape(step: Step, source: TorchSource) -> None:
    source.reshape(step)


@writes("Concat")
def concat(step: Step, source: TorchSource) -> None:
    axis = axis_or_dim(step, step.layer.param.concat_param, "concat_dim")
    source.line(step, f"torch.cat([{', '.join(f'{{{i}}}' for i in range(len(step.bottoms)))}], {axis})")


@writes("Slice")
def slice_(step: Step, source: TorchSource) -> None:
    axis = axis_or_dim(step, step.layer.param.slice_param, "slice_dim")
    if step.bottoms[0].varies[axis]:
        raise NeedsFixedBatch("it cuts the batch into pieces")
    sizes = [top.shape[axis] for top in step.tops]
    source.line(step, f"{{0}}.split({sizes}, {axis})" if len(sizes) > 1 else "{0}")


@writes("Crop")
def crop(step: Step, source: TorchSource) -> None:
    param, shape = step.layer.param.crop_param, step.bottoms[0].shape
    axes = range(param.axis % len(shape), len(shape))
    offsets = list(param.offset) or [0]
    offsets = offsets * len(axes) if len(offsets) == 1 else offsets
    cuts = [f"{start}:{start} + {{1}}.shape[{axis}]" for axis, start in zip(axes, offsets, strict=True)]
    source.line(step, f"{{0}}[{', '.join([':'] * axes[0] + cuts)}]")


@writes("ArgMax")
def argmax(step: Step, source: TorchSource) -> None:
    check_argmax(step)
    param = step.layer.param.argmax_param
    axis = param.axis % len(step.bottoms[0].shape) if param.HasField("axis") else None
    source.line(step, f"{source.part('argmax')}({{0}}, {param.top_k}, {axis}, {param.out_max_val})")


@writes("BatchReindex")
def batch_reindex(step: Step, source: TorchSource) -> None:
    source.line(step, "{0}[{1}.long()]")


@writes("Tile")
def tile(step: Step, source: TorchSource) -> None:
    param, axes = step.layer.param.tile_param, len(step.bottoms[0].shape)
    repeats = [param.tiles if index == param.axis % axes else 1 for index in range(axes)]
    source.line(step, f"{{0}}.repeat({', '.join(map(str, repeats))})")


_REDUCTIONS = {
    ReductionParameter.SUM: "{0}.sum({1})",
    ReductionParameter.ASUM: "{0}.abs().sum({1})",
    ReductionParameter.SUMSQ: "{0}.square().sum({1})",
    ReductionParameter.MEAN: "{0}.mean({1})",
}


@writes("Reduction")
def reduction(step: Step, source: TorchSource) -> None:
    param, axes = step.layer.param.reduction_param, len(step.bottoms[0].shape)
    text = _REDUCTIONS[param.operation].format("{0}", tuple(range(param.axis % axes, axes)))
    source.line(step, text if param.coeff == 1 else f"{number(param.coeff)} * {text}")
