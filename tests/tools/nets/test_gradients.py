"""What the copy plan says of layers that the template itself keeps from learning, and what real Caffe moves of them."""

from pathlib import Path

import pytest

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import NetParameter, SolverParameter
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.rendered_nets import edited, rendered
from tools.common.errors import UserError
from tools.nets.gradients import with_what_learns
from tools.nets.surgery import LayerPlan

FC = """layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" {more}
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} bias_filler {{ value: 0.5 }} }} }}
"""
DATA = """layer { name: "in" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 3 } data_filler { type: "gaussian" } data_filler { value: 2 } } }
"""


def fc(name: str, bottom: str, more: str = "") -> str:
    return FC.format(name=name, bottom=bottom, more=more)


def loss(name: str, bottom: str, more: str = "") -> str:
    return f'layer {{ name: "{name}" type: "EuclideanLoss" bottom: "{bottom}" bottom: "t" top: "{name}" {more} }}\n'


STILL, BIAS = "param { lr_mult: 0 } param { lr_mult: 0 }", "param { lr_mult: 0 }"
BY_RATE = "not learning (lr_mult: 0 in the template)"
BY_A, BY_SUM = "not learning (propagate_down: false in a)", "not learning (propagate_down: false in sum)"
PART, ALL = "learning in part (lr_mult: 0 in the template)", "learning"
STOP = "propagate_down: false"
NETS = {
    "by lr_mult": (fc("a", "x", STILL) + fc("b", "a", BIAS) + fc("c", "b") + loss("l", "c"),
                   {"a": BY_RATE, "b": PART, "c": ALL}),
    "by propagate_down": (fc("c", "x") + fc("b", "c") + fc("a", "b", STOP) + loss("l", "a"),
                          {"a": ALL, "b": BY_A, "c": BY_A}),
    "another way to a loss": (fc("c", "x") + fc("a", "c", STOP) + loss("l", "a") + fc("b", "c") + loss("m", "b"),
                              {"a": ALL, "b": ALL, "c": ALL}),
    "a loss without weight": (fc("c", "x") + fc("a", "c", STOP) + loss("l", "a") + fc("b", "c")
                              + loss("m", "b", "loss_weight: 0"), {"a": ALL, "c": BY_A}),
    "one of two bottoms": (fc("a", "x") + fc("b", "x") + 'layer { name: "sum" type: "Eltwise" bottom: "b" bottom: "a" '
                           'top: "s" propagate_down: false propagate_down: true }' + loss("l", "s"),
                           {"b": BY_SUM, "a": ALL}),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), NETS.values(), ids=NETS)
def test_the_plan_says_what_real_caffe_moves(
    tmp_path: Path, real_caffe: RealCaffe, text: str, expected: dict[str, str]
) -> None:
    text = DATA + text
    net = prototxt.parse(text, NetParameter(), "net")
    plan = [LayerPlan(name, name, copied=True, frozen=False) for name in expected]
    told = with_what_learns(plan, net, tmp_path / "net.prototxt", SolverParameter())
    assert {row.layer: row.action for row in told} == {name: f"copied, {how}" for name, how in expected.items()}
    (tmp_path / "net.prototxt").write_text(text)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 9 snapshot_after_train: false'
    )
    program = """
caffe.set_mode_cpu()
solver = caffe.SGDSolver(given["solver"])
before = {name: [blob.data.copy() for blob in blobs] for name, blobs in solver.net.params.items()}
solver.step(5)
for name, blobs in solver.net.params.items():
    out[name] = np.array([(blob.data != old).any() for blob, old in zip(blobs, before[name])])
"""
    moved = real_caffe.run(program, solver=str(tmp_path / "solver.prototxt"))
    assert {name: moved[name].tolist() for name in expected} == {
        name: [how == ALL, not how.startswith("not")] for name, how in expected.items()
    }


def test_a_batchnorm_has_an_lr_mult_of_0_and_learns_and_a_frozen_layer_is_frozen() -> None:
    batch_norm = f'layer {{ name: "bn" type: "BatchNorm" bottom: "c" top: "bn" {STILL} }}\n'
    net = prototxt.parse(
        DATA + fc("c", "x") + batch_norm + fc("a", "bn", STILL) + loss("l", "a"), NetParameter(), "net"
    )
    plan = [LayerPlan(name, name, copied=True, frozen=name == "a") for name in ("c", "bn", "a")]
    told = with_what_learns(plan, net, Path("net.prototxt"), SolverParameter())
    assert [row.action for row in told] == ["copied, learning", "copied, learning", "copied, frozen"]


def test_the_plan_of_a_run_says_what_its_template_keeps_from_learning(tiny, checkout, tmp_path):
    exp = tiny(edited(checkout, tmp_path, 'name: "fc6"', f'name: "fc6" {STOP}'))
    stopped = "learning (propagate_down: false in fc6)"
    assert [row.action for row in rendered(exp, "FTall")[0].plan] == [
        *[f"copied, not {stopped}"] * 5, *["copied, learning"] * 2, "random, learning"
    ]  # fmt: skip
    assert [row.action for row in rendered(exp, "S4T")[0].plan[3:6]] == [
        "copied, frozen", f"random, not {stopped.replace('fc6', 'fc6_T')}", "random, learning"
    ]  # fmt: skip


def test_a_net_of_which_no_layer_learns_is_refused_with_its_line(tiny, checkout, tmp_path):
    exp = tiny(edited(checkout, tmp_path, "lr_mult: 1 decay", "lr_mult: 0 decay"))
    file = tmp_path / "prototxt" / "mine" / "train_val.prototxt"
    file.write_text(
        file.read_text().replace("lr_mult: 1 decay", "lr_mult: 0 decay").replace("lr_mult: 2", "lr_mult: 0")
    )
    with pytest.raises(
        UserError, match=r"^prototxt/mine/train_val.prototxt:17: no layer of the net would learn; conv1: "
    ):
        rendered(exp, "FTall")
    file.write_text(file.read_text().replace("lr_mult: 0 decay_mult: 0", "lr_mult: 2 decay_mult: 0"))
    assert {row.learning for row in rendered(exp, "FTall")[0].plan} == {PART}
