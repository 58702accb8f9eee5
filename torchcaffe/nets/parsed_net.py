"""A net's prototxt before it is built, and which of its layers a state (phase, level, stages) includes.

Source followed: BVLC Caffe's Net::FilterNet and Net::StateMeetsRule.
"""

from dataclasses import dataclass

from caffeformat.caffeformat_pb2 import LayerParameter, NetParameter, NetState, NetStateRule
from torchcaffe.common import log


@dataclass
class ParsedNet:
    """A net's message and, for each of its layers, the place that errors name: `file:line`."""

    param: NetParameter
    places: list[str]

    def with_layers(self, layers: list[tuple[LayerParameter, str]]) -> "ParsedNet":
        """A copy with other layers, each with its place."""
        param = NetParameter()
        param.CopyFrom(self.param)
        del param.layer[:]
        param.layer.extend(layer for layer, _ in layers)
        return ParsedNet(param, [place for _, place in layers])


def filtered(parsed: ParsedNet) -> ParsedNet:
    """`parsed` without the layers that its `state` excludes. Raises Fatal."""
    state = parsed.param.state
    layers = zip(parsed.param.layer, parsed.places, strict=True)
    return parsed.with_layers([(layer, place) for layer, place in layers if _is_included(layer, state, place)])


def _is_included(layer: LayerParameter, state: NetState, place: str) -> bool:
    log.check(
        not (layer.include and layer.exclude),
        f"{place}: layer '{layer.name}': Specify either include rules or exclude rules; not both.",
        "net.cpp:265",
    )
    if layer.include:
        return any(_meets(state, rule, layer.name) for rule in layer.include)
    return not any(_meets(state, rule, layer.name) for rule in layer.exclude)


def _meets(state: NetState, rule: NetStateRule, layer: str) -> bool:
    """Whether `state` meets `rule`. If not, logs why."""
    ending = f"specified by a rule in layer {layer}"
    if rule.HasField("phase") and rule.phase != state.phase:
        reason = f"The NetState phase ({state.phase}) differed from the phase ({rule.phase})"
        log.info("net.cpp:296", f"{reason} {ending}")
        return False
    if rule.HasField("min_level") and state.level < rule.min_level:
        reason = f"The NetState level ({state.level}) is above the min_level ({rule.min_level})"
        log.info("net.cpp:306", f"{reason} {ending}")
        return False
    if rule.HasField("max_level") and state.level > rule.max_level:
        reason = f"The NetState level ({state.level}) is above the max_level ({rule.max_level})"
        log.info("net.cpp:316", f"{reason} {ending}")
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
