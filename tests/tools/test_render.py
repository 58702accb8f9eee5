"""Rendering: what each condition does to a template, held against real Caffe's own reading of the result."""

import json
import re
import subprocess

import pytest

from caffeformat import FormatError, prototxt
from tools.common.errors import UserError
from tools.nets.templates import render
from tools.protocol.experiment import load
from tools.protocol.layout import Run, split_of

LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]


@pytest.fixture
def tiny(checkout, tmp_path, monkeypatch):
    """tiny.yaml in a root of its own, as if its split were made: 100 classes and 5,000 validation images a half."""
    monkeypatch.chdir(tmp_path)

    def load_with(overrides: str = "", val: int = 5000):
        exp = load(checkout / "experiments" / "tiny.yaml", overrides)
        split = split_of(exp, 0)
        split.folder.mkdir(parents=True, exist_ok=True)
        half = {"train": 50000, "val": val}
        classes = [f"n{i:08}" for i in range(200)]
        split.marker.write_text(
            json.dumps({"classes": {"A": classes[:100], "B": classes[100:]}, "counts": {"A": half, "B": half}})
        )
        return exp

    return load_with


def rendered(exp, condition="S3T", size=300, direction="A2B"):
    found = render(exp, Run(exp.name, direction, size, condition, 0))
    net = prototxt.parse(found.net, prototxt.NetParameter(), "net")
    return found, {layer.name: layer for layer in net.layer if layer.param}, net


def solver_of(found):
    return prototxt.parse(found.solver, prototxt.SolverParameter(), "solver")


def test_base_keeps_every_name_and_every_layer_learns(tiny):
    found, layers, _ = rendered(tiny(), "base")
    assert list(layers) == LAYERS
    assert {row.what for row in found.plan} == {"random, learning"}
    assert [[p.lr_mult for p in layer.param] for layer in layers.values()] == [[1, 2]] * 8
    assert [[p.decay_mult for p in layer.param] for layer in layers.values()] == [[1, 0]] * 8


def test_ftall_copies_seven_layers_and_renames_only_fc8_whose_top_stays(tiny):
    _, layers, _ = rendered(tiny(), "FTall")
    assert list(layers) == [*LAYERS[:7], "fc8_T"]
    assert list(layers["fc8_T"].top) == ["fc8"]
    assert all(p.lr_mult > 0 for layer in layers.values() for p in layer.param)


@pytest.mark.parametrize("n", range(1, 8))
def test_snt_freezes_n_layers_and_renames_the_others(tiny, n):
    found, layers, _ = rendered(tiny(), f"S{n}T")
    assert list(layers) == LAYERS[:n] + [f"{name}_T" for name in LAYERS[n:]]
    frozen = [name for name, layer in layers.items() if all(p.lr_mult == p.decay_mult == 0 for p in layer.param)]
    assert frozen == LAYERS[:n]
    assert [row.what for row in found.plan] == ["copied, frozen"] * n + ["random, learning"] * (8 - n)


CONTROLS = {
    "S3T+": ("copied, learning", "random, learning", "_T"),
    "T3T": ("copied, frozen", "random, learning", "_T"),
    "T3T+": ("copied, learning", "random, learning", "_T"),
    "R3T": ("random, frozen", "random, learning", ""),
}


@pytest.mark.parametrize("condition", CONTROLS)
def test_a_control_differs_from_snt_in_whose_layers_they_are_and_in_what_learns(tiny, condition):
    first, last, ending = CONTROLS[condition]
    found, layers, _ = rendered(tiny(), condition)
    assert [row.what for row in found.plan] == [first] * 3 + [last] * 5
    assert list(layers) == LAYERS[:3] + [name + ending for name in LAYERS[3:]], "what is not copied needs no other name"
    learning = [any(p.lr_mult for p in layer.param) for layer in layers.values()]
    assert learning == [first.endswith("learning")] * 3 + [True] * 5


@pytest.mark.parametrize("model, layer, kind", [("alexnet", 2, "Convolution"), ("alexnet", 6, "InnerProduct")])
def test_a_subset_of_filters_is_frozen_in_its_place_and_the_others_learn(tiny, model, layer, kind):
    name = LAYERS[layer - 1]
    found, layers, net = rendered(tiny(), f"S{layer}T-random72")
    assert list(layers) == [*LAYERS[:layer], f"{name}_T", f"{name}_mask", *(f"{x}_T" for x in LAYERS[layer:])]
    of = 256 if layer == 2 else 4096
    assert [row.what for row in found.plan[layer - 1 : layer + 2]] == [
        f"copied 72 of {of}, frozen",
        "random, learning",
        "copied, frozen",
    ]
    kept, drawn, mask = (layers[name + ending] for ending in ("", "_T", "_mask"))
    assert kept.type == drawn.type == kind and kept.bottom == drawn.bottom
    assert kept.convolution_param == drawn.convolution_param and kept.inner_product_param == drawn.inner_product_param
    assert [p.lr_mult for p in drawn.param] == [1, 2] and not any(p.lr_mult for p in [*kept.param, *mask.param])
    (both,) = (x for x in net.layer if x.type == "Eltwise")
    assert mask.bottom == drawn.top and list(both.bottom) == [*kept.top, *mask.top] and list(both.top) == [name]


def test_filters_can_be_chosen_only_of_a_layer_whose_channels_are_its_own(tiny, checkout, tmp_path):
    more = 'layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }\nlayer { name: "relu1"'
    exp = tiny(edited(checkout, tmp_path, 'layer { name: "relu1"', more))
    assert rendered(exp, "S2T-random8")[0].plan[0].what == "copied, frozen"
    with pytest.raises(UserError, match=r"conditions: S1T-random8 of conv1 \(Convolution, BatchNorm\); filters can be"):
        rendered(exp, "S1T-random8")


def test_what_a_net_retains_is_learnt_by_its_last_layer_alone_from_the_whole_source_half(tiny):
    found, layers, net = rendered(tiny(), "S3T-retain")
    assert list(layers) == [*LAYERS[:3], *(f"{x}_T" for x in LAYERS[3:7]), "fc8_T_T"]
    assert [row.what for row in found.plan] == ["copied, frozen"] * 7 + ["random, learning"]
    assert [any(p.lr_mult for p in layer.param) for layer in layers.values()] == [False] * 7 + [True]
    train, test = (layer for layer in net.layer if layer.type == "Data")
    assert train.data_param.source == "data/tiny-imagenet/split0/64x64/A/n0500"
    assert test.data_param.source == "data/tiny-imagenet/split0/64x64/A/val"
    assert train.transform_param.mean_file == f"{train.data_param.source}/mean.binaryproto"


def test_a_random_batchnorm_cannot_be_frozen(tiny, checkout, tmp_path):
    more = 'layer { name: "bn2" type: "BatchNorm" bottom: "conv2" top: "conv2" }\nlayer { name: "relu2"'
    exp = tiny(edited(checkout, tmp_path, 'layer { name: "relu2"', more))
    assert rendered(exp, "R1T")[0].plan[0].what == "random, frozen"
    with pytest.raises(UserError, match=r"conditions: R2T in mine; a BatchNorm cannot be frozen before it has learnt"):
        rendered(exp, "R2T")


def test_the_solver_is_the_references_with_what_a_run_needs(tiny):
    solver = solver_of(rendered(tiny())[0])
    assert (solver.base_lr, solver.momentum, solver.weight_decay) == pytest.approx((0.01, 0.9, 0.0005))
    assert (solver.lr_policy, solver.stepsize, solver.gamma) == ("step", 100000, pytest.approx(0.1))
    assert (solver.max_iter, solver.test_interval, solver.display, solver.snapshot) == (10000, 1000, 20, 10000)
    assert (list(solver.test_iter), solver.random_seed) == ([100], 1000)
    assert solver.net == "models/tiny/A2B/n0300/S3T/seed0/train_val.prototxt"


def test_data_layers_name_the_target_halfs_lmdbs_and_one_mean_for_both_phases(tiny):
    _, _, net = rendered(tiny())
    train, test = (layer for layer in net.layer if layer.type == "Data")
    assert train.data_param.source == "data/tiny-imagenet/split0/64x64/B/n0300"
    assert test.data_param.source == "data/tiny-imagenet/split0/64x64/B/val"
    assert (
        train.transform_param.mean_file
        == test.transform_param.mean_file
        == f"{train.data_param.source}/mean.binaryproto"
    )
    assert (train.data_param.batch_size, test.data_param.batch_size, train.transform_param.crop_size) == (256, 50, 57)


def test_the_keys_that_change_the_science_reach_the_prototxt(tiny):
    def fc8(exp):
        return rendered(exp, "base")[1]["fc8"].inner_product_param.num_output

    assert (fc8(tiny()), fc8(tiny("fc8_outputs=1000"))) == (100, 1000)
    names = [layer.name for layer in rendered(tiny("model=caffenet"), "base")[2].layer]
    assert names.index("pool1") < names.index("norm1")
    mean = rendered(tiny("mean=source"))[2].layer[0].transform_param.mean_file
    assert mean == "data/tiny-imagenet/split0/64x64/A/n0500/mean.binaryproto"
    solver = solver_of(rendered(tiny("max_iter=200 init_seed=7 base_lr=0.02 display=10"))[0])
    assert (solver.max_iter, solver.test_interval, solver.random_seed, solver.display) == (200, 200, 1007, 10)
    assert solver.base_lr == pytest.approx(0.02)
    data = rendered(tiny("train_batch_size=32 test_batch_size=25 crop_size=50"))[2].layer
    assert [layer.data_param.batch_size for layer in data[:2]] == [32, 25]
    assert [layer.transform_param.crop_size for layer in data[:2]] == [50, 50]


REFUSED = {
    "test_batch_size=64": r"SET: test_batch_size: 5000 validation images in test batches of 64; .* as 50 does",
    "max_iter=1500 test_interval=1000": r"SET: test_interval: 1000 with max_iter 1500; it must divide max_iter",
    "solver=silent": r"solvers/silent.prototxt: display: 0 or not given; give an interval",
    "crop_size=65": r"SET: crop_size: crops of 65 in images of 64",
    "fc8_outputs=99": r"SET: fc8_outputs: 99; at least the 100 classes of a half",
    "model=alexnett": r"SET: model: alexnett; a folder of prototxt/",
    "solver=none": r"SET: solver: none; the name of a file of solvers/",
    "conditions=[S8T]": r"SET: conditions: S8T; alexnet has 8 weighted layers: at most S7T",
    "conditions=[T8T+]": r"SET: conditions: T8T\+; alexnet has 8 weighted layers: at most T7T\+",
    "conditions=[S1T-random96]": r"SET: conditions: S1T-random96; conv1 has 96 filters: at most 95; all of them is S1T",
    "conditions=[S8T-kmeans9]": r"SET: conditions: S8T-kmeans9; alexnet has 8 weighted layers: at most S7T-kmeans9",
    "conditions=[S7T+]": r"SET: conditions: S7T\+; in a net of 8 weighted layers that is FTall; write FTall",
}


@pytest.mark.parametrize("overrides, told", REFUSED.items(), ids=REFUSED)
def test_what_does_not_fit_is_refused_with_its_place(tiny, checkout, tmp_path, overrides, told):
    (tmp_path / "solvers").mkdir()
    solver = (checkout / "solvers" / "alexnet.prototxt").read_text()
    (tmp_path / "solvers" / "silent.prototxt").write_text(re.sub("display: .*", "display: 0", solver))
    exp = tiny(overrides)
    with pytest.raises(UserError, match=told):
        rendered(exp, exp.conditions[-1])


def edited(checkout, tmp_path, old, new):
    """The mini template with one edit, in the root's own prototxt/."""
    folder = tmp_path / "prototxt" / "mine"
    folder.mkdir(parents=True)
    text = (checkout / "prototxt" / "mini" / "train_val.prototxt").read_text()
    assert old in text
    (folder / "train_val.prototxt").write_text(text.replace(old, new, 1))
    return "model=mine crop_size=24"


def test_a_broken_template_fails_with_its_line(tiny, checkout, tmp_path):
    exp = tiny(edited(checkout, tmp_path, "num_output: 16", "num_outputs: 16"))
    with pytest.raises(FormatError, match=r"prototxt/mine/train_val.prototxt:\d+.*num_outputs"):
        rendered(exp)


def test_a_layer_without_param_blocks_is_frozen_all_the_same(tiny, checkout, tmp_path):
    blocks = "  param { lr_mult: 1 decay_mult: 1 }\n  param { lr_mult: 2 decay_mult: 0 }\n"
    _, layers, _ = rendered(tiny(edited(checkout, tmp_path, blocks, "")), "S1T")
    assert [(p.lr_mult, p.decay_mult) for p in layers["conv1"].param] == [(0, 0), (0, 0)]


def test_normalization_goes_with_the_layer_before_it_and_stands_still_when_frozen(tiny, checkout, tmp_path):
    more = '''layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1"'''
    exp = tiny(edited(checkout, tmp_path, 'layer { name: "relu1"', more))
    found, layers, _ = rendered(exp, "S1T")
    assert [row.layer for row in found.plan if row.what == "copied, frozen"] == ["conv1", "bn1", "scale1"]
    assert len(layers["bn1"].param) == 3 and layers["bn1"].batch_norm_param.use_global_stats
    assert [row.name for row in found.plan if row.layer in ("conv2", "fc8")] == ["conv2_T", "fc8_T"]


@pytest.mark.parametrize("condition", ["base", "FTall", "S2T", "S7T", "S2T-kmeans72", "S2T+-retain"])
@pytest.mark.parametrize("model", ["alexnet", "caffenet"])
def test_real_caffe_reads_what_is_rendered_as_we_do(tiny, tmp_path, pycaffe, model, condition):
    exp = tiny(f"model={model}")
    found, _, net = rendered(exp, condition)
    (tmp_path / "net.prototxt").write_text(found.net)
    (tmp_path / "solver.prototxt").write_text(found.solver)
    script = """
import sys
from google.protobuf import text_format
from caffe.proto import caffe_pb2
net, solver = caffe_pb2.NetParameter(), caffe_pb2.SolverParameter()
text_format.Merge(open("net.prototxt").read(), net)
text_format.Merge(open("solver.prototxt").read(), solver)
open("net.bin", "wb").write(net.SerializeToString(deterministic=True))
open("solver.bin", "wb").write(solver.SerializeToString(deterministic=True))
"""
    subprocess.run([pycaffe, "-c", script], check=True, cwd=tmp_path)
    assert (tmp_path / "net.bin").read_bytes() == net.SerializeToString(deterministic=True)
    assert (tmp_path / "solver.bin").read_bytes() == solver_of(found).SerializeToString(deterministic=True)
