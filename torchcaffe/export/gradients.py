"""Whether an exported module has the gradients of the original, so that training can go on with it.

They begin at the outputs, but behind a last Softmax or Sigmoid, where those of a confident net are all but 0.

Rounding may move a value across 0, or make another value the largest of a window: then a ReLU or a max pooling sends
gradients elsewhere, in BVLC Caffe with another BLAS too. So the module is held against torchcaffe in float64, where
this does not happen, blob by blob; and in float32 against BVLC Caffe, all gradients together.
"""

from collections.abc import Callable

import numpy as np
import torch

from caffeformat import FormatError
from caffeformat.caffeformat_pb2 import NetParameter
from torchcaffe.common.log import Fatal
from torchcaffe.export import check, reference
from torchcaffe.export.exporter import Loaded
from torchcaffe.export.hidden_states import RECURRENT
from torchcaffe.export.reference import Arrays, Case
from torchcaffe.export.refusal import refuse
from torchcaffe.export.trace import Step, Trace, Value
from torchcaffe.layer_types import Layer

_EXACT = 1e-5  # of the largest value of a gradient in float64; constants are rounded to float32 in the exported code
_LEAST = 1e-9  # of the largest gradient, in float64
_TOGETHER = 2e-3  # of the length of all gradients as one vector, in float32
_TRIES = 3  # with other inputs: a single gradient that rounding sent elsewhere can be more than _TOGETHER
_LAST = ("Sigmoid", "Softmax")
_WITHOUT = ("ArgMax", "BatchNorm", "Threshold")  # with no gradient, or with parameters that have none
_ONE_TOP = ("Pooling", *RECURRENT)  # the others are places of maxima or hidden states
_FIRST_ONLY = ("BatchReindex", "Crop")  # the second bottom has a shape or indices

Run = Callable[[Case, torch.dtype], Arrays]


def check_gradients(loaded: Loaded, run: Run, what: str) -> str:
    """Compares the gradients of `run` with the original's, and returns a line about them. Raises Fatal."""
    ends = beginnings(loaded.traced)
    if not ends:
        return "no output has a gradient"
    param = with_loss_weights(loaded.param, {value.blob for value in ends})
    for attempt in range(_TRIES):
        case = _case(loaded.traced, ends, attempt)
        try:
            answers = loaded.ask(param, [case])
            truth = reference.compute(param, loaded.options.caffemodel, case, torch.float64)
        except FormatError as error:
            return f"the gradients were not checked, because the original has none: {error}"
        exact, found, right = run(case, torch.float64), run(case, torch.float32), answers.cases[0]
        names = [name for name in exact if name.startswith("grad ")]
        worst, where = max(_distances(exact, truth, names), default=(0.0, ""))
        if not worst <= _EXACT:
            refuse(changes_of_shared_memory(loaded.traced), "pytorch")
            raise Fatal(
                f"{what}: {where} differs from the original by {worst:.3g} of its largest value in float64; this is an "
                "error of torchcaffe, please report it. Nothing was written"
            )
        apart, own = _together(found, right, names), _together(right, truth, names)
        if apart <= max(_TOGETHER, 3 * own):
            break
    else:
        raise Fatal(f"{what}: all gradients together differ from the original by {apart:.3g}; nothing was written")
    return (
        f"{len(names)} gradients: the largest difference from torchcaffe in float64 is {worst:.3g}; all together "
        f"differ from {answers.by} in float32 by {apart:.3g} of their length, it itself from float64 by {own:.3g}"
    )


def _case(trace: Trace, ends: list[Value], attempt: int) -> Case:
    """Random inputs, of one image where that is possible, and random gradients of `ends`."""
    random = np.random.default_rng(6 + 10 * attempt)
    inputs = check.random_inputs(trace, 7 + 10 * attempt, 1 if trace.takes_one else None)
    sizes = {value.blob: _of_one(value) if trace.takes_one else value.shape for value in ends}
    return Case(inputs, {blob: random.standard_normal(size).astype(np.float32) for blob, size in sizes.items()})


def beginnings(trace: Trace) -> list[Value]:
    """The values at which a backward pass begins: the outputs that have a gradient, or what a last softmax reads."""
    learned: set[str] = set()
    made_by: dict[str, Step] = {}
    for step in trace.steps:
        has_weights = bool(step.layer.blobs) and step.layer.type not in _WITHOUT
        read = step.bottoms[:1] if step.layer.type in _FIRST_ONLY else step.bottoms
        flows = step.layer.type not in ("ArgMax", "Threshold") and any(value.name in learned for value in read)
        if has_weights or flows:
            tops = step.tops[:1] if step.layer.type in _ONE_TOP else step.tops
            learned.update(value.name for value in tops)
        made_by.update({value.name: step for value in step.tops})
    anywhere = {value.name for step in trace.steps for value in step.bottoms}
    ends = {}
    for value in trace.outputs:
        step = made_by[value.name]
        is_last = step.layer.type in _LAST and value.name not in anywhere and step.bottoms[0].blob != value.blob
        end = step.bottoms[0] if is_last else value
        if end.name in learned and trace.blobs[end.blob] is end:
            ends[end.blob] = end
    return [end for end in ends.values() if not _is_read_below(end, trace)]


def changes_of_shared_memory(trace: Trace) -> list[str]:
    """A line for each layer that works in place on one blob and so changes another that is an output or is read.

    PyTorch's gradients follow such a change. Caffe's do not: those of the other blob go past that layer, and a layer
    that has read it before computes its gradients from the new values.
    """
    changed: dict[Layer, dict[str, None]] = {}  # the layer -> its blob, then the others
    for step in trace.steps:
        if step.is_copy:
            blobs = changed.setdefault(step.layer, {step.bottoms[0].blob: None})
            blobs[step.tops[0].blob] = None
    lines = []
    for layer, (own, *others) in changed.items():
        used = {value.blob: "is an output" for value in trace.outputs}
        for step in trace.steps:
            if not step.is_copy and not any(value.blob in changed[layer] for value in step.tops):
                used |= {value.blob: f"layer '{step.layer.name}' reads" for value in step.bottoms}
        lines += [
            f"{layer.where}: layer '{layer.name}' ({layer.type}): it works in place on '{own}' and so changes "
            f"'{blob}', which {used[blob]}; Caffe's gradients do not know of that change, PyTorch's do"
            for blob in others
            if blob in used
        ]
    return lines


def _is_read_below(end: Value, trace: Trace) -> bool:
    """Whether other steps with a gradient read it: its gradient is then theirs to compute."""
    readers = [step for step in trace.steps if not step.is_copy and any(value is end for value in step.bottoms)]
    outputs = {value.name for value in trace.outputs}
    return any(
        step.layer.type not in ("ArgMax", *_LAST) or not outputs.issuperset(value.name for value in step.tops)
        for step in readers
    )


def with_loss_weights(param: NetParameter, ends: set[str]) -> NetParameter:
    """A copy with a loss_weight where a backward pass begins, so that Caffe runs it, and without what lies behind.

    All layers learn.
    """
    copy = NetParameter()
    copy.CopyFrom(param)
    kept, wanted, needed = [], set(ends), set(ends)
    for layer in reversed(list(copy.layer)):
        if not needed & set(layer.top):
            continue
        needed.update(layer.bottom)
        if mine := wanted & set(layer.top):
            layer.loss_weight.extend(float(top in mine) for top in layer.top)
            wanted -= mine
        if layer.type != "BatchNorm":
            for spec in layer.param:
                spec.lr_mult = 1
        kept.append(layer)
    result = NetParameter(name=copy.name)
    result.layer.extend(reversed(kept))
    return result


def _of_one(value: Value) -> tuple[int, ...]:
    """The shape for a batch of one image, of a value whose first axis is the batch."""
    return tuple(size // 2 if varies else size for size, varies in zip(value.shape, value.varies, strict=True))


def _distances(found: Arrays, right: Arrays, names: list[str]) -> list[tuple[float, str]]:
    """Of each gradient the distance by its largest value. One that is all rounding, such as that of a bias below MVN,
    counts as _LEAST of the largest value of all."""
    largest = {name: float(np.nan_to_num(np.abs(right[name])).max(initial=0)) for name in names}
    least = _LEAST * max(largest.values(), default=0.0)
    apart = {name: check.distance(found[name], right[name]) for name in names}
    return [(apart[name] * (largest[name] / least if 0 < largest[name] < least else 1), name) for name in names]


def _together(found: Arrays, right: Arrays, names: list[str]) -> float:
    """The distance of all gradients as one vector, by the length of the right one."""
    squares = length = 0.0
    for name in names:
        true = right[name].astype(np.float64)
        known = np.isfinite(true)
        squares += float(((found[name][known] - true[known]) ** 2).sum())
        length += float((true[known] ** 2).sum())
    return float(np.sqrt(squares / length)) if length else float(np.sqrt(squares))
