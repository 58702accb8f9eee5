"""Kernels, strides and pads of Convolution and Pooling, and the statistics of BatchNorm, as the exports need them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from caffeformat.caffeformat_pb2 import TEST, ConcatParameter, PoolingParameter, SliceParameter, SPPParameter
from torchcaffe.export.refusal import Refused
from torchcaffe.export.trace import Step


@dataclass(frozen=True)
class ConvGeometry:
    """A size for each spatial axis, and the number of groups."""

    kernel: list[int]
    stride: list[int]
    pad: list[int]
    dilation: list[int]
    group: int

    @classmethod
    def of(cls, step: Step) -> "ConvGeometry":
        """Of a convolution or an Im2col. Raises Refused for one without spatial axes, and for a kernel that is larger
        than its bottom."""
        param, spatial = step.layer.param.convolution_param, len(step.bottoms[0].shape) - param_axis(step) - 1
        if not 1 <= spatial <= 3 or param_axis(step) != 1:
            raise Refused(f"a bottom of {len(step.bottoms[0].shape)} axes, axis {param.axis}; (N, C, ...) is needed")

        def sizes(name: str, default: int) -> list[int]:
            sides = [f"{name.removesuffix('_size')}_{side}" for side in "hw"]
            if name != "dilation" and any(param.HasField(side) for side in sides):
                return [getattr(param, side) for side in sides]
            given = list(getattr(param, name)) or [default]
            return given * spatial if len(given) == 1 else given

        made = cls(sizes("kernel_size", 0), sizes("stride", 1), sizes("pad", 0), sizes("dilation", 1), param.group)
        if step.layer.type != "Deconvolution":
            padded = [size + 2 * pad for size, pad in zip(step.bottoms[0].shape[2:], made.pad, strict=True)]
            spans = [dilation * (size - 1) + 1 for dilation, size in zip(made.dilation, made.kernel, strict=True)]
            if any(span > size for span, size in zip(spans, padded, strict=True)):
                raise Refused(f"a kernel that reaches over {spans}, more than its bottom with pad, {padded}")
        return made


def check_argmax(step: Step) -> None:
    """Raises Refused for an ArgMax over the values of each image where an image has no axis of its own."""
    if len(step.bottoms[0].shape) == 1 and not step.layer.param.argmax_param.HasField("axis"):
        raise Refused("a bottom of one axis, without `axis`")


def param_axis(step: Step) -> int:
    """The axis of the channels of a convolution."""
    axis: int = step.layer.param.convolution_param.axis
    return axis % len(step.bottoms[0].shape)


@dataclass(frozen=True)
class PoolGeometry:
    """Height and width of kernel, stride and Caffe's pad; `sizes` of bottom and top."""

    kernel: list[int]
    stride: list[int]
    pad: list[int]
    bottom: tuple[int, ...]
    top: tuple[int, ...]
    is_global: bool

    @classmethod
    def of(cls, step: Step) -> "PoolGeometry":
        param, bottom = step.layer.param.pooling_param, step.bottoms[0].shape[2:]
        if param.pool == PoolingParameter.STOCHASTIC:
            raise Refused("pool: STOCHASTIC has no operator")

        def pair(name: str, one: int) -> list[int]:
            given = param.HasField(f"{name}_h") or param.HasField(f"{name}_w")
            return [getattr(param, f"{name}_h"), getattr(param, f"{name}_w")] if given else [one, one]

        kernel = list(bottom) if param.global_pooling else pair("kernel", param.kernel_size)
        stride, pad = pair("stride", param.stride), pair("pad", param.pad)
        return cls(kernel, stride, pad, bottom, step.tops[0].shape[2:], param.global_pooling)

    @classmethod
    def of_levels(cls, step: Step) -> "list[PoolGeometry]":
        """Of an SPP: its levels, of which the last windows may reach beyond the bottom."""
        param, bottom, levels = step.layer.param.spp_param, step.bottoms[0].shape[2:], []
        if param.pool == SPPParameter.STOCHASTIC:
            raise Refused("pool: STOCHASTIC has no operator")
        for bins in (2**level for level in range(param.pyramid_height)):
            kernel = [-(-size // bins) for size in bottom]
            pad = [(bins * side - size + 1) // 2 for side, size in zip(kernel, bottom, strict=True)]
            top = tuple((size + border - 1) // side + 1 for size, border, side in zip(bottom, pad, kernel, strict=True))
            levels.append(cls(kernel, kernel, pad, bottom, top, False))
        return levels

    @property
    def pads(self) -> list[int]:
        """Rows and columns of padding with which windows that must fit are Caffe's: top, left, bottom, right."""
        ends = [
            max(0, (count - 1) * stride + kernel - size - pad)
            for count, stride, kernel, size, pad in zip(
                self.top, self.stride, self.kernel, self.bottom, self.pad, strict=True
            )
        ]
        return [*self.pad, *ends]

    @property
    def cut_windows(self) -> np.ndarray | None:
        """What the mean over whole windows is multiplied with, (H, W) of the top; None if all windows are whole.

        Caffe divides by the places of a window up to the padded border, and the last windows may reach beyond it.
        """
        sides = []
        for axis in (0, 1):
            starts = np.arange(self.top[axis]) * self.stride[axis]
            border = self.bottom[axis] + 2 * self.pad[axis]
            sides.append(np.minimum(starts + self.kernel[axis], border) - starts)
        counts = sides[0][:, None] * sides[1][None, :]
        whole = self.kernel[0] * self.kernel[1]
        return None if (counts == whole).all() else (whole / counts).astype(np.float32)


def statistics(step: Step, exact: bool = False) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and variance that a BatchNorm has collected, (C,) float32, or float64 if `exact`; None if it uses those of
    the batch."""
    param = step.layer.param.batch_norm_param
    if not (param.use_global_stats if param.HasField("use_global_stats") else step.layer.phase == TEST):
        return None
    kind: Any = np.float64 if exact else np.float32
    mean, variance, weight = (np.asarray(step.weights(index), kind) for index in range(3))
    factor = np.zeros_like(weight) if weight[0] == 0 else 1 / weight
    return mean * factor, variance * factor


def axis_or_dim(step: Step, param: ConcatParameter | SliceParameter, dim: str) -> int:
    """The axis of Concat or Slice, also from the deprecated field `dim`."""
    return int(getattr(param, dim) if param.HasField(dim) else param.axis) % len(step.bottoms[0].shape)
