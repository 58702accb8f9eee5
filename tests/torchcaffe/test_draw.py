"""caffe.draw: the graph of a net, as text for Graphviz, and as a picture where its program dot is installed."""

import shutil
from pathlib import Path

import pydot
import pytest

import torchcaffe as caffe
from torchcaffe import draw
from torchcaffe import layers as L


@pytest.fixture
def net() -> caffe.proto.caffe_pb2.NetParameter:
    n = caffe.NetSpec()
    n.data = L.Data(batch_size=7, include=dict(phase=caffe.TRAIN))
    n.conv = L.Convolution(n.data, num_output=5, kernel_size=3, pad=1, param=[dict(lr_mult=2)])
    n.relu = L.ReLU(n.conv, in_place=True)
    n["a:b"] = L.Pooling(n.relu, kernel_size=2, stride=2, pool=1)
    n.ip = L.InnerProduct(n["a:b"], num_output=4, param=[dict(lr_mult=0), dict(lr_mult=0)])
    net = n.to_proto()
    net.name = "it"
    return net


def labels(graph: pydot.Dot) -> tuple[list[str], list[tuple[str, str, str]]]:
    nodes = [node.get_name() for node in graph.get_nodes()]
    edges = [(e.get_source(), e.get_destination(), e.get("label")) for e in graph.get_edges()]
    return sorted(nodes), sorted(edges)


def test_layers_and_blobs_are_nodes_with_their_settings(net: caffe.proto.caffe_pb2.NetParameter) -> None:
    nodes, edges = labels(draw.get_pydot_graph(net, "TB", display_lrm=True))
    conv = '"conv (Convolution) kernel size: 3 stride: 1 pad: 1 lr mult: 2.0, 1.0"'
    pool = '"a:b (Pooling AVE) kernel size: 2 stride: 2 pad: 0"'
    assert nodes == sorted(
        [conv, pool, '"data (Data)"', '"relu (ReLU)"', '"ip (InnerProduct)"', "data", "conv", '"a:b"', "ip"]
    )
    assert ('"data (Data)"', "data", "Batch 7") in edges and (conv, "conv", "5") in edges
    assert ("conv", '"relu (ReLU)"', '""') in edges and ('"ip (InnerProduct)"', "ip", "4") in edges
    colors = {node.get_name(): node.get("fillcolor") for node in draw.get_pydot_graph(net, "TB").get_nodes()}
    assert colors['"relu (ReLU)"'].strip('"') == "#90EE90"
    assert colors['"ip (InnerProduct)"'].strip('"') == "#CC33FF"
    assert r"\n" in draw.get_layer_label(net.layer[1], "LR")


def test_layers_of_the_other_phase_are_left_out(net: caffe.proto.caffe_pb2.NetParameter) -> None:
    assert '"data (Data)"' not in labels(draw.get_pydot_graph(net, "TB", phase=caffe.TEST))[0]
    assert '"data (Data)"' in labels(draw.get_pydot_graph(net, "TB", phase=caffe.TRAIN))[0]
    net.layer[0].exclude.add(phase=caffe.TEST)
    with pytest.raises(ValueError, match="layer data has both include and exclude"):
        draw.get_pydot_graph(net, "TB", phase=caffe.TEST)


def test_a_type_without_learning_rates_is_refused(net: caffe.proto.caffe_pb2.NetParameter) -> None:
    with pytest.raises(ValueError, match="ReLU layers do not have a learning rate multiplier"):
        draw.get_layer_lr_mult(net.layer[2])


def test_the_picture_is_written_or_the_missing_program_is_named(
    net: caffe.proto.caffe_pb2.NetParameter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("dot"):
        draw.draw_net_to_file(net, tmp_path / "net.svg")
        assert "kernel size: 3" in (tmp_path / "net.svg").read_text()
        with pytest.raises(ValueError, match=r"(?s)draws no nosuch: .*returned code"):
            draw.draw_net_to_file(net, tmp_path / "net.nosuch")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="needs Graphviz's program dot"):
        draw.draw_net_to_file(net, tmp_path / "net.png")
    assert not (tmp_path / "net.png").exists()
    draw.draw_net_to_file(net, tmp_path / "net.raw")
    assert (tmp_path / "net.raw").read_text().startswith("digraph it {")
