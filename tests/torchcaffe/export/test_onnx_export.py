"""An ONNX file, from a prototxt to its metadata, and what is refused."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from caffeformat import FormatError
from tests.helpers.both_engines import net_of
from tests.helpers.exported import LENET, export, layer
from torchcaffe.export import onnx_export, onnx_file, onnx_graph


def test_the_file_says_what_it_is_and_against_what_it_was_checked(tmp_path: Path, pycaffe: Path) -> None:
    said = export(tmp_path, "onnx", LENET, pycaffe=pycaffe)
    model = onnx.load(tmp_path / "out")
    facts = {fact.key: fact.value for fact in model.metadata_props}
    assert facts["checked_against"] == "BVLC Caffe 1.0.0, on random inputs"
    assert float(facts["largest_difference"]) < 1e-5 and facts["largest_difference"] in said[1]
    assert (facts["name"], facts["caffemodel"], facts["batch_size"]) == ("small", "net.caffemodel", "any")
    assert model.opset_import[0].version == onnx_graph.OPSET
    (given,) = model.graph.input
    assert [size.dim_param or size.dim_value for size in given.type.tensor_type.shape.dim] == ["N", 1, 12, 12]
    assert onnx_file.run(model, {"data": np.zeros((5, 1, 12, 12), np.float32)})["prob"].shape == (5, 5)


def test_values_have_caffes_blob_names_and_constants_those_of_layers(tmp_path: Path) -> None:
    export(tmp_path, "onnx", LENET)
    graph = onnx.load(tmp_path / "out").graph
    assert {"conv1", "pool1", "ip/2", "prob"} <= {name for node in graph.node for name in node.output}
    assert {"conv1/0", "conv1/1", "ip/2/0", "ip/2/1"} <= {constant.name for constant in graph.initializer}


def test_all_layers_that_cannot_be_exported_are_named_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    text = net_of(layer("Python", "y") + layer("Filter", "z", "x chosen"), x=(2, 3), chosen=(2,))
    with pytest.raises(FormatError) as refused:
        export(tmp_path, "onnx", text, weights_of=net_of(layer("ReLU", "y"), x=(2, 3)))
    lines = str(refused.value).splitlines()
    assert "layer 'y' (Python): it runs your own Python class" in lines[1] and "net.prototxt:" in lines[1]
    assert "layer 'z' (Filter): the size of its top depends" in lines[2] and not (tmp_path / "out").exists()


def test_a_layer_without_weights_in_the_caffemodel_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"net.caffemodel: no weights, or only nan, for layer 'ip/2'"):
        export(tmp_path, "onnx", LENET, weights_of=LENET.replace('name: "ip/2"', 'name: "other"'))


def test_a_difference_from_the_original_is_an_error_and_nothing_is_written(tmp_path: Path, monkeypatch) -> None:
    run = onnx_file.run
    monkeypatch.setattr(onnx_export.onnx_file, "run", lambda *a: {k: v * 1.001 for k, v in run(*a).items()})
    with pytest.raises(FormatError, match=r"differs from the original by 0.001"):
        export(tmp_path, "onnx", LENET)
    assert not (tmp_path / "out").exists()


def test_a_graph_that_onnxruntime_refuses_is_one_error() -> None:
    with pytest.raises(FormatError, match="onnxruntime cannot run the exported net"):
        onnx_file.run(onnx.ModelProto(), {})


def test_a_net_that_cuts_its_batch_keeps_its_size(tmp_path: Path) -> None:
    text = net_of(layer("Slice", "a b", settings="slice_param { axis: 0 }"), x=(4, 3))
    said, model = export(tmp_path, "onnx", text)[0], onnx.load(tmp_path / "out")
    assert [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim] == [4, 3]
    (fact,) = [fact.value for fact in model.metadata_props if fact.key == "batch_size"]
    assert fact in said and fact.startswith("only this batch size, x of 4 x 3 (net.prototxt:")


def test_weights_that_no_onnx_file_holds_are_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(onnx_file, "_MOST", 100)
    with pytest.raises(FormatError, match="more than 2 GB of weights, which no ONNX file holds; export to safetensors"):
        export(tmp_path, "onnx", LENET)
    assert not (tmp_path / "out").exists()
