"""Whether an exported net computes what the original does: blob by blob, on random inputs and on real ones."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from torchcaffe.common.log import Fatal
from torchcaffe.export.reference import Arrays, Case
from torchcaffe.export.trace import Trace, Value

ALLOWED = 1e-4  # of the largest value of a blob; more only where the original is as far from its own exact values
_INDICES_APART = 0.01  # share of the indices in a blob: nearly equal values change their order
_FROM_EXACT = 10  # how many times further from the exact values than the original an exported net may be
_SAME_VALUES = ("Flatten", "Reshape", "Slice", "Split")
_MARKERS = {"LSTM": 1, "LSTMUnit": 2, "RNN": 1}  # the bottom, cont, that is 0 where a sequence begins, else 1


@dataclass
class Report:
    """The largest difference of all blobs, by the largest value of its blob, and where it is."""

    worst: float = 0.0
    where: str = ""
    compared: int = 0
    notes: list[str] = field(default_factory=list)
    above: list[tuple[float, float, str]] = field(default_factory=list)  # difference, the original's own, blob
    not_finite: dict[str, None] = field(default_factory=dict)  # blobs of the original that hold such values

    def note(self, where: str, apart: float) -> None:
        self.compared += 1
        if apart >= self.worst:
            self.worst, self.where = apart, where

    def lines(self) -> list[str]:
        """What else there is to tell."""
        notes = list(self.notes)
        if self.not_finite:
            names = ", ".join(self.not_finite)
            notes.append(f"{names}: compared where finite; the other values are nan or infinite in the original, too")
        if not self.above:
            return notes
        apart, own, name = max(self.above)
        return [
            *notes,
            f"{len(self.above)} are further apart than {ALLOWED:g}, and so is the original from what it computes in "
            f"float64: {name} by {apart:.3g}, the original by {own:.3g}",
        ]


def random_inputs(trace: Trace, seed: int, batch: int | None = None, deviation: float = 50) -> Arrays:
    """Values for every input, float32: pixels with this deviation for images, numbers in range for indices.

    `batch` replaces the batch size where that varies.
    """
    random = np.random.default_rng(seed)
    limits = _index_limits(trace, batch)
    inputs = {}
    for value in trace.inputs:
        shape = tuple(
            batch if batch and varies else size for size, varies in zip(value.shape, value.varies, strict=True)
        )
        if value.name in limits:
            array = random.integers(0, max(1, limits[value.name]), shape).astype(np.float32)
        else:
            array = random.standard_normal(shape, np.float32) * (deviation if len(shape) == 4 else 1)
        inputs[value.blob] = array
    return inputs


def _index_limits(trace: Trace, batch: int | None) -> dict[str, int]:
    """The inputs that are indices, and how many values they may have."""
    above = {
        top.name: step.bottoms[0].name for step in trace.steps if step.layer.type in _SAME_VALUES for top in step.tops
    }
    limits = {}
    for step in trace.steps:
        if step.layer.type not in ("Embed", "BatchReindex", *_MARKERS):
            continue
        is_embed = step.layer.type == "Embed"
        name = step.bottoms[_MARKERS.get(step.layer.type, 0 if is_embed else 1)].name
        while name in above:
            name = above[name]
        images = batch if batch and step.bottoms[0].varies[0] else step.bottoms[0].shape[0]
        limit = 2 if step.layer.type in _MARKERS else images
        limits[name] = step.layer.param.embed_param.input_dim if is_embed else limit
    return limits


def compare(
    report: Report,
    found: Arrays,
    right: Arrays,
    exact: Callable[[], Arrays],
    indices: Iterable[str] = (),
    what: str = "",
) -> None:
    """Adds all arrays of `found` to the report. Raises Fatal if one is too far from that of `right`.

    `exact` computes the arrays in float64; it is called only if one is further away than ALLOWED. `indices` are the
    names of arrays of indices, which are equal or not.
    """
    truth: Arrays = {}
    for name, array in found.items():
        true = right[name]
        if array.shape != true.shape:
            raise Fatal(f"{what}: {name} is of {array.shape}, but of {true.shape} in the original; nothing was written")
        if name in indices:
            share = float((array != true).mean()) if array.size else 0.0
            if share:
                report.notes.append(f"{name}: {share:.2%} of the indices differ, where values are nearly equal")
            if share > _INDICES_APART:
                raise Fatal(f"{what}: {name}: {share:.0%} of the indices differ; nothing was written")
            report.compared += 1
            continue
        apart = distance(array, true)
        if not np.isfinite(true).all():
            report.not_finite[name] = None
        if not apart <= ALLOWED:
            truth = truth or exact()
            own = distance(true, truth[name])
            if not distance(array, truth[name]) <= _FROM_EXACT * own:
                raise Fatal(
                    f"{what}: {name} differs from the original by {apart:.3g} of its largest value, {ALLOWED:g} is "
                    "allowed; this is an error of torchcaffe, please report it. Nothing was written"
                )
            report.above.append((apart, own, name))
        report.note(name, apart)


def distance(found: np.ndarray, right: np.ndarray) -> float:
    """max|a - b| / max|b|; infinite unless both have nan and infinite values in the same places."""
    found, right = np.asarray(found, np.float64), np.asarray(right, np.float64)
    finite = np.isfinite(right)
    if not np.array_equal(found[~finite], right[~finite], equal_nan=True):
        return float("inf")
    found, right = found[finite], right[finite]
    apart = np.abs(found - right).max(initial=0)
    return float(apart / (np.abs(right).max(initial=0) or 1)) if np.isfinite(apart) else float("inf")


def index_blobs(trace: Trace) -> set[str]:
    """The blobs that hold indices: tops of ArgMax, second tops of Pooling."""
    found: set[Value] = set()
    for step in trace.steps:
        if step.layer.type == "ArgMax" and not step.layer.param.argmax_param.out_max_val:
            found.update(step.tops)
        elif step.layer.type == "Pooling":
            found.update(step.tops[1:])
    return {value.blob for value in found}


def cases(trace: Trace, real: Arrays) -> list[tuple[str, Case]]:
    """Random inputs, and real ones if `real` has all inputs, such that two batch sizes occur if any is allowed."""
    made = [("random inputs", Case(random_inputs(trace, 1), {}))]
    size = None if trace.fixed else 3
    there: set[int] = set()
    if trace.inputs and real.keys() >= {value.blob for value in trace.inputs}:
        some = {value.blob: _first(real[value.blob], value.batch_axis, size) for value in trace.inputs}
        there = {some[x.blob].shape[x.batch_axis] for x in trace.inputs if x.batch_axis is not None}
        if trace.fixed or (len(there) == 1 and (there != {1} or trace.takes_one)):
            made.append(("real inputs", Case(some, {})))
    if len(made) == 1 or (size and there != {size}):
        made.append(("random inputs", Case(random_inputs(trace, 4, size, 1), {})))
    return made


def _first(array: np.ndarray, axis: int | None, size: int | None) -> np.ndarray:
    """So many images of a batch along `axis`; all if one of both is None."""
    return array if axis is None else array[(slice(None),) * axis + (slice(size),)]
