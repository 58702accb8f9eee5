"""pycaffe's solvers, with its names and arguments.

Each class trains by its own rule, whatever `type` the prototxt names; `get_solver` chooses the class by `type`. After
`step`, the `diff` of a parameter is its update, as in pycaffe.

Source followed: BVLC Caffe's python/caffe/_caffe.cpp.
"""

import operator
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from caffeformat.caffeformat_pb2 import SolverParameter
from torchcaffe.common import forks, host_arrays, log
from torchcaffe.common.unpicklable import Unpicklable
from torchcaffe.pycaffe import Net, check_file
from torchcaffe.solvers import solver
from torchcaffe.solvers.solver_types import solver_type


class SGDSolver(Unpicklable):
    """The solver in the prototxt `path`. `core` is the solver itself. Raises FormatError.

    `net` and `test_nets` are its nets, `iter` is the number of updates, `param` the SolverParameter.
    """

    _type: ClassVar[str] = "SGD"

    def __init__(self, path: str | Path):
        log.enable_for_script()
        forks.prepare()
        check_file(path)
        param = solver.read_solver(path)
        if param.type != self._type:
            other = f"{path} says type: {param.type}, but {type(self).__name__} trains by {self._type}"
            log.warning("solver.cpp:45", f"{other}; get_solver takes the type of the file")
            param.type = self._type
        self.core = solver.Solver(param, str(path))
        self.core.keeps_updates = True
        self._net = Net.of(self.core.net)
        self._test_nets = [Net.of(net) for net in self.core.test_nets]

    @property
    def net(self) -> Net:
        return self._net

    @property
    def test_nets(self) -> list[Net]:
        return self._test_nets

    @property
    def iter(self) -> int:
        return self.core.iter

    @property
    def param(self) -> SolverParameter:
        return self.core.param

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return self.core.updater.learning_rate(self.iter)

    def step(self, iterations: int) -> None:
        """Raises TypeError unless `iterations` is a whole number."""
        iterations = operator.index(iterations)
        with host_arrays.synced(self.core.net.blobs):
            self.core.step(iterations)

    def solve(self, resume_file: str | None = None) -> None:
        with host_arrays.synced(self.core.net.blobs):
            if resume_file:
                self.core.restore(resume_file)
            self.core.solve()

    def apply_update(self) -> None:
        """Updates the weights by their gradients, and counts the iteration."""
        with host_arrays.synced(self.core.net.blobs):
            self.core.apply_update(keep_updates=True)

    def snapshot(self) -> None:
        host_arrays.push()
        self.core.snapshot()

    def restore(self, path: str) -> None:
        with host_arrays.synced():
            self.core.restore(str(path))

    def share_weights(self, net: Net) -> None:
        """Lets `net` use the weights of this solver's net."""
        net.share_with(self.net)

    def add_callback(self, on_start: Callable[[], object], on_gradients_ready: Callable[[], object]) -> None:
        """Calls the first before the passes of each iteration, the second before its update."""
        self.core.on_start.append(_with_arrays(on_start))
        self.core.on_gradients_ready.append(_with_arrays(on_gradients_ready))


class NesterovSolver(SGDSolver):
    _type = "Nesterov"


class AdaGradSolver(SGDSolver):
    _type = "AdaGrad"


class RMSPropSolver(SGDSolver):
    _type = "RMSProp"


class AdaDeltaSolver(SGDSolver):
    _type = "AdaDelta"


class AdamSolver(SGDSolver):
    _type = "Adam"


_CLASSES = {
    each._type: each for each in (SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver)
}


def get_solver(path: str | Path) -> SGDSolver:
    """The solver of the class that the prototxt's `type` names. Raises FormatError."""
    check_file(path)
    param = solver.read_solver(path)
    solver_type(param, str(path))
    return _CLASSES[param.type](path)


def _with_arrays(call: Callable[[], object]) -> Callable[[], None]:
    """`call`, for a script's function: its arrays are up to date when it runs, and what it writes is seen."""

    def run() -> None:
        host_arrays.refresh()
        call()
        host_arrays.push()

    return run
