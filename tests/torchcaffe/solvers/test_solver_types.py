"""A solver's `type` chooses its update rule."""

from pathlib import Path

import pytest

from caffeformat.caffeformat_pb2 import SolverParameter
from torchcaffe.common.log import Fatal
from torchcaffe.solvers.solver_types import solver_type

TYPES = ["AdaDelta", "AdaGrad", "Adam", "Nesterov", "RMSProp", "SGD"]


@pytest.mark.parametrize("name", TYPES)
def test_the_rule_has_the_name_of_the_type(name: str) -> None:
    assert solver_type(SolverParameter(type=name), "solver.prototxt").__name__ == name


def test_the_default_is_sgd() -> None:
    assert solver_type(SolverParameter(), "solver.prototxt").__name__ == "SGD"


def test_an_unknown_type_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    known = rf"s\.prototxt: Unknown solver type: sgd \(known types: {', '.join(TYPES)}\)"
    with pytest.raises(Fatal, match=known) as error:
        solver_type(SolverParameter(type="sgd"), "s.prototxt")
    assert error.value.place == "solver_factory.hpp:76"
    file = tmp_path / "own.prototxt"
    file.write_text('base_lr: 1\ntype: "sgd"\n')
    with pytest.raises(Fatal, match=r"own\.prototxt:2: Unknown solver type: sgd"):
        solver_type(SolverParameter(type="sgd"), str(file))
