"""Caffemodels: read by both engines, with the settings that Caffe writes; damaged ones are refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import torchcaffe as caffe
from caffeformat import FormatError, blobs
from caffeformat.caffeformat_pb2 import NetParameter
from tests.helpers import engine_runs, log_runs
from tests.helpers.damaged_files import SNAPSHOT_PIECES, bounds, damaged, quick
from tests.helpers.old_nets import V0
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.small_net import NET, TRAIN
from torchcaffe.snapshots import weights


@pytest.mark.slow
def test_caffe_reads_our_caffemodel_and_scores_as_we_do(caffe: Path, learning) -> None:
    """`caffe test` and `torchcaffe test` of each engine's weights print the same lines."""
    for engine, folder in learning.items():
        arguments = ("test", "--model=net.prototxt", "--weights=out_iter_20.caffemodel", "--iterations=3")
        right, found = engine_runs.real(caffe, folder, *arguments), engine_runs.ours(folder, *arguments)
        assert (right.code, found.code) == (0, 0), (engine, found.log[-2000:])
        engine_runs.same(found, right, "caffe.cpp", "Ignoring source layer")


@pytest.mark.slow
def test_the_caffemodel_holds_the_settings_that_caffe_writes(learning) -> None:
    nets = {}
    for engine, folder in learning.items():
        net = NetParameter.FromString((folder / "out_iter_20.caffemodel").read_bytes())
        for layer in net.layer:
            for blob in layer.blobs:
                del blob.data[:]
        nets[engine] = net
    assert nets["torchcaffe"] == nets["caffe"]


@pytest.mark.slow
def test_frozen_layers_keep_their_bytes_and_the_copied_ones_are_copied(caffe: Path, learning, tmp_path) -> None:
    """Fine-tuning with conv1 to conv3 frozen and fc8 renamed: both engines log and do the same."""
    kept, logs = {}, {}
    for engine in ("caffe", "torchcaffe"):
        folder = tmp_path / engine
        folder.mkdir()
        net = engine_runs.slim_alexnet(xavier=True)
        for layer in net.layer:
            if layer.name in ("conv1", "conv2", "conv3"):
                for param in layer.param:
                    param.lr_mult = param.decay_mult = 0
            if layer.name == "fc8":
                layer.name = "fc8_T"
        engine_runs.make_experiment(folder, net, max_iter=6, snapshot=6, test_interval=6)
        shutil.copy(learning["caffe"] / "out_iter_20.caffemodel", folder / "source.caffemodel")
        arguments = (*TRAIN, "--weights=source.caffemodel")
        run = engine_runs.real(caffe, folder, *arguments) if engine == "caffe" else engine_runs.ours(folder, *arguments)
        assert run.code == 0, run.log[-2000:]
        kept[engine] = blobs.layer_blob_bytes(folder / "out_iter_6.caffemodel")
        logs[engine] = run.lines("needs backward", "need backward", "Finetuning", "Ignoring source", "Iteration 0")
    source = blobs.layer_blob_bytes(learning["caffe"] / "out_iter_20.caffemodel")
    for engine, layers in kept.items():
        assert all(layers[name] == source[name] for name in ("conv1", "conv2", "conv3")), engine
        assert all(layers[name] != source[name] for name in ("conv4", "fc6")), engine
    assert logs["torchcaffe"] == logs["caffe"]
    assert "I net.cpp:202] conv3 does not need backward computation." in logs["caffe"]
    assert "I net.cpp:746] Ignoring source layer fc8" in logs["caffe"]


@pytest.mark.slow
def test_several_weights_are_loaded_one_after_the_other(caffe: Path, tmp_path: Path) -> None:
    log_runs.write(tmp_path, {"max_iter": 3, "snapshot_prefix": '"first"'})
    engine_runs.real(caffe, tmp_path, "train", "--solver=solver.prototxt")
    (tmp_path / "net.prototxt").write_text(log_runs.NET.replace('"ip2"', '"ip2_b"'))
    other = log_runs.NET.replace('name: "ip2"', 'name: "other"')
    log_runs.write(tmp_path, {"max_iter": 3, "snapshot_prefix": '"second"'}, net=other)
    engine_runs.real(caffe, tmp_path, "train", "--solver=solver.prototxt")
    arguments = ("train", "--solver=solver.prototxt", "--weights=first_iter_3.caffemodel, second_iter_3.caffemodel")
    log_runs.write(tmp_path, {"max_iter": 3}, net=log_runs.NET.replace('name: "score"', 'name: "new"'))
    right, found = engine_runs.real(caffe, tmp_path, *arguments), engine_runs.ours(tmp_path, *arguments)
    assert (found.code, right.code) == (0, 0), found.log[-2000:] + right.log[-2000:]
    engine_runs.same(found, right)
    assert found.lines().count("I net.cpp:746] Ignoring source layer score") == 4  # two files, two nets


IP = 'type: "InnerProduct" inner_product_param { num_output: 3 weight_filler { type: "xavier" } }'

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }\n'


def test_weights_of_another_shape_are_refused_and_others_found_by_name(real_caffe: RealCaffe, tmp_path: Path) -> None:
    path, other = tmp_path / "net.prototxt", tmp_path / "other.prototxt"
    path.write_text(INPUT + f'layer {{ name: "ip" bottom: "x" top: "y" {IP} }}')
    other.write_text(path.read_text().replace("num_output: 3", "num_output: 4"))
    net = caffe.Net(path, caffe.TEST)
    net.save(tmp_path / "weights.caffemodel")
    program = 'net = caffe.Net(given["net"], given["weights"], 1); out["w"] = net.params["ip"][0].data'
    found = real_caffe.run(program, net=str(path), weights=str(tmp_path / "weights.caffemodel"))
    assert np.array_equal(found["w"], net.params["ip"][0].data)
    with pytest.raises(
        FormatError, match=r"layer 'ip'; shape mismatch.  Source param shape is 3 3 \(9\); target .* 4 3"
    ):
        caffe.Net(other, str(tmp_path / "weights.caffemodel"), caffe.TEST)


@pytest.mark.slow
@quick(40)
@given(data=st.data())
def test_a_damaged_caffemodel_meets_a_net(trained_small: Path, tmp_path_factory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.caffemodel"
    path.write_bytes(data.draw(damaged([(trained_small / "out_iter_20.caffemodel").read_bytes()], SNAPSHOT_PIECES)))
    text = NET
    for field in ("source", "mean_file"):
        text = text.replace(f'{field}: "', f'{field}: "{trained_small}/')
    net_path = tmp_path_factory.getbasetemp() / "here.prototxt"
    net_path.write_text(text)
    net = caffe.Net(net_path, caffe.TEST)
    try:
        with bounds():
            weights.load(net.core, path)
    except FormatError as error:
        assert str(path) in str(error)


DAMAGED = {"a param": b"\xa2\x06\x08\x0a\x02ip\x32\x02\xff\xff", "a bottom": b"\x12\x08\x22\x02ip\x12\x02\xff\xff"}


@pytest.mark.parametrize("layer", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_caffemodel_whose_layers_have_damaged_settings_is_refused(tmp_path: Path, layer: bytes) -> None:
    (tmp_path / "net.prototxt").write_text(V0)
    (tmp_path / "bad.caffemodel").write_bytes(layer)
    net = caffe.Net(tmp_path / "net.prototxt", caffe.TEST)
    with pytest.raises(FormatError, match=r"bad.caffemodel: not a caffemodel, or damaged: the settings of its layers"):
        net.copy_from(tmp_path / "bad.caffemodel")
