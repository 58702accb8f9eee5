"""Which layers of a run's net learn: the copy plan says what the template itself keeps from learning.

Follows Caffe's net.cpp: a blob with `lr_mult: 0` stays, and no gradient goes through a bottom with `propagate_down:
false`. Then the layers behind it get none, and their weights only decay.
"""

from dataclasses import replace
from pathlib import Path

from caffeformat.caffeformat_pb2 import TRAIN, LayerParameter, NetParameter, SolverParameter
from tools.common.errors import UserError
from tools.nets.surgery import LayerPlan
from tools.protocol.heads import MAIN, Places, loss_layers
from tools.protocol.net_graph import NOBODY, NetGraph, graph_of
from tools.protocol.weighted_layers import BESIDE, blob_count

_NOT = "not learning"


def with_what_learns(plan: list[LayerPlan], net: NetParameter, file: Path, solver: SolverParameter) -> list[LayerPlan]:
    """`plan`, the plan of the run's `net`, with what each layer that is not frozen learns.

    Raises UserError, with the line of the template in `file`, if no layer learns.
    """
    graph = graph_of(net, TRAIN, solver)
    stops = _stops(graph)
    at = {net.layer[position].name: position for position in graph.layers}
    plan = [row if row.frozen else replace(row, learning=_learning(net, at[row.name], stops)) for row in plan]
    loose = [row for row in plan if not row.frozen]
    if all(row.learning.startswith(_NOT) for row in loose):
        told = ", ".join(f"{row.layer}: {row.learning}" for row in loose)
        raise UserError(f"{Places(net, file)[at[loose[0].name]]}: no layer of the net would learn; {told}")
    return plan


def _learning(net: NetParameter, position: int, stops: dict[int, str]) -> str:
    layer = net.layer[position]
    if layer.type == "BatchNorm":
        return "learning"  # its mean and variance, whatever the gradient; Caffe sets its lr_mult to 0
    if position in stops:
        return f"{_NOT} (propagate_down: false in {stops[position]})"
    rates = _rates(layer)
    if all(rates):
        return "learning"
    return f"{'learning in part' if any(rates) else _NOT} (lr_mult: 0 in the template)"


def _rates(layer: LayerParameter) -> list[float]:
    """The lr_mult of each blob, as far as their number is known."""
    blobs = blob_count(layer) if layer.type in (*MAIN, *BESIDE) else len(layer.param)
    return [*(param.lr_mult for param in layer.param), *[1.0] * (blobs - len(layer.param))]


def _stops(graph: NetGraph) -> dict[int, str]:
    """The layers that the gradient of no loss reaches: position -> the name of the layer that stops it."""
    layers, stopped = graph.net.layer, dict[int, str]()
    waiting, reached = loss_layers(graph), set[int]()
    while waiting:
        if (position := waiting.pop()) == NOBODY or position in reached:
            continue
        reached.add(position)
        propagates = dict(enumerate(layers[position].propagate_down))
        for number, source in enumerate(graph.sources[position]):
            if propagates.get(number, True):
                waiting.append(source)
            else:
                stopped |= dict.fromkeys(graph.above(position, [number]), layers[position].name)
    return {position: name for position, name in stopped.items() if position not in reached}
