"""A solver whose learning rate would not train the net is refused, as the rates of real Caffe show."""

import subprocess
from pathlib import Path

import pytest

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import SolverParameter
from tests.helpers.rendered_nets import rendered
from tools.common.errors import UserError
from tools.nets.learning_rate import NEEDS, rate_faults
from tools.nets.templates import SOLVER_TYPES

FILE = Path("solvers/own.prototxt")
STEP = 'base_lr: 0.1 lr_policy: "step" '
REFUSED = {
    'lr_policy: "fixed"': ["base_lr: not given; give a learning rate above 0, such as 0.01"],
    'base_lr: 0 lr_policy: "fixed"': ["base_lr: 0; give a learning rate above 0"],
    'base_lr: -0.1 lr_policy: "fixed"': ["base_lr: -0.1; give a learning rate above 0"],
    'base_lr: nan lr_policy: "fixed"': ["base_lr: nan; give"],
    'base_lr: inf lr_policy: "fixed"': ["base_lr: inf; give"],
    "base_lr: 0.1": ["lr_policy: not given; there are fixed, step, exp, inv, multistep, poly, sigmoid"],
    'base_lr: 0.1 lr_policy: "steps"': ['lr_policy: "steps"; there are fixed, step'],
    STEP + "stepsize: 5": ['gamma: not given; lr_policy: "step" needs one above 0; "fixed" has a rate that stays'],
    STEP + "gamma: 0.1": ['stepsize: not given; lr_policy: "step" needs one above 0'],
    STEP + "gamma: -0.1 stepsize: -5": ["gamma: -0.1; lr_policy", "stepsize: -5; lr_policy"],
    'base_lr: 0.1 lr_policy: "exp"': ["gamma: not given; lr_policy"],
    'base_lr: 0.1 lr_policy: "inv" gamma: 0.1': ["power: not given; lr_policy"],
    'base_lr: 0.1 lr_policy: "multistep" gamma: 0.1': ["stepvalue: not given; lr_policy"],
    'base_lr: 0.1 lr_policy: "poly" power: 0': ["power: 0; lr_policy"],
    'lr_policy: "sigmoid" gamma: 1': ["base_lr: not given; ", "stepsize: not given; lr_policy"],
}


@pytest.mark.parametrize(("text", "told"), REFUSED.items(), ids=REFUSED)
def test_what_the_rate_lacks_is_told_with_its_key(text: str, told: list[str]) -> None:
    lines = rate_faults(prototxt.parse(text, SolverParameter(), "solver"), FILE)
    assert len(lines) == len(told)
    assert all(line.startswith(f"{FILE}: {start}") for line, start in zip(lines, told, strict=True))


def test_a_fault_has_the_line_of_its_key_or_of_the_policy_that_needs_it(tmp_path: Path) -> None:
    file = tmp_path / "own.prototxt"
    file.write_text('lr_policy: "step"\ngamma: -1\nbase_lr: 0\n')
    lines = rate_faults(prototxt.read_solver(file), file)
    assert [line[: len(f"{file}:1: gamma")] for line in lines] == [
        f"{file}:3: base_",
        f"{file}:2: gamma",
        f"{file}:1: steps",
    ]
    file.write_text('base_lr: 0.1\nlr_policy: "Step"\n')
    assert rate_faults(prototxt.read_solver(file), file)[0].startswith(f'{file}:2: lr_policy: "Step"; there are fixed')


GIVEN = {"gamma": "gamma: 0.5", "stepsize": "stepsize: 2", "power": "power: 0.5", "stepvalue": "stepvalue: 2"}


@pytest.mark.parametrize("type_", SOLVER_TYPES)
@pytest.mark.parametrize("policy", NEEDS)
def test_a_rate_with_all_that_its_policy_needs_is_accepted(policy: str, type_: str) -> None:
    needed = " ".join(GIVEN[key] for key in NEEDS[policy])
    text = f'type: "{type_}" base_lr: 0.1 lr_policy: "{policy}" {needed}'
    assert rate_faults(prototxt.parse(text, SolverParameter(), "solver"), FILE) == []


NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc" inner_product_param { num_output: 1 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "x" top: "loss" }
"""


@pytest.mark.parametrize(("policy", "key"), [(policy, key) for policy, keys in NEEDS.items() for key in keys])
def test_without_what_a_policy_needs_real_caffes_rate_stays_or_falls_to_0_or_is_refused(
    caffe: Path, tmp_path: Path, policy: str, key: str
) -> None:
    needed = " ".join(GIVEN[other] for other in NEEDS[policy] if other != key)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "net.prototxt" base_lr: 0.5 lr_policy: "{policy}" {needed} max_iter: 6 display: 1 solver_mode: CPU'
    )
    command = [caffe, "train", "--solver=solver.prototxt"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    rates = [line.rpartition("lr = ")[2] for line in done.stderr.splitlines() if "lr = " in line]
    if done.returncode:
        assert "Check failed: this->param_.stepsize() > 0" in done.stderr
    else:
        assert len(rates) == 6 and (set(rates[2:]) == {"0"} or len(set(rates)) == 1)


def test_an_experiments_own_rate_holds_where_the_solver_has_none(tiny, checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "solvers").mkdir()
    text = (checkout / "solvers" / "mini.prototxt").read_text().replace("base_lr: 0.02\n", "")
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UserError, match=f"{FILE}: base_lr: not given; give a learning rate above 0"):
        rendered(tiny("solver=own"))
    assert rendered(tiny("solver=own base_lr=0.1"))
