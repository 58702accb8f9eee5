"""A run's net and solver from the templates, compared with what real Caffe reads from them."""

import json
import math
import re
import subprocess

import pytest

from caffeformat import FormatError, prototxt
from caffeformat.caffeformat_pb2 import SolverParameter
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.rendered_nets import edited, rendered, solver_of
from tools.common.checkout import CHECKOUT
from tools.common.errors import UserError
from tools.nets.templates import SOLVER_TYPES, headline_in, render
from tools.protocol.layout import NET, Run, split_of
from torchcaffe.solvers.solver_types import solver_type


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


def test_base_plus_is_base_with_twice_the_iterations_and_the_schedule_of_the_rate_as_twice_as_long(tiny):
    base, longer = (rendered(tiny("conditions=[base,base+]"), name)[0] for name in ("base", "base+"))
    assert longer.net == base.net.replace("/base/", "/base+/") and longer.plan == base.plan
    want = solver_of(base)
    want.max_iter, want.stepsize = 20000, 200000
    text = prototxt.to_text(want).replace("/base/", "/base+/")
    assert longer.solver == text


def rate(solver, at):
    """The learning rate at an iteration, without base_lr (sgd_solver.cpp, GetLearningRate)."""
    s = solver
    if s.lr_policy == "step":
        return s.gamma ** (at // s.stepsize)
    if s.lr_policy == "multistep":
        return s.gamma ** sum(at >= value for value in s.stepvalue)
    if s.lr_policy == "exp":
        return s.gamma**at
    if s.lr_policy == "inv":
        return (1 + s.gamma * at) ** -s.power
    if s.lr_policy == "sigmoid":
        return 1 / (1 + math.exp(-s.gamma * (at - s.stepsize)))
    assert s.lr_policy == "poly"
    return (1 - at / s.max_iter) ** s.power


@pytest.mark.parametrize(
    "policy",
    [
        'lr_policy: "step" gamma: 0.1 stepsize: 40',
        'lr_policy: "multistep" gamma: 0.1 stepvalue: 30 stepvalue: 80',
        'lr_policy: "exp" gamma: 0.95',
        'lr_policy: "inv" gamma: 0.1 power: 0.75',
        'lr_policy: "sigmoid" gamma: -0.1 stepsize: 50',
        'lr_policy: "poly" power: 2',
    ],
)
def test_base_plus_has_at_twice_the_iteration_the_rate_that_base_has(tiny, tmp_path, policy):
    (tmp_path / "solvers").mkdir()
    (tmp_path / "solvers" / "own.prototxt").write_text(
        f'net: "x" base_lr: 0.1 {policy} display: 1 max_iter: 100 test_interval: 100 test_iter: 1\n'
    )
    exp = tiny("conditions=[base,base+] solver=own")
    base, longer = (solver_of(rendered(exp, name)[0]) for name in ("base", "base+"))
    assert longer.max_iter == 200
    for at in range(0, 100, 7):
        assert rate(longer, 2 * at) == pytest.approx(rate(base, at), rel=1e-5)


@pytest.mark.parametrize("model", sorted(path.name for path in CHECKOUT.glob("prototxt/*")))
def test_every_net_of_the_checkout_is_rendered_with_its_first_layer_frozen(tiny, model):
    found, layers, net = rendered(tiny(f"model={model} crop_size=24"), "S1T")
    assert [row.action for row in found.plan][:: len(found.plan) - 1] == ["copied, frozen", "random, learning"]
    assert len(layers) == len(found.plan) and layers[found.plan[-1].name].inner_product_param.num_output == 100
    outputs = {top for layer in net.layer for top in layer.top} - {name for layer in net.layer for name in layer.bottom}
    assert {found.accuracy, found.loss} <= outputs


@pytest.mark.parametrize("solver", sorted(path.stem for path in CHECKOUT.glob("solvers/*.prototxt")))
def test_every_solver_of_the_checkout_is_rendered(tiny, solver):
    text = (CHECKOUT / "solvers" / f"{solver}.prototxt").read_text()
    found = solver_of(rendered(tiny(f"solver={solver}"))[0])
    assert f"max_iter: {found.max_iter}\n" in text and found.base_lr > 0


REFUSED = {
    "test_batch_size=64": r"SET: test_batch_size: 5000 validation images in test batches of 64; .* as 50 does",
    "max_iter=1500 test_interval=1000": r"SET: test_interval: 1000 with max_iter 1500; it must divide max_iter",
    "solver=silent": r"solvers/silent.prototxt:11: display: 0 or not given; give an interval",
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


def test_a_broken_template_fails_with_its_line(tiny, checkout, tmp_path):
    exp = tiny(edited(checkout, tmp_path, "num_output: 16", "num_outputs: 16"))
    with pytest.raises(FormatError, match=r"prototxt/mine/train_val.prototxt:\d+.*num_outputs"):
        rendered(exp)


@pytest.mark.parametrize("condition", ["base", "FTall", "S2T", "S7T", "S2T-kmeans72", "S2T+-retain"])
@pytest.mark.parametrize("model", ["alexnet", "caffenet"])
def test_real_caffe_reads_what_is_rendered_as_we_do(tiny, real_caffe: RealCaffe, model: str, condition: str) -> None:
    prototxts, _, net = rendered(tiny(f"model={model}"), condition)
    program = """
from google.protobuf import text_format
from caffe.proto import caffe_pb2
for name, message in (("net", caffe_pb2.NetParameter()), ("solver", caffe_pb2.SolverParameter())):
    text_format.Merge(given[name], message)
    out[name] = np.frombuffer(message.SerializeToString(deterministic=True), np.uint8)
"""
    binary = real_caffe.run(program, net=prototxts.net, solver=prototxts.solver)
    assert binary["net"].tobytes() == net.SerializeToString(deterministic=True)
    assert binary["solver"].tobytes() == solver_of(prototxts).SerializeToString(deterministic=True)


def test_all_faults_of_net_solver_and_experiment_are_told_at_once_with_their_lines(tiny, checkout, tmp_path):
    (tmp_path / "solvers").mkdir()
    (tmp_path / "solvers" / "own.prototxt").write_text('net: "x" test_state { stage: "a" } test_state { stage: "b" }\n')
    exp = tiny(edited(checkout, tmp_path, 'name: "loss" type', 'name: "loss" include { phase: TRAIN } type'), val=5003)
    file = tmp_path / "prototxt" / "mine" / "train_val.prototxt"
    text = file.read_text().replace("mirror: false", "mirror: true").replace("batch_size: 100", "batch_size: 7")
    file.write_text(text.replace("batch_size: 7 ", "batch_size: 7 rand_skip: 3 "))
    exp = tiny("model=mine crop_size=24 solver=own fc8_outputs=9", val=5003)
    with pytest.raises(UserError) as told:
        rendered(exp)
    place = r"^prototxt/mine/train_val.prototxt:"
    lines = str(told.value).splitlines()
    expected = [
        place + r"11: Data layer 'data' of the TEST phase: mirror: true; a test reads every validation image once",
        place + r"11: Data layer 'data' of the TEST phase: rand_skip: 3; ",
        place + r"\d\d\d: no loss layer of the TEST phase reads the scores of 'fc8'",
    ]
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected, strict=True):
        assert re.search(pattern, line)
    file.write_text((checkout / "prototxt" / "mini" / "train_val.prototxt").read_text())
    with pytest.raises(UserError) as told:
        rendered(exp)
    lines = str(told.value).splitlines()
    expected = [
        r"^solvers/own.prototxt: display: 0 or not given",
        r"^solvers/own.prototxt: max_iter: 0 or not given",
        r"^solvers/own.prototxt:1: test_state: 2 test nets; there must be at most one",
        r"^solvers/own.prototxt: base_lr: not given; give a learning rate above 0",
        r"^solvers/own.prototxt: lr_policy: not given; there are fixed, step, ",
        r"^SET: test_batch_size: 5003 validation images in test batches of 100; .* as 1 does",
        r"^SET: fc8_outputs: 9; at least the 100 classes",
    ]
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected, strict=True):
        assert re.search(pattern.replace("SET: test_batch_size", r"\S+: test_batch_size"), line)


NUMBERS = {
    "iter_size: 0": "iter_size: 0; give 1 or more",
    "iter_size: -2": "iter_size: -2; give 1 or more",
    "max_iter: -300": "max_iter: -300; give 1 or more",
    "test_interval: -150": "test_interval: -150; give 1 or more",
    "display: -1": "display: -1; give 1 or more",
    "snapshot: -1": "snapshot: -1; give 0 or more",
}


def own_solver(checkout, tmp_path, *fields):
    """mini's solver with these fields at its end, in the root's own solvers/."""
    text = (checkout / "solvers" / "mini.prototxt").read_text()
    for field in fields:
        text = re.sub(rf"^{field.partition(':')[0]}: .*\n", "", text, flags=re.M)
    (tmp_path / "solvers").mkdir()
    (tmp_path / "solvers" / "own.prototxt").write_text(text + "".join(f"{field}\n" for field in fields))
    return text.count("\n") + 1


@pytest.mark.parametrize("field, told", NUMBERS.items(), ids=NUMBERS)
def test_a_number_of_the_solver_that_caffe_cannot_count_with_is_refused(tiny, checkout, tmp_path, field, told):
    line = own_solver(checkout, tmp_path, field)
    with pytest.raises(UserError) as error:
        rendered(tiny("solver=own"))
    assert str(error.value) == f"solvers/own.prototxt:{line}: {told}"


RULES = {
    'type: "adam"': 'type: "adam"; there are AdaDelta, AdaGrad, Adam, Nesterov, RMSProp, SGD',
    'regularization_type: "L3"': 'regularization_type: "L3"; there are L1, L2',
    'type: "AdaGrad"': 'momentum: 0.9; type: "AdaGrad" takes none: remove it',
}


@pytest.mark.parametrize("field, told", RULES.items(), ids=RULES)
def test_a_rule_of_the_update_that_caffe_refuses_is_told_with_its_line(tiny, checkout, tmp_path, caffe, field, told):
    own_solver(checkout, tmp_path, "weight_decay: 0.1", "momentum: 0.9", field)
    with pytest.raises(UserError) as error:
        rendered(tiny("solver=own"))
    file = tmp_path / "solvers" / "own.prototxt"
    lines = file.read_text().splitlines()
    line = 1 + next(at for at, text in enumerate(lines) if text.startswith(told.partition(":")[0]))
    assert str(error.value) == f"solvers/own.prototxt:{line}: {told}"
    (tmp_path / "net.prototxt").write_text(FEW)
    file.write_text(re.sub("(?m)^(net|test_.*|snapshot.*): .*$", "", file.read_text()) + 'net: "net.prototxt"\n')
    done = subprocess.run(
        [caffe, "train", f"--solver={file}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode and re.search("Unknown (solver|regularization) type: |Momentum cannot be used", done.stderr)


FEW = """layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 dim: 2 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "x" top: "loss" }
"""


def test_without_decay_the_regularization_is_not_read(tiny, checkout, tmp_path):
    own_solver(checkout, tmp_path, "weight_decay: 0", 'regularization_type: "L3"')
    assert solver_of(rendered(tiny("solver=own"))[0]).regularization_type == "L3"


def test_the_types_of_solvers_are_torchcaffes():
    with pytest.raises(FormatError, match=rf"known types: {', '.join(SOLVER_TYPES)}\)"):
        solver_type(SolverParameter(type="none"), "solver")


def test_all_numbers_of_the_solver_are_told_at_once_with_an_unknown_bottom_blob_of_the_net(tiny, checkout, tmp_path):
    fields = [field for field in NUMBERS if field != "iter_size: 0"]
    line = own_solver(checkout, tmp_path, *fields)
    net = edited(checkout, tmp_path, 'bottom: "fc7" top: "fc8"', 'bottom: "fc77" top: "fc8"')
    with pytest.raises(UserError) as error:
        rendered(tiny(f"{net} solver=own"))
    told = str(error.value).splitlines()
    assert told[:5] == [f"solvers/own.prototxt:{line + at}: {NUMBERS[field]}" for at, field in enumerate(fields)]
    assert len(told) == 6
    assert re.match(r"prototxt/mine/train_val.prototxt:\d+: layer 'fc8': unknown bottom blob 'fc77'; no", told[5])


def test_an_experiments_own_numbers_hold_where_those_of_the_solver_are_wrong(tiny, checkout, tmp_path):
    own_solver(checkout, tmp_path, "max_iter: -300", "test_interval: -150", "display: -1", "snapshot: -1")
    solver = solver_of(rendered(tiny("solver=own max_iter=200 test_interval=100 display=10 snapshot=0"))[0])
    assert (solver.max_iter, solver.test_interval, solver.display, solver.snapshot) == (200, 100, 10, 0)


def test_a_solver_without_snapshots_is_rendered(tiny, checkout, tmp_path):
    own_solver(checkout, tmp_path, "snapshot: 0")
    assert solver_of(rendered(tiny("solver=own"))[0]).snapshot == 0


def test_the_hint_at_a_test_batch_fits_both_halves(tiny):
    exp = tiny("test_batch_size=40")
    split = json.loads(split_of(exp, 0).marker.read_text())
    split["counts"] = {"A": {"val": 54}, "B": {"val": 45}}
    split_of(exp, 0).marker.write_text(json.dumps(split))
    with pytest.raises(UserError, match=r"test_batch_size: 45 validation images in test batches of 40; .* as 9 does"):
        rendered(exp)


def test_a_run_writes_caffemodels_whatever_format_the_solver_names(tiny, checkout, tmp_path):
    (tmp_path / "solvers").mkdir()
    text = (checkout / "solvers" / "mini.prototxt").read_text() + "snapshot_format: HDF5\n"
    (tmp_path / "solvers" / "own.prototxt").write_text(text)
    found = solver_of(rendered(tiny("solver=own"))[0])
    assert found.snapshot_format == found.BINARYPROTO


def test_images_of_an_iteration_are_those_of_all_its_batches(tiny, checkout, tmp_path):
    (tmp_path / "solvers").mkdir()
    (tmp_path / "solvers" / "own.prototxt").write_text(
        (checkout / "solvers" / "mini.prototxt").read_text() + "iter_size: 4\n"
    )
    assert rendered(tiny("solver=own"))[0].train_batch == 4 * 256
    assert rendered(tiny())[0].train_batch == 256


def test_an_accuracy_of_more_classes_than_there_are_is_refused(tiny, checkout, tmp_path):
    more = 'layer { name: "many" type: "Accuracy" bottom: "fc8" bottom: "label" top: "many" '
    more += "accuracy_param { top_k: 101 } }\n"
    exp = tiny(edited(checkout, tmp_path, 'layer {\n  name: "accuracy"', more + 'layer {\n  name: "accuracy"'))
    with pytest.raises(UserError, match=r"mine/train_val.prototxt:\d+: Accuracy layer 'many': top_k: 101 of 100 cla"):
        rendered(exp)


def test_a_convolution_that_gives_the_scores_in_groups_must_divide_the_classes(tiny, checkout, tmp_path):
    old = 'name: "fc8" type: "InnerProduct"'
    exp = tiny(edited(checkout, tmp_path, old, old.replace("InnerProduct", "Convolution")))
    file = tmp_path / "prototxt" / "mine" / "train_val.prototxt"
    text = file.read_text().replace("inner_product_param {\n    num_output: 5", "convolution_param {\n    group: 3")
    file.write_text(text)
    with pytest.raises(UserError, match=r"model: fc8 with group: 3 and 100 classes; the groups of a layer"):
        rendered(exp)
    file.write_text(text.replace("group: 3", "group: 4"))
    (fc8,) = (layer for layer in rendered(exp, "base")[2].layer if layer.name == "fc8")
    assert fc8.convolution_param.num_output == 100


def test_runs_of_a_kind_differ_in_their_files_and_seed_alone(tiny):
    """What they share is worked out once; a template that is changed meanwhile is read again."""
    exp = tiny("seeds=[0,1] split_seed=0 subsample_seed=0")
    first = render(exp, Run(exp.name, "A2B", 300, "S3T", 0))
    other = render(exp, Run(exp.name, "A2B", 50, "S3T", 1))
    assert other.net == first.net.replace("n0300", "n0050")
    own = {"n0300": "n0050", "seed0": "seed1", "random_seed: 1000": "random_seed: 1001"}
    assert other.solver == re.sub("|".join(own), lambda found: own[found[0]], first.solver)
    assert render(exp, Run(exp.name, "A2B", 300, "S3T", 0)) == first
    assert render(exp, Run(exp.name, "A2B", 300, "S4T", 0)).plan != first.plan


def test_a_template_that_changes_is_rendered_again(tiny, checkout, tmp_path):
    exp = tiny(edited(checkout, tmp_path, "num_output: 16", "num_output: 17"))
    assert "num_output: 17" in rendered(exp)[0].net
    file = tmp_path / "prototxt" / "mine" / "train_val.prototxt"
    file.write_text(file.read_text().replace("num_output: 17", "num_output: 18"))
    assert "num_output: 18" in rendered(exp)[0].net and "num_output: 17" not in rendered(exp)[0].net


def test_each_run_has_its_own_nets_headline(tiny, tmp_path):
    """Read once for nets that are alike but for their files."""
    text = rendered(tiny())[0].net
    outputs = []
    for number, name in enumerate(("accuracy", "accuracy", "another")):
        (tmp_path / str(number)).mkdir()
        own = text.replace("n0300", f"n030{number}").replace('top: "accuracy"', f'top: "{name}"')
        (tmp_path / str(number) / NET).write_text(own)
        outputs.append(headline_in(tmp_path / str(number)).outputs[0])
    assert outputs == ["accuracy", "accuracy", "another"]
