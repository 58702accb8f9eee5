"""pycaffe's draw: a net as a graph, by Graphviz. It needs the package pydot (the extra `draw`) and the program `dot`.

Source followed: BVLC Caffe's python/caffe/draw.py.
"""

from pathlib import Path
from types import ModuleType
from typing import Any

from torchcaffe.common.files import write_file
from torchcaffe.proto import caffe_pb2

LAYER_STYLE_DEFAULT = {"shape": "record", "fillcolor": "#6495ED", "style": "filled"}
NEURON_LAYER_STYLE = {"shape": "record", "fillcolor": "#90EE90", "style": "filled"}
BLOB_STYLE = {"shape": "octagon", "fillcolor": "#E0E0E0", "style": "filled"}

_COLORS = {"Convolution": "#FF5050", "Deconvolution": "#FF5050", "Pooling": "#FF9900", "InnerProduct": "#CC33FF"}
_LEARNING = ("Convolution", "Deconvolution", "InnerProduct")
_NO_LABEL = '""'


def get_pooling_types_dict() -> dict[int, str]:
    """The names of the methods of pooling, by their numbers."""
    return {number: name for name, number in caffe_pb2.PoolingParameter.PoolMethod.items()}


def get_edge_label(layer: caffe_pb2.LayerParameter) -> str:
    """What is written beside the arrow to a top: the batch size, or the number of outputs."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    return _NO_LABEL


def get_layer_lr_mult(layer: caffe_pb2.LayerParameter) -> tuple[float, float]:
    """The lr_mult of weights and bias. Raises ValueError for a type that has none."""
    if layer.type not in _LEARNING:
        raise ValueError(f"{layer.type} layers do not have a learning rate multiplier")
    if len(layer.param) > 2:
        raise ValueError(f"layer {layer.name}: {len(layer.param)} learning rate multipliers; it has two blobs")
    weights, bias = [spec.lr_mult for spec in layer.param] + [1.0] * (2 - len(layer.param))
    return weights, bias


def get_layer_label(layer: caffe_pb2.LayerParameter, rankdir: str, display_lrm: bool = False) -> str:
    """The text of a layer's box, in quotes: name, type, geometry; with `display_lrm` the lr_mult."""
    separator = " " if rankdir in ("TB", "BT") else r"\n"  # a graph from left to right has narrow boxes
    kind = layer.type
    if kind == "Pooling":
        kind = f"{kind} {get_pooling_types_dict()[layer.pooling_param.pool]}"
    parts = [layer.name, f"({kind})"]
    if (geometry := _geometry(layer)) is not None:
        kernel, stride, pad = geometry
        parts.append(separator.join([f"kernel size: {kernel}", f"stride: {stride}", f"pad: {pad}"]))
    if display_lrm and layer.type in _LEARNING:
        weights, bias = get_layer_lr_mult(layer)
        if weights or bias:
            parts.append(f"lr mult: {weights:.1f}, {bias:.1f}")
    return f'"{separator.join(parts)}"'


def choose_color_by_layertype(layertype: str) -> str:
    return _COLORS.get(layertype, LAYER_STYLE_DEFAULT["fillcolor"])


def get_pydot_graph(
    caffe_net: caffe_pb2.NetParameter,
    rankdir: str,
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> Any:
    """The net as a graph of pydot: boxes for layers, octagons for the blobs that layers read.

    `rankdir` is the direction: LR, TB or BT. With `phase`, layers of the other phase are left out. Raises ValueError.
    """
    pydot = _pydot()
    graph = pydot.Dot(caffe_net.name or "Net", graph_type="digraph", rankdir=rankdir)
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str, str]] = []
    for layer in caffe_net.layer:
        if phase is not None and not _is_in_phase(layer, phase):
            continue
        name = f"{layer.name}_{layer.type}"
        in_place = len(layer.bottom) == len(layer.top) == 1 and layer.bottom[0] == layer.top[0]
        style = (
            NEURON_LAYER_STYLE
            if in_place
            else {
                **LAYER_STYLE_DEFAULT,
                "fillcolor": choose_color_by_layertype(layer.type),
            }
        )
        nodes[name] = pydot.Node(get_layer_label(layer, rankdir, display_lrm), **style)
        for blob in layer.bottom:
            nodes[f"{blob}_blob"] = pydot.Node(_quoted(blob), **BLOB_STYLE)
            edges.append((f"{blob}_blob", name, _NO_LABEL))
        for blob in layer.top:
            nodes[f"{blob}_blob"] = pydot.Node(_quoted(blob))
            edges.append((name, f"{blob}_blob", get_edge_label(layer) if label_edges else _NO_LABEL))
    for node in nodes.values():
        graph.add_node(node)
    for source, target, label in edges:
        graph.add_edge(pydot.Edge(nodes[source], nodes[target], label=label))
    return graph


def draw_net(
    caffe_net: caffe_pb2.NetParameter,
    rankdir: str,
    ext: str = "png",
    phase: int | None = None,
    display_lrm: bool = False,
) -> bytes:
    """The picture of the net in the format `ext`, such as png, pdf, svg, or raw, the graph as Graphviz's text.

    Raises FileNotFoundError without Graphviz's program dot, ValueError if it has no such format.
    """
    graph = get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm)
    if ext == "raw":
        return str(graph.to_string()).encode()
    try:
        picture: bytes = graph.create(format=ext)
    except FileNotFoundError:
        raise FileNotFoundError("caffe.draw needs Graphviz's program dot: install the package graphviz") from None
    except AssertionError as error:  # pydot's, with what dot said
        raise ValueError(f"Graphviz's program dot draws no {ext}: {error}") from None
    return picture


def draw_net_to_file(
    caffe_net: caffe_pb2.NetParameter,
    filename: str | Path,
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Writes the picture of the net; the file's ending is its format. It appears complete or not at all."""
    write_file(filename, [draw_net(caffe_net, rankdir, Path(filename).suffix[1:], phase, display_lrm)])


def _geometry(layer: caffe_pb2.LayerParameter) -> tuple[int, int, int] | None:
    """Kernel size, stride and pad along the first axis; None for a layer without."""
    if layer.type == "Pooling":
        pooling = layer.pooling_param
        return pooling.kernel_size, pooling.stride, pooling.pad
    if layer.type in ("Convolution", "Deconvolution"):
        param = layer.convolution_param
        return (*param.kernel_size, 1)[0], (*param.stride, 1)[0], (*param.pad, 0)[0]
    return None


def _is_in_phase(layer: caffe_pb2.LayerParameter, phase: int) -> bool:
    if layer.include and layer.exclude:
        raise ValueError(f"layer {layer.name} has both include and exclude specified.")
    if layer.include:
        return any(rule.phase == phase for rule in layer.include)
    return not any(rule.phase == phase for rule in layer.exclude)


def _quoted(name: str) -> str:
    """A blob's name for Graphviz, where a colon in a plain name has a meaning."""
    return f'"{name}"' if ":" in name else name


def _pydot() -> ModuleType:
    try:
        import pydot
    except ImportError:
        hint = "`pip install pydot`, or torchcaffe with its extra `draw`"
        raise ImportError(f"caffe.draw needs the Python package pydot: {hint}") from None
    return pydot
