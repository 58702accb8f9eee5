"""The weighted layers of a net: which layers count, what belongs to each, and nets whose layers cannot be counted."""

import subprocess
from pathlib import Path

import pytest

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import NetParameter
from tests.helpers.real_caffe import RealCaffe
from tools.common.errors import UserError
from tools.protocol.weighted_layers import Block, blob_count, weighted_blocks, weighted_layers

FILE = Path("net.prototxt")
TEMPLATES = ("alexnet", "alexnet_quarter", "alexnet_slim", "caffenet", "micro", "mini")


def layer(name: str, type_: str, settings: str = "", bottom: str = 'bottom: "data"') -> str:
    return f'layer {{ name: "{name}" type: "{type_}" {bottom} top: "{name}" {settings} }}\n'


def blocks_of(*layers: str) -> list[Block]:
    inputs = 'input: "data" input: "mask"\n'
    return weighted_blocks(prototxt.parse(inputs + "".join(layers), NetParameter(), str(FILE)), FILE)


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_templates_have_convolutions_then_inner_products_the_last_of_which_scores(
    checkout: Path, template: str
) -> None:
    file = checkout / "prototxt" / template / "train_val.prototxt"
    blocks = weighted_blocks(prototxt.read_net(file), file)
    names = [block.main.name for block in blocks]
    assert names == [f"conv{n}" for n in range(1, 6)] + ["fc6", "fc7", "fc8"]
    assert all(len(block.layers) == 1 for block in blocks)


def test_normalization_and_prelu_belong_to_the_layer_before_them() -> None:
    blocks = blocks_of(
        layer("conv", "Convolution"), layer("bn", "BatchNorm"), layer("scale", "Scale"), layer("relu", "ReLU"),
        layer("up", "Deconvolution"), layer("slope", "PReLU"), layer("fc", "InnerProduct"),
    )  # fmt: skip
    assert [[x.name for x in block.layers] for block in blocks] == [["conv", "bn", "scale"], ["up", "slope"], ["fc"]]
    assert [block.main.name for block in blocks] == ["conv", "up", "fc"]


def beside(name: str, type_: str, blob: str, settings: str = "") -> str:
    """A layer that works in place."""
    return f'layer {{ name: "{name}" type: "{type_}" bottom: "{blob}" top: "{blob}" {settings} }}\n'


def test_normalization_of_parallel_layers_goes_with_the_layer_whose_output_it_reads() -> None:
    after_both = [beside("bn_a", "BatchNorm", "a"), beside("relu_a", "ReLU", "a"), beside("bn_b", "BatchNorm", "b")]
    after_both += [beside("scale_a", "Scale", "a", "include { phase: TRAIN }"), beside("slope_b", "PReLU", "b")]
    of_sum = beside("bn", "BatchNorm", "sum") + beside("bn_data", "BatchNorm", "mask")
    blocks = blocks_of(
        layer("a", "Convolution"), layer("b", "Convolution"), *after_both,
        layer("sum", "Eltwise", bottom='bottom: "b" bottom: "a"'), layer("c", "Convolution"), of_sum,
        layer("fc", "InnerProduct", bottom='bottom: "sum"'),
    )  # fmt: skip
    names = [[x.name for x in block.layers] for block in blocks]
    assert names == [["a", "bn_a", "scale_a"], ["b", "bn_b", "slope_b", "bn"], ["c", "bn_data"], ["fc"]]


def test_a_scale_by_another_blob_has_no_weights_and_belongs_to_none() -> None:
    gate = layer("gate", "Scale", bottom='bottom: "data" bottom: "mask"')
    blocks = blocks_of(gate, layer("a", "Convolution"), gate, layer("b", "InnerProduct"))
    assert [[x.name for x in block.layers] for block in blocks] == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ('layers { name: "c" type: CONVOLUTION }', "the old `layers .* format; upgrade it with upgrade_net_proto_text"),
        (layer("bn", "BatchNorm"), r"layer 'bn' \(BatchNorm\) stands before the first weighted layer"),
        (layer("a", "Convolution") + layer("a", "InnerProduct"), "two weighted layers are named 'a'; Caffe copies by"),
        (layer("a", "InnerProduct"), "1 weighted layers; a net here has two or more, the last of which scores"),
        (layer("a", "Convolution") + layer("b", "Deconvolution"), "2 weighted layers; a net here has two or more"),
    ],
    ids=["old format", "normalization first", "a name twice", "one layer", "no scores"],
)
def test_a_net_whose_layers_cannot_be_counted_is_refused(layers: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"net.prototxt: {message}"):
        blocks_of(layers)


PLAIN = "num_output: 2 bias_term: false"
CONVOLUTION = "convolution_param { num_output: 2 kernel_size: 1 }"
LAYERS = [
    layer("conv", "Convolution", CONVOLUTION),
    layer("conv_plain", "Convolution", f"convolution_param {{ {PLAIN} kernel_size: 1 }}"),
    layer("fc", "InnerProduct", "inner_product_param { num_output: 2 }"),
    layer("fc_plain", "InnerProduct", f"inner_product_param {{ {PLAIN} }}"),
    layer("up", "Deconvolution", CONVOLUTION),
    layer("bn", "BatchNorm"),
    layer("scale", "Scale"),
    layer("scale_bias", "Scale", "scale_param { bias_term: true }"),
    layer("scale_by", "Scale", "scale_param { axis: 0 bias_term: true }", 'bottom: "data" bottom: "data"'),
    layer("bias", "Bias"),
    layer("slope", "PReLU"),
]


def test_a_layer_has_as_many_blobs_as_caffe_gives_it(tmp_path: Path, real_caffe: RealCaffe) -> None:
    text = 'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }\n'
    (tmp_path / "net.prototxt").write_text(text + "".join(LAYERS))
    program = """
net = caffe.Net(given["path"], caffe.TEST)
out.update((name, np.array(len(blobs))) for name, blobs in net.params.items())
"""
    counts = {name: int(count) for name, count in real_caffe.run(program, path=str(tmp_path / "net.prototxt")).items()}
    net = prototxt.parse("".join(LAYERS), NetParameter(), "net")
    assert {x.name: blob_count(x) for x in net.layer} == counts


def test_param_blocks_beyond_the_blobs_count_too() -> None:
    (scale,) = prototxt.parse(layer("s", "Scale", "param { lr_mult: 0 } param { }"), NetParameter(), "net").layer
    assert blob_count(scale) == 2


DATA = "".join(
    f'layer {{ name: "data" type: "Data" top: "data" top: "label" include {{ phase: {phase} }} }}\n'
    for phase in ("TRAIN", "TEST")
)


def fed(name: str, type_: str, bottom: str, settings: str = "") -> str:
    return layer(name, type_, settings, f'bottom: "{bottom}"')


def heads(name: str, scores: str) -> str:
    """An Accuracy and a loss layer on `scores`."""
    bottoms = f'bottom: "{scores}" bottom: "label"'
    return layer(f"{name}_accuracy", "Accuracy", "include { phase: TEST }", bottoms) + layer(
        f"{name}_loss", "SoftmaxWithLoss", "", bottoms
    )


def parts_of(text: str) -> tuple[list[list[str]], list[str], list[str]]:
    """The names of the layers: of each block, of the auxiliary ones, of the classifiers."""
    net = prototxt.parse(text, NetParameter(), str(FILE))
    found = weighted_layers(net, FILE)
    blocks = [[x.name for x in block.layers] for block in found.blocks]
    return blocks, [x.name for x in found.auxiliary], [x.name for x in found.classifiers]


def test_an_auxiliary_head_is_not_counted_wherever_it_stands() -> None:
    branch = fed("aux_conv", "Convolution", "conv") + fed("aux_bn", "BatchNorm", "aux_conv")
    branch += fed("aux", "InnerProduct", "aux_bn") + heads("aux", "aux")
    trunk = fed("bn", "BatchNorm", "conv") + fed("deep", "Convolution", "bn")
    trunk += fed("wide", "Convolution", "deep") + fed("fc", "InnerProduct", "wide")
    expected = [["conv", "bn"], ["deep"], ["wide"], ["fc"]], ["aux_conv", "aux_bn", "aux"]
    first = parts_of(DATA + fed("conv", "Convolution", "data") + branch + trunk + heads("main", "fc"))
    last = parts_of(DATA + fed("conv", "Convolution", "data") + trunk + heads("main", "fc") + branch)
    assert first == (*expected, ["aux", "fc"]) and last == (*expected, ["fc", "aux"])


def test_layers_whose_scores_are_added_are_one_classifier() -> None:
    both = layer("sum", "Eltwise", "", 'bottom: "a" bottom: "b"')
    text = DATA + "".join(
        [fed("conv", "Convolution", "data"), fed("a", "InnerProduct", "conv"), fed("fc", "InnerProduct", "conv"),
         fed("b", "InnerProduct", "fc"), both, heads("main", "sum")]
    )  # fmt: skip
    assert parts_of(text) == ([["conv"], ["fc"], ["a", "b"]], [], ["a", "b"])


def test_a_classifier_on_the_way_to_the_headline_is_refused() -> None:
    text = DATA + fed("conv", "Convolution", "data") + fed("coarse", "InnerProduct", "conv") + heads("aux", "coarse")
    text += fed("fc", "InnerProduct", "coarse") + heads("main", "fc")
    with pytest.raises(UserError, match=r"layer 'coarse' gives the scores of a head, and lies on the way to the head"):
        parts_of(text)


def net_with(own: str) -> str:
    return DATA + fed("conv", "Convolution", "data") + own + fed("fc", "InnerProduct", "own") + heads("main", "fc")


@pytest.mark.parametrize(
    ("type_", "right"),
    [("BatchNorm", ", and without use_global_stats, which Caffe sets by phase"), ("Scale", ""), ("PReLU", "")],
)
def test_a_layer_that_is_written_once_for_each_phase_is_to_be_written_once(
    tmp_path: Path, type_: str, right: str
) -> None:
    file = tmp_path / "net.prototxt"
    train, test = (fed("own", type_, "conv", f"include {{ phase: {phase} }}") for phase in ("TRAIN", "TEST"))
    file.write_text(net_with(train + test))
    with pytest.raises(UserError) as told:
        weighted_layers(prototxt.read_net(file), file)
    assert str(told.value) == (
        f"{file}:4: layer 'own' ({type_}) is there twice, once for each phase; write it once, without include or "
        f"exclude{right}"
    )
    both = fed("own", type_, "conv")
    assert parts_of(net_with(both))[0] == [["conv", "own"], ["fc"]]
    with pytest.raises(UserError, match="two weighted layers are named 'own'; Caffe copies by name, so each needs its"):
        parts_of(net_with(both + both))


def test_each_unknown_bottom_blob_is_told_with_its_phase_and_nothing_that_follows_from_it(tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    text = DATA + fed("conv", "Convolution", "dat") + fed("fc", "InnerProduct", "conv") + heads("main", "fc")
    text += fed("late", "Power", "early") + fed("early", "Power", "fc") + fed("up", "Power", "tested")
    text = text.replace('bottom: "label" top: "main_accuracy"', 'bottom: "labels" top: "main_accuracy"')
    file.write_text(
        text.replace(
            'layer { name: "up"', fed("tested", "Power", "fc", "include { phase: TEST }") + 'layer { name: "up"'
        )
    )
    with pytest.raises(UserError) as told:
        weighted_layers(prototxt.read_net(file), file)
    end = "; no layer above it has that top: correct the name, or the order of the layers"
    assert str(told.value).splitlines() == [
        f"{file}:3: layer 'conv': unknown bottom blob 'dat'{end}",
        f"{file}:5: layer 'main_accuracy': unknown bottom blob 'labels' in the TEST phase{end}",
        f"{file}:7: layer 'late': unknown bottom blob 'early'{end}",
        f"{file}:10: layer 'up': unknown bottom blob 'tested' in the TRAIN phase{end}",
    ]


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_real_caffe_knows_no_bottom_blob_that_only_the_other_phase_has(caffe: Path, tmp_path: Path, phase: str) -> None:
    other = "TEST" if phase == "TRAIN" else "TRAIN"
    text = 'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 } } }\n'
    text += fed("one", "Power", "data", f"include {{ phase: {other} }}") + fed("up", "Power", "one")
    (tmp_path / "net.prototxt").write_text(text)
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 1 lr_policy: "fixed" max_iter: 1 test_iter: 1 test_interval: 1 solver_mode: CPU'
    )
    command = [caffe, "train", "--solver=solver.prototxt"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode and "Unknown bottom blob 'one' (layer 'up'" in done.stderr
    with pytest.raises(UserError, match=f"layer 'up': unknown bottom blob 'one' in the {phase} phase"):
        weighted_layers(prototxt.parse(text, NetParameter(), str(FILE)), FILE)


def test_two_layers_of_one_name_are_told_with_both_lines(tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    for other, told in (
        (
            beside("conv", "ReLU", "conv"),
            f"{file}:4: layer 'conv' (ReLU) has the name of the Convolution layer at {file}:3",
        ),
        (beside("conv", "BatchNorm", "conv"), f"{file}:4: two weighted layers are named 'conv'"),
    ):
        file.write_text(DATA + fed("conv", "Convolution", "data") + other + fed("fc", "InnerProduct", "conv"))
        file.write_text(file.read_text() + heads("main", "fc"))
        with pytest.raises(UserError) as error:
            weighted_layers(prototxt.read_net(file), file)
        (line,) = str(error.value).splitlines()
        assert line.startswith(f"{told}; Caffe copies by name, so each needs its own")
        assert line.count(f"at {file}:3") == 1
    apart = "".join(
        f'layer {{ name: "act" type: "{type_}" bottom: "conv" top: "conv" include {{ phase: {phase} }} }}\n'
        for type_, phase in (("ReLU", "TRAIN"), ("Sigmoid", "TEST"))
    )
    conv = fed("conv", "Convolution", "data")
    assert parts_of(DATA + conv + apart + fed("fc", "InnerProduct", "conv") + heads("main", "fc"))[0] == [
        ["conv"],
        ["fc"],
    ]


def test_a_layer_in_python_with_weights_is_refused_on_the_way_to_the_scores_and_auxiliary_beside_it(
    tmp_path: Path,
) -> None:
    def with_python(settings: str) -> str:
        return net_with(fed("own", "Python", "conv", f'python_param {{ module: "m" layer: "L" }} {settings}'))

    assert parts_of(with_python("")) == ([["conv"], ["fc"]], [], ["fc"])
    file = tmp_path / "net.prototxt"
    file.write_text(with_python("param { lr_mult: 1 }"))
    with pytest.raises(UserError) as told:
        weighted_layers(prototxt.read_net(file), file)
    assert str(told.value) == (
        f"{file}:4: layer 'own' (Python) has a `param` block: weights that no condition can copy or freeze; the "
        "weighted layers here are Convolution, Deconvolution, InnerProduct, BatchNorm, Scale, Bias, PReLU"
    )
    beside_it = with_python("") + fed("centers", "Python", "fc", "param { }")
    assert parts_of(beside_it) == ([["conv"], ["fc"]], ["centers"], ["fc"])


def test_all_faults_of_a_net_are_told_at_once() -> None:
    untrained = fed("only_tested", "InnerProduct", "conv", "include { phase: TEST }")
    text = DATA + fed("conv", "Convolution", "data") + untrained + fed("lstm", "LSTM", "conv")
    text += fed("fc", "InnerProduct", "lstm") + heads("main", "fc").replace("phase: TEST", "phase: TRAIN")
    with pytest.raises(UserError) as told:
        parts_of(text)
    lines = str(told.value).splitlines()
    assert len(lines) == 2 and "no top-1 Accuracy layer in the TEST phase" in lines[0]
    assert "layer 'lstm' (LSTM) has weights that no condition can copy or freeze" in lines[1]
    with pytest.raises(UserError, match=r"layer 'only_tested' \(InnerProduct\) is not in the TRAIN phase: it would be"):
        parts_of(
            text.replace("LSTM", "ReLU").replace(
                'phase: TRAIN } }\nlayer { name: "main_loss', 'phase: TEST } }\nlayer { name: "main_loss'
            )
        )
