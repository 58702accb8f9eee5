"""The graph of a net in one phase: which layers it has, and which of them gives each blob that another reads.

Follows Caffe's net.cpp: FilterNet and StateMeetsRule choose the layers; a bottom is the blob that the last layer above
it has written under that name; the outputs are the blobs that no layer reads.
"""

from collections.abc import Iterable

from caffeformat.caffeformat_pb2 import (
    TEST,
    TRAIN,
    LayerParameter,
    NetParameter,
    NetState,
    NetStateRule,
    SolverParameter,
)

PHASES: dict[int, str] = {TRAIN: "TRAIN", TEST: "TEST"}
NOBODY = -1  # the source of a bottom that no layer gives


class NetGraph:
    """One phase of a net. Layers are named by their position in `net.layer`.

    layers: the positions of the layers that this phase has, in the order of the net.
    sources: position -> for each bottom the position of the layer that gives it, or NOBODY.
    outputs: the names of the blobs that the net gives out.
    unknown: (position, blob) for each bottom that no layer above gives: Caffe refuses the net.
    """

    def __init__(self, net: NetParameter, state: NetState) -> None:
        self.net = net
        self.sources: dict[int, list[int]] = {}
        self.unknown: list[tuple[int, str]] = []
        written: dict[str, int] = {}
        unread: set[str] = set()
        for position, layer in enumerate(net.layer):
            if not _is_in(layer, state):
                continue
            self.sources[position] = [written.get(blob, NOBODY) for blob in layer.bottom]
            self.unknown += [(position, blob) for blob in layer.bottom if blob not in written and blob not in net.input]
            unread.difference_update(layer.bottom)
            written.update(dict.fromkeys(layer.top, position))
            unread.update(layer.top)
        self.layers = list(self.sources)
        self.outputs = frozenset(unread)
        self._written = written

    def of_type(self, type_: str) -> list[int]:
        """The positions of this phase's layers of a type."""
        return [position for position in self.layers if self.net.layer[position].type == type_]

    def above(self, position: int, bottoms: Iterable[int] | None = None) -> set[int]:
        """The layers that a layer depends on, by all its bottoms or by those with the numbers `bottoms`."""
        sources = self.sources[position]
        return self._with_sources(sources if bottoms is None else [sources[number] for number in bottoms])

    def producing(self, blobs: Iterable[str]) -> set[int]:
        """The layers that compute these blobs as the net leaves them; none for a blob that it does not have."""
        return self._with_sources([self._written.get(blob, NOBODY) for blob in blobs])

    def _with_sources(self, layers: list[int]) -> set[int]:
        waiting, found = list(layers), set[int]()
        while waiting:
            if (layer := waiting.pop()) != NOBODY and layer not in found:
                found.add(layer)
                waiting += self.sources[layer]
        return found

    def nearest(self, position: int, types: Iterable[str]) -> set[int]:
        """The first layers of these types on each way back from a layer; none for a layer of the other phase."""
        waiting, seen, found = list(self.sources.get(position, ())), set[int](), set[int]()
        while waiting:
            if (layer := waiting.pop()) == NOBODY or layer in seen:
                continue
            seen.add(layer)
            if self.net.layer[layer].type in types:
                found.add(layer)
            else:
                waiting += self.sources[layer]
        return found

    def depths(self, types: Iterable[str]) -> dict[int, int]:
        """Position -> how many layers of these types the longest way from the data to it has, itself included."""
        depths = {NOBODY: 0}
        for position, sources in self.sources.items():
            above = max((depths[source] for source in sources), default=0)
            depths[position] = above + (self.net.layer[position].type in types)
        return depths


def graph_of(net: NetParameter, phase: int, solver: SolverParameter | None = None) -> NetGraph:
    """The net that `solver` trains (TRAIN) or its first test net (TEST). Without a solver, no stage or level is set."""
    state = NetState(phase=phase)  # type: ignore[arg-type]  # TRAIN or TEST
    state.MergeFrom(net.state)
    if solver and phase == TRAIN:
        state.MergeFrom(solver.train_state)
    elif solver and solver.test_state:
        state.MergeFrom(solver.test_state[0])
    return NetGraph(net, state)


def _is_in(layer: LayerParameter, state: NetState) -> bool:
    if layer.include:
        return any(_meets(rule, state) for rule in layer.include)
    return not any(_meets(rule, state) for rule in layer.exclude)


def _meets(rule: NetStateRule, state: NetState) -> bool:
    """Caffe's StateMeetsRule."""
    return (
        (not rule.HasField("phase") or rule.phase == state.phase)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and set(rule.stage) <= set(state.stage)
        and not set(rule.not_stage) & set(state.stage)
    )
