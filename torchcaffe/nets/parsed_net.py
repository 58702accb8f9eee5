"""A net's prototxt before it is built: where each layer stands in its file, which layers the state includes, splits.

Source followed: BVLC Caffe's Net::FilterNet, Net::StateMeetsRule and util/insert_splits.cpp.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import LayerParameter, NetParameter, NetState, NetStateRule
from torchcaffe.common import log
from torchcaffe.nets import upgrade

_TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[{}<>]|\n|\w+""")


@dataclass
class Source:
    """A net and, for each of its layers, the place to name in an error: `file:line`."""

    param: NetParameter
    places: list[str]


def read(path: str | Path) -> Source:
    """The net in a prototxt file, brought up to date as Caffe does. Raises FormatError."""
    param = prototxt.read_net(path)
    lines = layer_lines(Path(path).read_text(encoding="utf-8-sig", errors="replace"))
    count = len(param.layer) + len(param.layers)
    places = [f"{path}:{line}" for line in lines] if len(lines) == count else [str(path)] * count
    return upgrade.net(Source(param, places), str(path))


def from_message(param: NetParameter, name: str) -> Source:
    """The net in a message, such as a solver's `net_param`; `name` stands for the file."""
    copy = NetParameter()
    copy.CopyFrom(param)
    layers = copy.layer or copy.layers
    return upgrade.net(Source(copy, [f"{name}, layer {index}" for index in range(len(layers))]), name)


def layer_lines(text: str) -> list[int]:
    """The line of each `layer` or `layers` block at the top of a prototxt, from 1. Lists of blocks are not seen."""
    lines, line, depth, last, named_at = [], 1, 0, "", 1
    for token in _TOKEN.findall(text):
        if token == "\n":
            line += 1
        elif token in "{<":
            if depth == 0 and last in ("layer", "layers"):
                lines.append(named_at)
            depth += 1
        elif token in "}>":
            depth -= 1
        elif token[0] not in "#\"'":
            last, named_at = token, line
    return lines


def filtered(source: Source) -> Source:
    """Without the layers that the net's state leaves out. Raises Fatal."""
    state = source.param.state
    kept = [
        (layer, place)
        for layer, place in zip(source.param.layer, source.places, strict=True)
        if _included(layer, state, place)
    ]
    return _with_layers(source.param, kept)


def _included(layer: LayerParameter, state: NetState, place: str) -> bool:
    both = layer.include and layer.exclude
    log.check(
        not both,
        f"{place}: layer '{layer.name}': Specify either include rules or exclude rules; not both.",
        "net.cpp:265",
    )
    if layer.include:
        return any(_meets(state, rule, layer.name) for rule in layer.include)
    return not any(_meets(state, rule, layer.name) for rule in layer.exclude)


def _meets(state: NetState, rule: NetStateRule, name: str) -> bool:
    """Whether a state meets a rule; if not, the log says by what."""
    ending = f"specified by a rule in layer {name}"
    if rule.HasField("phase") and rule.phase != state.phase:
        found = f"The NetState phase ({state.phase}) differed from the phase ({rule.phase})"
        log.info("net.cpp:296", f"{found} {ending}")
        return False
    if rule.HasField("min_level") and state.level < rule.min_level:
        found = f"The NetState level ({state.level}) is above the min_level ({rule.min_level})"
        log.info("net.cpp:306", f"{found} {ending}")
        return False
    if rule.HasField("max_level") and state.level > rule.max_level:
        found = f"The NetState level ({state.level}) is above the max_level ({rule.max_level})"
        log.info("net.cpp:316", f"{found} {ending}")
        return False
    for stage in rule.stage:
        if stage not in state.stage:
            log.info("net.cpp:332", f"The NetState did not contain stage '{stage}' {ending}")
            return False
    for stage in rule.not_stage:
        if stage in state.stage:
            log.info("net.cpp:347", f"The NetState contained a not_stage '{stage}' {ending}")
            return False
    return True


def with_splits(source: Source) -> Source:
    """With a Split layer behind every top that is read more than once, a loss counting as a reader. Raises Fatal."""
    readers = _readers(source)
    taken: Counter[tuple[int, int]] = Counter()
    tops: dict[str, tuple[int, int]] = {}
    kept: list[tuple[LayerParameter, str]] = []
    for index, (layer, place) in enumerate(zip(source.param.layer, source.places, strict=True)):
        copy = LayerParameter()
        copy.CopyFrom(layer)
        kept.append((copy, place))
        for position, blob in enumerate(layer.bottom):
            top = tops[blob]
            if readers[top] > 1:
                maker = source.param.layer[top[0]].name
                copy.bottom[position] = _split_name(blob, maker, top[1]) + f"_{taken[top]}"
                taken[top] += 1
        for position, blob in enumerate(layer.top):
            tops[blob] = (index, position)
        for position, blob in enumerate(layer.top):
            if readers[index, position] > 1:
                weight = layer.loss_weight[position] if position < len(layer.loss_weight) else 0
                kept.append((_split(layer.name, blob, position, readers[index, position], weight), place))
                if weight:
                    del copy.loss_weight[:]
                    taken[index, position] += 1
    return _with_layers(source.param, kept)


def _readers(source: Source) -> Counter[tuple[int, int]]:
    """How often the top at (layer index, top index) is read."""
    count: Counter[tuple[int, int]] = Counter()
    tops: dict[str, tuple[int, int]] = {}
    for index, (layer, place) in enumerate(zip(source.param.layer, source.places, strict=True)):
        for position, blob in enumerate(layer.bottom):
            unknown = f"{place}: Unknown bottom blob '{blob}' (layer '{layer.name}', bottom index {position})"
            log.check(blob in tops, unknown, "insert_splits.cpp:29")
            count[tops[blob]] += 1
        for position, blob in enumerate(layer.top):
            tops[blob] = (index, position)
        for blob, weight in zip(layer.top, layer.loss_weight, strict=False):
            count[tops[blob]] += weight != 0
    return count


def _split(layer: str, blob: str, position: int, tops: int, loss_weight: float) -> LayerParameter:
    name = _split_name(blob, layer, position)
    split = LayerParameter(name=name, type="Split", bottom=[blob])
    split.top.extend(f"{name}_{index}" for index in range(tops))
    if loss_weight:
        split.loss_weight.extend([loss_weight] + [0] * (tops - 1))
    return split


def _split_name(blob: str, layer: str, position: int) -> str:
    return f"{blob}_{layer}_{position}_split"


def _with_layers(param: NetParameter, layers: list[tuple[LayerParameter, str]]) -> Source:
    new = NetParameter()
    new.CopyFrom(param)
    del new.layer[:]
    new.layer.extend(layer for layer, _ in layers)
    return Source(new, [place for _, place in layers])
