"""Normal and exponential float32 numbers from 32-bit draws, by the ziggurat method, bit for bit as in boost 1.74.

A ziggurat (Marsaglia and Tsang, Journal of Statistical Software 5(8), 2000) covers a falling density f, f(0) = 1, with
strips of equal area. Strip i reaches from 0 to x[i]. Up to x[i+1] it lies below f: a point there is accepted at once.
Between the two (the wedge) a second draw gives the height of the point, which is compared with f. Strip 0 also stands
for the tail beyond x[1]. The number of strips determines them all: only for one x[1] do strips of equal area end at 0.

One draw gives the strip (its low 8 bits; for a normal number the lowest bit is the sign) and the position in the strip
(its upper 24 bits). The arithmetic is in float32 and in boost's order, because every rounding changes the last bit of a
weight. exp is computed in double and rounded once; glibc's expf gives the same for more than 99 % of all values.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

Function = Callable[[float], float]

F = np.float32
_STEP = F(2.0**-24)  # of the position in a strip
_DRAW = F(2.0**-32)  # scales a draw to 0..1; boost draws again if float32 rounds the result to 1


class Strips(NamedTuple):
    """The strips of a density f, float64: edges x[0] > x[1] > ... > x[count] = 0; heights y[i] = f(x[i]), y[0] = 0."""

    x: np.ndarray
    y: np.ndarray


class OutOfDraws(Exception):
    """The draws end before a number is complete."""


@cache
def normal_strips() -> Strips:
    """128 strips of exp(-x*x/2), for both signs."""
    return _strips(
        128,
        lambda x: math.exp(-x * x / 2),
        lambda y: math.sqrt(-2 * math.log(y)),
        lambda x: math.sqrt(math.pi / 2) * math.erfc(x / math.sqrt(2)),
    )


@cache
def exponential_strips() -> Strips:
    """256 strips of exp(-x)."""
    return _strips(256, lambda x: math.exp(-x), lambda y: -math.log(y), lambda x: math.exp(-x))


def _strips(count: int, f: Function, inverse: Function, tail: Function) -> Strips:
    """`count` strips of the density `f`. `inverse` is the inverse of f, `tail(x)` the area under f beyond x."""

    def heights(first: float) -> list[float]:
        """y[1], y[2], ... for x[1] = first: `count` of them, or fewer if they reach 1 before."""
        area = first * f(first) + tail(first)
        y = [f(first)]
        while len(y) < count and y[-1] < 1:
            y.append(y[-1] + area / inverse(y[-1]))
        return y

    def too_high(y: list[float]) -> bool:
        return len(y) < count or y[-1] > 1

    low, high = 1.0, 16.0  # the larger x[1] is, the thinner the strips are
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if too_high(heights(middle)) else (low, middle)
    y = np.array([0.0, *heights(high)])
    y[count] = 1.0
    x = np.array([0.0, *(inverse(h) for h in y[1:])])
    x[0] = x[1] + tail(x[1]) / y[1]  # as wide as strip 0 would be without its tail
    return Strips(x, y)


@cache
def _normal_tables() -> tuple[np.ndarray, np.ndarray]:
    """Two tables, by the low 8 bits of a draw: the signed width of one step of the position; how many positions are
    accepted at once."""
    x = normal_strips().x
    widths = x[:-1].astype(F)
    positions = np.zeros(widths.size, np.int64)
    for bit in reversed(range(24)):  # boost compares a float32 point with a float64 edge: a division would differ
        more = positions + (1 << bit)
        points = (more - 1).astype(F) * (widths * _STEP)
        positions = np.where(points.astype(np.float64) < x[1:], more, positions)
    steps = np.stack([-widths * _STEP, widths * _STEP], axis=1)
    return steps.ravel(), np.repeat(positions, 2).astype(np.uint32)


def normal(draws: np.ndarray) -> tuple[np.ndarray, int]:
    """The standard normal numbers (float32) that `draws` (uint32) give, and how many of the draws they use.

    If the last draws begin a number but do not complete it, they are not used: pass them again, followed by more.
    """
    steps, positions = _normal_tables()
    low, position = draws & 0xFF, draws >> 8
    values = position.astype(F)
    values *= steps[low]
    rejected = np.flatnonzero(position >= positions[low])
    if not rejected.size:
        return values, draws.size
    valid, end = _resolve(draws, values, rejected)
    return values[:end][valid[:end]], end


def _resolve(draws: np.ndarray, values: np.ndarray, rejected: np.ndarray) -> tuple[np.ndarray, int]:
    """Decides the `rejected` draws (1.2 % of all): those that are not accepted at once. Writes tails into `values`.

    Returns a mask of the values that are valid, and the number of draws used.
    """
    outcomes = _wedges(draws, values, rejected)
    valid = np.ones(draws.size, bool)
    invalid: list[int] = []
    unused = 0  # the index of the first draw that belongs to no earlier number
    for place, outcome in zip(rejected.tolist(), outcomes.tolist(), strict=True):
        if place < unused:
            continue
        if outcome == _IRREGULAR:
            try:
                count, unused = _one_number(draws, values, place)
            except OutOfDraws:
                valid[invalid] = False
                return valid, place
            invalid.extend(range(place + count, unused))
        else:
            unused = place + 2
            invalid.append(place + 1)
            if outcome == _MISSED:
                invalid.append(place)
    valid[invalid] = False
    return valid, draws.size


_MISSED, _ACCEPTED, _IRREGULAR = 0, 1, 2


def _wedges(draws: np.ndarray, values: np.ndarray, rejected: np.ndarray) -> np.ndarray:
    """The outcome of each rejected draw, if the next draw is its height. _IRREGULAR ones need `_one_number`."""
    strip = (draws[rejected] & 0xFF) >> 1
    following = np.minimum(rejected + 1, draws.size - 1)
    height = draws[following].astype(F) * _DRAW
    below = _is_below(normal_strips(), strip, np.abs(values[rejected]), height)
    irregular = (strip == 0) | (height >= 1) | (rejected + 1 == draws.size)
    return np.where(irregular, _IRREGULAR, np.where(below, _ACCEPTED, _MISSED))


def _is_below(strips: Strips, strip: np.ndarray, x: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Whether the points (x, at `height` of 0..1 between the strip's edges) lie below the normal density.

    As in boost, a point is first compared with the chord and the tangent of the curve, in an order that depends on the
    curvature, and only if it lies between these with the curve itself.
    """
    wide, narrow = strips.x[strip], strips.x[strip + 1]
    bottom, top = strips.y[strip], strips.y[strip + 1]
    x1, y1 = wide.astype(F), bottom.astype(F)
    y = y1 + height * (top - bottom).astype(F)
    chord = (wide - narrow).astype(F) * height - (x1 - x)
    tangent = y - (y1 + (x1 - x) * y1 * x1)
    convex = wide >= 1
    above, below = np.where(convex, chord, tangent), np.where(convex, tangent, chord)
    curve = np.exp(-(x * x / F(2)).astype(np.float64)).astype(F)
    return (above < 0) & ((below < 0) | (y < curve))


def _one_number(draws: np.ndarray, values: np.ndarray, place: int) -> tuple[int, int]:
    """Computes the number that begins with the rejected draw at `place`, draw by draw.

    Writes a tail to `values[place]`. Returns how many numbers resulted (1 or 0) and the index of the next unused draw.
    Raises OutOfDraws.
    """
    rest = Draws(draws, place + 1)
    if not (draws[place] & 0xFF) >> 1:
        sign = F(1) if draws[place] & 1 else F(-1)
        values[place] = _tail(rest) * sign
        return 1, rest.place
    strip = np.array([(draws[place] & 0xFF) >> 1])
    below = _is_below(normal_strips(), strip, np.abs(values[place : place + 1]), np.array([rest.unit()]))
    return int(below[0]), rest.place


class Draws:
    """Reads an array of draws one by one, from index `place` on."""

    def __init__(self, draws: np.ndarray, place: int):
        self._draws = draws
        self.place = place

    def next(self) -> int:
        if self.place >= self._draws.size:
            raise OutOfDraws
        self.place += 1
        return int(self._draws[self.place - 1])

    def unit(self) -> np.float32:
        """A float32 in 0..1, below 1."""
        while (number := F(self.next()) * _DRAW) >= 1:
            pass
        return number


def _tail(draws: Draws) -> np.float32:
    """A normal number beyond x[1]. Two exponential numbers take the place of the logarithms in Marsaglia's test."""
    edge = F(normal_strips().x[1])
    while True:
        x, y = exponential(draws) / edge, exponential(draws)
        if F(2) * y > x * x:
            return x + edge


def exponential(draws: Draws) -> np.float32:
    """A standard exponential number. Its tail has the same form as the whole density: draw again, shifted."""
    strips = exponential_strips()
    shift = F(0)
    while True:
        draw = draws.next()
        strip = draw & 0xFF
        x1, x2 = F(strips.x[strip]), F(strips.x[strip + 1])
        x = F(draw >> 8) * _STEP * x1
        if x < x2:
            return shift + x
        if strip == 0:
            shift += x2
        elif _is_below_exponential(strips, strip, x, draws.unit()):
            return x + shift


def _is_below_exponential(strips: Strips, strip: int, x: np.float32, height: np.float32) -> bool:
    """As `_is_below`, for exp(-x). Its curvature has one sign; the tangent is at the narrow end of the strip."""
    wide, narrow = strips.x[strip], strips.x[strip + 1]
    bottom, top = strips.y[strip], strips.y[strip + 1]
    y = F(bottom) + height * F(top - bottom)
    if F(wide - narrow) * height - (F(wide) - x) >= 0:
        return False
    if y - (F(top) + (F(narrow) - x) * F(top)) < 0:
        return True
    return bool(y < F(math.exp(-float(x))))
