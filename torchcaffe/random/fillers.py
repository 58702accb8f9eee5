"""Fillers: the initial values of weights, bit for bit as BVLC Caffe draws them on the CPU.

All arithmetic is in float32 and in Caffe's order. Source followed: BVLC Caffe's filler.hpp.
"""

from math import ceil, prod

import numpy as np

from caffeformat import FormatError
from caffeformat.caffeformat_pb2 import FillerParameter
from torchcaffe.random.rng import Generator

F = np.float32
Shape = tuple[int, ...]


def fill(param: FillerParameter, shape: Shape, rng: Generator) -> np.ndarray:
    """A float32 array of `shape`, filled as `param` says, with draws from `rng`. Raises FormatError.

    As in Caffe, fan_in is the product of all sizes but the first. fan_out is the product of all sizes but the second,
    or of all sizes if there is one axis.
    """
    filler = _FILLERS.get(param.type)
    if filler is None:
        raise FormatError(f"no filler has the type {param.type!r}; known types: {', '.join(_FILLERS)}")
    if prod(shape) == 0:
        raise FormatError(f"a filler of type {param.type} cannot fill a blob without values; its shape is {shape}")
    if param.sparse != -1 and param.type != "gaussian":
        raise FormatError(f"sparse: {param.sparse} belongs to a gaussian filler; the type of this one is {param.type}")
    return filler(param, shape, rng)


def _constant(param: FillerParameter, shape: Shape, rng: Generator) -> np.ndarray:
    return np.full(shape, param.value, F)


def _uniform(param: FillerParameter, shape: Shape, rng: Generator) -> np.ndarray:
    if not param.min <= param.max:
        raise FormatError(f"a uniform filler needs min <= max; it has min: {param.min:g}, max: {param.max:g}")
    return rng.uniform(prod(shape), param.min, param.max).reshape(shape)


def _gaussian(param: FillerParameter, shape: Shape, rng: Generator) -> np.ndarray:
    if not param.std > 0:
        raise FormatError(f"a gaussian filler needs std > 0; it has std: {param.std:g}")
    values = rng.gaussian(prod(shape), param.mean, param.std).reshape(shape)
    if param.sparse != -1:
        values *= rng.bernoulli(values.size, _share(param.sparse, shape)).reshape(shape)
    return values


def _share(sparse: int, shape: Shape) -> np.float32:
    """The share of values that a `sparse` filler does not set to zero: as in Caffe, `sparse` / number of outputs.

    Caffe's documentation means another share: `sparse` of the weights of each output.
    """
    if not shape or not 0 <= sparse <= shape[0]:
        outputs = shape[0] if shape else "no"
        raise FormatError(f"sparse must be from 0 to the number of outputs; it is {sparse}, with {outputs} outputs")
    return F(sparse) / F(shape[0])


def _positive_unitball(param: FillerParameter, shape: Shape, rng: Generator) -> np.ndarray:
    rows = rng.uniform(prod(shape), 0, 1).reshape(shape[0], -1)
    rows /= np.add.accumulate(rows, axis=1)[:, -1:]  # one by one, as Caffe adds; np.sum adds in pairs
    return rows.reshape(shape)


def _xavier(param: FillerParameter, shape: Shape, rng: Generator) -> np.ndarray:
    scale = np.sqrt(F(3) / _fan(param, shape))
    return rng.uniform(prod(shape), -scale, scale).reshape(shape)


def _msra(param: FillerParameter, shape: Shape, rng: Generator) -> np.ndarray:
    return rng.gaussian(prod(shape), 0, np.sqrt(F(2) / _fan(param, shape))).reshape(shape)


def _fan(param: FillerParameter, shape: Shape) -> np.float32:
    count = prod(shape)
    fan_in = count // shape[0]
    fan_out = count // shape[1] if len(shape) > 1 else count
    if param.variance_norm == FillerParameter.AVERAGE:
        return F(fan_in + fan_out) / F(2)
    return F(fan_out if param.variance_norm == FillerParameter.FAN_OUT else fan_in)


def _bilinear(param: FillerParameter, shape: Shape, rng: Generator) -> np.ndarray:
    if len(shape) != 4 or shape[2] != shape[3]:
        raise FormatError(f"a bilinear filler needs a blob of 4 axes with square filters; its shape is {shape}")
    half = F(ceil(shape[3] / 2))
    centre = F((shape[3] - 1) / (2.0 * float(half)))
    ramp = F(1) - np.abs(np.arange(shape[3], dtype=F) / half - centre)
    return np.broadcast_to(ramp[:, None] * ramp, shape).copy()


_FILLERS = {
    "bilinear": _bilinear,
    "constant": _constant,
    "gaussian": _gaussian,
    "msra": _msra,
    "positive_unitball": _positive_unitball,
    "uniform": _uniform,
    "xavier": _xavier,
}
