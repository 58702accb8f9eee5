"""Split layers: Caffe inserts one after every top that several layers read, so that their gradients are added.

Source followed: BVLC Caffe's util/insert_splits.cpp.
"""

from collections import Counter

from caffeformat.caffeformat_pb2 import LayerParameter
from torchcaffe.common import log
from torchcaffe.nets.parsed_net import ParsedNet

Top = tuple[int, int]  # index of the layer, index among its tops


def with_splits(parsed: ParsedNet) -> ParsedNet:
    """`parsed` with a Split layer after every top that is read more than once. A loss counts as a reader. Raises Fatal
    for a bottom that no earlier layer produces."""
    readers = _count_readers(parsed)
    used: Counter[Top] = Counter()  # how many tops of a Split have a reader so far
    tops: dict[str, Top] = {}
    layers: list[tuple[LayerParameter, str]] = []
    for index, (layer, place) in enumerate(zip(parsed.param.layer, parsed.places, strict=True)):
        copy = LayerParameter()
        copy.CopyFrom(layer)
        layers.append((copy, place))
        for position, blob in enumerate(layer.bottom):
            top = tops[blob]
            if readers[top] > 1:
                producer = parsed.param.layer[top[0]].name
                copy.bottom[position] = _split_name(blob, producer, top[1]) + f"_{used[top]}"
                used[top] += 1
        for position, blob in enumerate(layer.top):
            tops[blob] = (index, position)
        for position, blob in enumerate(layer.top):
            if readers[index, position] > 1:
                weight = layer.loss_weight[position] if position < len(layer.loss_weight) else 0
                layers.append((_split(layer.name, blob, position, readers[index, position], weight), place))
                if weight:
                    del copy.loss_weight[:]
                    used[index, position] += 1
    return parsed.with_layers(layers)


def _count_readers(parsed: ParsedNet) -> Counter[Top]:
    count: Counter[Top] = Counter()
    tops: dict[str, Top] = {}
    for index, (layer, place) in enumerate(zip(parsed.param.layer, parsed.places, strict=True)):
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
