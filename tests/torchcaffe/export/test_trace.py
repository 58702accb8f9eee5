"""The steps of a net, and which sizes depend on the batch size."""

from pathlib import Path

import pytest

from tests.helpers.both_engines import net_of
from tests.helpers.exported import export, layer, recurrent, weighted
from torchcaffe.export.exporter import Options, load, quiet
from torchcaffe.export.trace import Trace


def traced(folder: Path, text: str, types: set[str] | None = None) -> Trace:
    with quiet():
        return load(Options(*weighted(folder, text), "onnx", folder / "out"), types).traced


def test_a_layer_in_place_writes_a_new_value_and_the_last_one_has_the_name(tmp_path: Path) -> None:
    body = layer("Power", "y") + 'layer { name: "r" type: "ReLU" bottom: "y" top: "y" }'
    steps = traced(tmp_path, net_of(body, x=(4, 3))).steps
    assert [[top.name for top in step.tops] for step in steps] == [["x"], ["y/y"], ["y"]]
    assert steps[2].bottoms[0].name == "y/y"


def test_sizes_that_depend_on_the_batch_vary(tmp_path: Path) -> None:
    body = layer("Reshape", "rows", settings="reshape_param { shape { dim: -1 dim: 2 } }")
    net = traced(tmp_path, net_of(body, x=(4, 6)))
    assert (net.outputs[0].varies, net.outputs[0].shape, net.fixed) == ((True, False), (6, 2), "")


def test_a_reshape_to_a_fixed_size_keeps_the_batch_of_the_prototxt(tmp_path: Path) -> None:
    body = layer("Reshape", "y", settings="reshape_param { shape { dim: 3 dim: 8 } }")
    net = traced(tmp_path, net_of(body, x=(4, 6)))
    assert net.outputs[0].is_fixed and net.inputs[0].shape == (4, 6) and "count" in net.fixed


def test_the_batch_is_that_of_the_images_and_other_inputs_are_told(tmp_path: Path) -> None:
    """As in Faster R-CNN, whose im_info may come first."""
    body = layer("Power", "y", "data") + layer("Power", "z", "im_info")
    net = traced(tmp_path, net_of(body, im_info=(1, 3), data=(4, 3, 8, 8)))
    assert [value.varies[0] for value in net.inputs] == [False, True]
    assert net.sizes() == "batches of any size, but im_info of 1 x 3"


def test_of_sequences_the_streams_are_the_batch_and_so_are_the_images_that_they_describe(tmp_path: Path) -> None:
    body = recurrent("LSTM", "h", "embed cont") + layer("LSTM", "y", "h cont fc", "recurrent_param { num_output: 3 }")
    body = layer("Embed", "embed", "word", "embed_param { input_dim: 7 num_output: 6 }") + body
    body = layer("InnerProduct", "fc", "data", "inner_product_param { num_output: 4 }") + body
    net = traced(tmp_path, net_of(body, cont=(4, 3), word=(4, 3), data=(3, 3, 5, 5)), {"LSTM", "Embed", "InnerProduct"})
    axes = {value.blob: value.batch_axis for value in net.inputs}
    assert axes == dict.fromkeys(("h_h_0", "h_c_0", "y_h_0", "y_c_0", "cont", "word"), 1) | {"data": 0}
    assert net.blobs["y"].varies == (False, True, False) and net.takes_one and not net.fixed


def test_sequences_of_another_number_than_the_images_keep_their_shapes(tmp_path: Path) -> None:
    """As in video: the frames of all sequences are one batch, which a Reshape takes to pieces."""
    cut = "reshape_param { shape { dim: 4 dim: 2 dim: -1 } }"
    body = layer("Reshape", "frames", "data", cut) + recurrent("RNN", "y", "frames cont")
    net = traced(tmp_path, net_of(body, data=(8, 3, 5, 5), cont=(4, 2)), {"RNN", "Reshape"})
    assert net.fixed and [value.shape for value in net.inputs] == [(8, 3, 5, 5), (4, 2), (1, 2, 5)]


@pytest.mark.parametrize("to", ["onnx", "pytorch"])
def test_a_layer_in_place_on_shared_memory_changes_the_other_blob_too(tmp_path: Path, to: str) -> None:
    body = (
        layer("Power", "p")
        + layer("Flatten", "flat", "p")
        + 'layer { name: "r" type: "ReLU" bottom: "flat" top: "flat" }'
    )
    export(tmp_path, to, net_of(body + layer("Power", "z", "p", "power_param { scale: 2 }"), x=(4, 3, 2, 2)))
