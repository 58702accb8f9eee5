"""pycaffe's coord_map: how the positions in two blobs of a NetSpec relate, so that one can be cropped to the other.

A map is (axis, scale, shift): position x of the bottom is at scale * x + shift of the top, along the axes from `axis`
on. The identity, which holds for every axis, is (None, 1, 0).

Source followed: BVLC Caffe's python/caffe/coord_map.py.
"""

from collections.abc import Callable, Mapping

import numpy as np

from torchcaffe.net_spec import Function, Top, layers

Map = tuple[int | None, "np.ndarray | float", "np.ndarray | float"]

PASS_THROUGH_LAYERS = [
    *("AbsVal", "BatchNorm", "Bias", "BNLL", "Dropout", "Eltwise", "ELU", "Log", "LRN", "Exp", "MVN", "Power", "ReLU"),
    *("PReLU", "Scale", "Sigmoid", "Split", "TanH", "Threshold"),
]
_IDENTITY: Map = (None, 1, 0)
_LEGACY = {"pad_h", "pad_w", "kernel_h", "kernel_w", "stride_h", "stride_w"}


class UndefinedMapException(Exception):
    """A layer without a map: its positions are not those of its bottom."""


class AxisMismatchException(Exception):
    """Two maps that begin at different axes."""


def conv_params(fn: Function) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """The axis, stride, kernel size (with its dilation) and pad of a Convolution, Deconvolution, Im2col or Pooling."""
    params = _settings(fn, "convolution_param")
    assert not _LEGACY & params.keys(), "cropping does not support legacy _h/_w params"
    kernel, dilation = _array(params["kernel_size"]), _array(params.get("dilation", 1))
    return (
        params.get("axis", 1),
        _array(params.get("stride", 1)),
        (kernel - 1) * dilation + 1,
        _array(params.get("pad", 0)),
    )


def crop_params(fn: Function) -> tuple[int, np.ndarray]:
    """The axis and the offset of a Crop."""
    params = _settings(fn, "crop_param")
    return params.get("axis", 2), _array(params.get("offset", 0))


def coord_map(fn: Function) -> Map:
    """The map of a layer. Raises UndefinedMapException."""
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, kernel, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (kernel - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, kernel, pad = conv_params(fn)
        return axis, stride, (kernel - 1) / 2 - pad
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    if fn.type_name in PASS_THROUGH_LAYERS:
        return _IDENTITY
    raise UndefinedMapException(f"{fn.type_name} has no coordinate map")


def compose(base_map: Map, next_map: Map) -> Map:
    """The map of two layers, `next_map` below `base_map`. Raises AxisMismatchException."""
    (base_axis, base_scale, base_shift), (next_axis, next_scale, next_shift) = base_map, next_map
    if base_axis is not None and next_axis is not None and base_axis != next_axis:
        raise AxisMismatchException(f"maps from axis {base_axis} and from axis {next_axis}")
    axis = next_axis if base_axis is None else base_axis
    return axis, base_scale * next_scale, base_scale * next_shift + base_shift


def inverse(coord_map: Map) -> Map:
    """The map in the other direction."""
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """The map from one top to another, through a blob from which both come. Raises RuntimeError if there is none."""
    from_maps = _maps_below(top_from, lambda top: False)
    meeting: list[Top] = []

    def is_common(top: Top) -> bool:
        if top in from_maps:
            meeting.append(top)
        return bool(meeting)

    to_maps = _maps_below(top_to, is_common)
    if not meeting:
        raise RuntimeError("Could not compute map between tops; are they connected by spatial layers?")
    return compose(to_maps[meeting[0]], inverse(from_maps[meeting[0]]))


def crop(top_from: Top, top_to: Top) -> object:
    """A Crop layer that cuts `top_from` to the positions of `top_to`. Raises AssertionError if it cannot be cut."""
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    scale, shift = np.asarray(scale), np.asarray(shift)
    assert (scale == 1).all(), f"scale mismatch on crop (a = {scale})"
    assert (shift <= 0).all(), f"cannot crop negative offset (b = {shift})"
    assert (np.round(shift) == shift).all(), f"cannot crop noninteger offset (b = {shift})"
    assert axis is not None, "both tops have the same positions: there is nothing to crop"
    offset = [int(each) for each in np.atleast_1d(-np.round(shift))]
    return layers.Crop(top_from, top_to, crop_param=dict(axis=axis + 1, offset=offset))


def _maps_below(top: Top, is_found: Callable[[Top], bool]) -> dict[Top, Map]:
    """The maps from `top` to the blobs below it, as far as maps are defined, or until `is_found`."""
    maps: dict[Top, Map] = {top: _IDENTITY}
    frontier = [top]
    while frontier:
        above = frontier.pop()
        if is_found(above):
            break
        try:
            for below in _mapped_bottoms(above):
                maps[below] = compose(maps[above], coord_map(above.fn))
                frontier.append(below)
        except UndefinedMapException:
            continue
    return maps


def _mapped_bottoms(top: Top) -> tuple[Top, ...]:
    """The bottoms whose positions the layer maps: of a Crop only the first, the other one gives a size."""
    return top.fn.inputs[:1] if top.fn.type_name == "Crop" else top.fn.inputs


def _settings(fn: Function, field: str) -> Mapping:
    settings = fn.params.get(field, fn.params)
    assert isinstance(settings, Mapping), f"{field} is a dict"
    return settings


def _array(values: object) -> np.ndarray:
    return np.array(values, ndmin=1)
