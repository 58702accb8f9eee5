"""The ziggurats by which boost 1.74 makes normal and exponential numbers of float32 from 32-bit draws.

A ziggurat (Marsaglia and Tsang, Journal of Statistical Software 5(8), 2000) covers a falling density f, f(0) = 1, with
strips of one area. Strip i reaches from 0 to x[i]; up to x[i+1] it lies wholly under f, so a point there is taken at
once; between the two (the wedge) a second draw gives the height, which is held against f. Strip 0 stands for the tail
beyond x[1] as well. The strips follow from their count: x[1] is the one place from which strips of its area end at 0.

One draw gives the strip (its low 8 bits; of a normal number the lowest is the sign) and the position in the strip (its
upper 24 bits). The arithmetic is float32's, in boost's order, because each rounding shows in a weight's last bit; exp
is rounded once from double, as glibc's expf is but for less than one value in a hundred.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

F = np.float32
_STEP = F(2.0**-24)  # of the position in a strip
_DRAW = F(2.0**-32)  # a draw times this lies in 0..1; boost draws again where float32 rounds it to 1


class Strips(NamedTuple):
    """The strips of a density f, float64: edges x[0] > x[1] > ... > x[count] = 0, heights y[i] = f(x[i]), y[0] = 0."""

    x: np.ndarray
    y: np.ndarray


class OutOfDraws(Exception):
    """A number begun within these draws ends beyond them."""


@cache
def normal_strips() -> Strips:
    """128 strips of exp(-x*x/2): both signs share them."""
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


def _strips(count: int, f: Callable, inverse: Callable, tail: Callable) -> Strips:
    """`count` strips of the density `f`; `inverse` is that of f, `tail(x)` the area under f beyond x."""

    def heights(first: float) -> list[float]:
        """y[1], y[2], ... for x[1] = first: `count` of them, or fewer if they are at 1 before."""
        area = first * f(first) + tail(first)
        y = [f(first)]
        while len(y) < count and y[-1] < 1:
            y.append(y[-1] + area / inverse(y[-1]))
        return y

    def too_high(y: list[float]) -> bool:
        return len(y) < count or y[-1] > 1

    low, high = 1.0, 16.0  # the further out the strips begin, the thinner they are
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if too_high(heights(middle)) else (low, middle)
    y = np.array([0.0, *heights(high)])
    y[count] = 1.0
    x = np.array([0.0, *(inverse(h) for h in y[1:])])
    x[0] = x[1] + tail(x[1]) / y[1]  # as wide as strip 0 would be without its tail
    return Strips(x, y)


@cache
def _normal_tables() -> tuple[np.ndarray, np.ndarray]:
    """By the low 8 bits of a draw: signed width of one step of the position; the positions taken at once."""
    x = normal_strips().x
    widths = x[:-1].astype(F)
    positions = np.zeros(widths.size, np.int64)
    for bit in reversed(range(24)):  # boost compares a float32 point with a float64 edge: search, do not divide
        more = positions + (1 << bit)
        points = (more - 1).astype(F) * (widths * _STEP)
        positions = np.where(points.astype(np.float64) < x[1:], more, positions)
    steps = np.stack([-widths * _STEP, widths * _STEP], axis=1)
    return steps.ravel(), np.repeat(positions, 2).astype(np.uint32)


def normal(draws: np.ndarray) -> tuple[np.ndarray, int]:
    """The standard normal numbers (float32) that `draws` (uint32) give in turn, and how many draws they took.

    Draws at the end that begin a number without finishing it are not taken: hand them in again, with more behind.
    """
    steps, positions = _normal_tables()
    low, position = draws & 0xFF, draws >> 8
    values = position.astype(F)
    values *= steps[low]
    rejected = np.flatnonzero(position >= positions[low])
    if not rejected.size:
        return values, draws.size
    kept, end = _resolve(draws, values, rejected)
    return values[:end][kept[:end]], end


def _resolve(draws: np.ndarray, values: np.ndarray, rejected: np.ndarray) -> tuple[np.ndarray, int]:
    """Settle the `rejected` draws, 1.2 % of all: tails are written into `values`.

    Returns the mask of the values that stand and the number of draws used up.
    """
    wedge = _wedges(draws, values, rejected)
    kept = np.ones(draws.size, bool)
    lost = []
    free = 0  # the draws before this one belong to earlier numbers
    for place, verdict in zip(rejected.tolist(), wedge.tolist(), strict=True):
        if place < free:
            continue
        if verdict == _IRREGULAR:
            try:
                taken, free = _slowly(draws, values, place)
            except OutOfDraws:
                kept[lost] = False
                return kept, place
            lost.extend(range(place + taken, free))
        else:
            free = place + 2
            lost.append(place + 1)
            if verdict == _MISSED:
                lost.append(place)
    kept[lost] = False
    return kept, draws.size


_MISSED, _TAKEN, _IRREGULAR = 0, 1, 2


def _wedges(draws: np.ndarray, values: np.ndarray, rejected: np.ndarray) -> np.ndarray:
    """What becomes of each rejected draw if the next one is its height; _IRREGULAR needs `_slowly`."""
    strip = (draws[rejected] & 0xFF) >> 1
    following = np.minimum(rejected + 1, draws.size - 1)
    height = draws[following].astype(F) * _DRAW
    taken = _under(normal_strips(), strip, np.abs(values[rejected]), height)
    irregular = (strip == 0) | (height >= 1) | (rejected + 1 == draws.size)
    return np.where(irregular, _IRREGULAR, taken)


def _under(strips: Strips, strip: np.ndarray, x: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Whether the points (x, at `height` of 0..1 between the strip's edges) lie under the normal density.

    As boost does it: first against the chord and the tangent of the curve, by the side to which it bends; only between
    these against the curve itself.
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


def _slowly(draws: np.ndarray, values: np.ndarray, place: int) -> tuple[int, int]:
    """The number that begins at `place` with a rejected draw, one draw after the other.

    A tail is written to its place in `values`. Returns how many of the values from `place` on stand (1 or 0), and the
    place of the first draw that is free again.
    """
    rest = Draws(draws, place + 1)
    if not (draws[place] & 0xFF) >> 1:
        sign = F(1) if draws[place] & 1 else F(-1)
        values[place] = _tail(rest) * sign
        return 1, rest.place
    strip = np.array([(draws[place] & 0xFF) >> 1])
    taken = _under(normal_strips(), strip, np.abs(values[place : place + 1]), np.array([rest.unit()]))
    return int(taken[0]), rest.place


class Draws:
    """Reads an array of draws one by one."""

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
    """A normal number beyond x[1]: an exponential one above a second, which is the cheaper form of Marsaglia's test."""
    edge = F(normal_strips().x[1])
    while True:
        x, y = exponential(draws) / edge, exponential(draws)
        if F(2) * y > x * x:
            return x + edge


def exponential(draws: Draws) -> np.float32:
    """A standard exponential number. The tail has the form of the whole: draw again, further out."""
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
        elif _under_exponential(strips, strip, x, draws.unit()):
            return x + shift


def _under_exponential(strips: Strips, strip: int, x: np.float32, height: np.float32) -> bool:
    """As `_under`, of exp(-x), which bends one way throughout; the tangent is that at the strip's narrow end."""
    wide, narrow = strips.x[strip], strips.x[strip + 1]
    bottom, top = strips.y[strip], strips.y[strip + 1]
    y = F(bottom) + height * F(top - bottom)
    if F(wide - narrow) * height - (F(wide) - x) >= 0:
        return False
    if y - (F(top) + (F(narrow) - x) * F(top)) < 0:
        return True
    return bool(y < F(math.exp(-float(x))))
