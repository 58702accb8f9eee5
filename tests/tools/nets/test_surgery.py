"""What each condition does to a template's net: layers renamed, frozen, parted or led to another task."""

import pytest

from tests.helpers.rendered_nets import LAYERS, edited, rendered
from tools.common.errors import UserError


def test_base_keeps_every_name_and_every_layer_learns(tiny):
    found, layers, _ = rendered(tiny(), "base")
    assert list(layers) == LAYERS
    assert {row.action for row in found.plan} == {"random, learning"}
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
    assert [row.action for row in found.plan] == ["copied, frozen"] * n + ["random, learning"] * (8 - n)


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
    assert [row.action for row in found.plan] == [first] * 3 + [last] * 5
    assert list(layers) == LAYERS[:3] + [name + ending for name in LAYERS[3:]], "what is not copied needs no other name"
    learning = [any(p.lr_mult for p in layer.param) for layer in layers.values()]
    assert learning == [first.endswith("learning")] * 3 + [True] * 5


@pytest.mark.parametrize("model, layer, kind", [("alexnet", 2, "Convolution"), ("alexnet", 6, "InnerProduct")])
def test_a_subset_of_filters_is_frozen_in_its_place_and_the_others_learn(tiny, model, layer, kind):
    name = LAYERS[layer - 1]
    found, layers, net = rendered(tiny(), f"S{layer}T-random72")
    assert list(layers) == [*LAYERS[:layer], f"{name}_T", f"{name}_mask", *(f"{x}_T" for x in LAYERS[layer:])]
    of = 256 if layer == 2 else 4096
    assert [row.action for row in found.plan[layer - 1 : layer + 2]] == [
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
    assert rendered(exp, "S2T-random8")[0].plan[0].action == "copied, frozen"
    with pytest.raises(UserError, match=r"conditions: S1T-random8 of conv1 \(Convolution, BatchNorm\); filters can be"):
        rendered(exp, "S1T-random8")


def test_what_a_net_retains_is_learnt_by_its_last_layer_alone_from_the_whole_source_half(tiny):
    found, layers, net = rendered(tiny(), "S3T-retain")
    assert list(layers) == [*LAYERS[:3], *(f"{x}_T" for x in LAYERS[3:7]), "fc8_T_T"]
    assert [row.action for row in found.plan] == ["copied, frozen"] * 7 + ["random, learning"]
    assert [any(p.lr_mult for p in layer.param) for layer in layers.values()] == [False] * 7 + [True]
    train, test = (layer for layer in net.layer if layer.type == "Data")
    assert train.data_param.source == "data/tiny-imagenet/split0/64x64/A/n0500"
    assert test.data_param.source == "data/tiny-imagenet/split0/64x64/A/val"
    assert train.transform_param.mean_file == f"{train.data_param.source}/mean.binaryproto"


def test_a_random_batchnorm_cannot_be_frozen(tiny, checkout, tmp_path):
    more = 'layer { name: "bn2" type: "BatchNorm" bottom: "conv2" top: "conv2" }\nlayer { name: "relu2"'
    exp = tiny(edited(checkout, tmp_path, 'layer { name: "relu2"', more))
    assert rendered(exp, "R1T")[0].plan[0].action == "random, frozen"
    with pytest.raises(UserError, match=r"conditions: R2T in mine; a BatchNorm cannot be frozen before it has learnt"):
        rendered(exp, "R2T")


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
    assert [row.layer for row in found.plan if row.action == "copied, frozen"] == ["conv1", "bn1", "scale1"]
    assert len(layers["bn1"].param) == 3 and layers["bn1"].batch_norm_param.use_global_stats
    assert [row.name for row in found.plan if row.layer in ("conv2", "fc8")] == ["conv2_T", "fc8_T"]


PARALLEL = """layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "other" type: "Convolution" bottom: "data" top: "other"
  convolution_param { num_output: 16 kernel_size: 5 pad: 2 } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "bn1" }
layer { name: "bn" type: "BatchNorm" bottom: "other" top: "bn" }
layer { name: "both" type: "Eltwise" bottom: "bn1" bottom: "bn" top: "both" }
layer {
  name: "pool1" type: "Pooling" bottom: "both" top: "pool1"
"""


def test_normalization_of_parallel_layers_is_frozen_with_the_layer_that_it_reads(tiny, checkout, tmp_path):
    old = 'layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }\nlayer {\n  name: "pool1" '
    old += 'type: "Pooling" bottom: "conv1" top: "pool1"\n'
    found, layers, _ = rendered(tiny(edited(checkout, tmp_path, old, PARALLEL)), "S1T")
    assert [row.layer for row in found.plan if row.frozen] == ["conv1", "bn1"]
    assert [row.name for row in found.plan if row.layer in ("other", "bn")] == ["other_T", "bn_T"]
    assert layers["bn1"].batch_norm_param.use_global_stats


AUX = """layer { name: "aux" type: "InnerProduct" bottom: "pool1" top: "aux" inner_product_param { num_output: 10 } }
layer { name: "aux_loss" type: "SoftmaxWithLoss" bottom: "aux" bottom: "label" top: "aux_loss" loss_weight: 0.3 }
"""


@pytest.mark.parametrize("before", ['layer {\n  name: "conv2"', 'layer { name: "loss"'], ids=["early", "at the end"])
def test_an_auxiliary_head_is_not_counted_starts_random_and_learns(tiny, checkout, tmp_path, before):
    exp = tiny(edited(checkout, tmp_path, before, AUX + before))
    names = {"base": "aux", "FTall": "aux_T", "S3T": "aux_T", "T3T+": "aux_T", "R3T": "aux", "S3T-retain": "aux_T_T"}
    for condition, name in names.items():
        found, layers, net = rendered(exp, condition)
        assert [row.name for row in found.plan][:8] == [x for x in layers if x != name]
        assert (found.plan[-1].layer, found.plan[-1].name) == (
            name.removesuffix("_T") if "retain" in condition else "aux",
            name,
        )
        assert found.plan[-1].action == "random, learning"
        (aux,) = (layer for layer in net.layer if layer.name == name)
        assert aux.inner_product_param.num_output == 100
        assert (found.accuracy, found.loss, found.training_loss) == ("accuracy", "loss", "loss")
    with pytest.raises(UserError, match="mine has 8 weighted layers: at most S7T"):
        rendered(exp, "S8T")


def test_layers_that_share_a_parameter_are_not_parted(tiny, checkout, tmp_path):
    exp = tiny(edited(checkout, tmp_path, "param { lr_mult: 1 decay_mult: 1 }", 'param { name: "w" lr_mult: 1 }'))
    file = tmp_path / "prototxt" / "mine" / "train_val.prototxt"
    head, conv5, tail = file.read_text().partition('name: "conv5"')
    file.write_text(
        head + conv5 + tail.replace("param { lr_mult: 1 decay_mult: 1 }", 'param { name: "w" lr_mult: 1 }', 1)
    )
    assert rendered(exp, "S5T")[0].plan
    with pytest.raises(UserError, match=r"mine shares the parameter 'w' of conv1, conv5_T; .* conv1: copied, frozen"):
        rendered(exp, "S3T")
