"""A solver's `type` chooses its update rule."""

import pytest

from caffeformat.caffeformat_pb2 import SolverParameter
from torchcaffe.common.log import Fatal
from torchcaffe.solvers.solver_types import solver_type


@pytest.mark.parametrize("name", ["AdaDelta", "AdaGrad", "Adam", "Nesterov", "RMSProp", "SGD"])
def test_the_rule_has_the_name_of_the_type(name: str) -> None:
    assert solver_type(SolverParameter(type=name), "solver.prototxt").__name__ == name


def test_the_default_is_sgd() -> None:
    assert solver_type(SolverParameter(), "solver.prototxt").__name__ == "SGD"


def test_an_unknown_type_is_refused_with_the_known_ones() -> None:
    known = "AdaDelta, AdaGrad, Adam, Nesterov, RMSProp, SGD"
    with pytest.raises(Fatal, match=rf"s\.prototxt: Unknown solver type: sgd \(known types: {known}\)") as error:
        solver_type(SolverParameter(type="sgd"), "s.prototxt")
    assert error.value.place == "solver_factory.hpp:76"
