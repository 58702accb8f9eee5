"""Solver: trains a net, tests it, logs and snapshots, in the order of BVLC Caffe's solver.cpp.

At iteration N: test, forward and backward, loss line, rate line, update, snapshot. After the last one a snapshot, a
forward pass for the last loss line, a test.
"""

import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path

import numpy as np

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import TEST, TRAIN, NetState, SolverParameter, SolverState
from torchcaffe.common import context, log
from torchcaffe.common.log import check, number
from torchcaffe.nets import parsed_net, upgrade
from torchcaffe.nets.net import Net
from torchcaffe.snapshots import hdf5, snapshot, weights
from torchcaffe.snapshots.snapshot import State
from torchcaffe.solvers import step
from torchcaffe.solvers.smoothing import SmoothedLoss
from torchcaffe.solvers.solver_types import solver_type

Action = Enum("Action", ["NONE", "STOP", "SNAPSHOT"])

_DRAWN = "gpu"  # in the file beside a solverstate: how far the GPU's generator is; a run on the CPU has none


def read_solver(path: str | Path) -> SolverParameter:
    """The solver in a prototxt file, brought up to date. Raises FormatError."""
    return upgrade.solver(prototxt.read_solver(path), str(path))


class Solver:
    """`net` is the train net, `test_nets` the others, `iter` the number of updates so far."""

    def __init__(self, param: SolverParameter, where: str = "solver"):
        updater = solver_type(param, where)
        log.info("solver.cpp:45", f"Initializing solver from parameters: \n{log.debug_string(param)}")
        self.param = param
        self.iter = 0
        self.requested_action: Callable[[], Action] = lambda: Action.NONE
        _check_settings(param, where)
        self._check_snapshot_prefix()
        if param.random_seed >= 0:
            context.set_random_seed(param.random_seed)
        self._rng = context.current().rng
        self.net = self._train_net()
        self.test_nets = self._test_nets()
        log.info("solver.cpp:57", "Solver scaffolding done.")
        self.updater = updater(param, self.net.params.learnable)
        self._hdf5 = param.snapshot_format == SolverParameter.HDF5
        if self._hdf5:
            hdf5.check_possible(self.net, where)
        self.smoothed = SmoothedLoss(param.average_loss)
        self._step = step.create(self.net, self.updater, param)
        self._early_exit = False
        self._resumed_exactly = False

    # Construction

    def _train_net(self) -> Net:
        p = self.param
        names = "net, net_param, train_net, train_net_param"
        given = [name for name in names.split(", ") if p.HasField(name)]
        check(given, f"SolverParameter must specify a train net using one of these fields: {names}", "solver.cpp:82")
        several = f"SolverParameter must not contain more than one of these fields specifying a train_net: {names}"
        check(len(given) == 1, several, "solver.cpp:84")
        field = given[0]
        place = {"train_net_param": "88", "train_net": "92", "net_param": "97", "net": "102"}[field]
        if field.endswith("param"):
            log.info(f"solver.cpp:{place}", f"Creating training net specified in {field}.")
            source = parsed_net.from_message(getattr(p, field), field)
        else:
            log.info(f"solver.cpp:{place}", f"Creating training net from {field} file: {getattr(p, field)}")
            source = parsed_net.read(getattr(p, field))
        return self._loaded(source, NetState(phase=TRAIN), [p.train_state])

    def _test_nets(self) -> list[Net]:
        """Test nets of their own first; the rest of the test_iter are tests of the net that is also trained."""
        p = self.param
        sources: list[tuple[str, Callable[[], parsed_net.Source]]] = []
        for message in p.test_net_param:
            sources.append(("test_net_param", lambda m=message: parsed_net.from_message(m, "test_net_param")))
        for path in p.test_net:
            sources.append((f"test_net file: {path}", lambda path=path: parsed_net.read(path)))
        generic = p.HasField("net") or p.HasField("net_param")
        count = len(p.test_iter)
        enough = count >= len(sources) if generic else count == len(sources)
        check(enough, "test_iter must be specified for each test network.", "solver.cpp:132")
        for _ in range(count - len(sources)):
            if p.HasField("net_param"):
                sources.append(("net_param", lambda: parsed_net.from_message(p.net_param, "net_param")))
            else:
                sources.append((f"net file: {p.net}", lambda: parsed_net.read(p.net)))
        once = "test_state must be unspecified or specified once per test net."
        check(len(p.test_state) in (0, count), once, "solver.cpp:146")
        interval = "test_interval must be given, 1 or more, with test_iter"
        check(not sources or p.test_interval > 0, interval, "solver.cpp:150")
        nets = []
        for index, (name, read) in enumerate(sources):
            log.info("solver.cpp:190", f"Creating test net (#{index}) specified by {name}")
            nets.append(self._loaded(read(), NetState(phase=TEST), p.test_state[index : index + 1]))
            nets[-1].debug_info = p.debug_info
        return nets

    def _loaded(self, source: parsed_net.Source, state: NetState, overrides: list[NetState]) -> Net:
        """A net in its state: the solver's default, then the net's own word, then `overrides`; with the weights."""
        state.MergeFrom(source.param.state)
        for override in overrides:
            state.MergeFrom(override)
        net = Net(source, state)
        for names in self.param.weights:
            for name in names.split(","):
                check(name.strip(), f"--weights={names}: a name in the list is empty", "net.cpp:794")
                log.info("solver.cpp:72", f"Finetuning from {name.strip()}")
                weights.load(net, name.strip())
        return net

    def _check_snapshot_prefix(self) -> None:
        if not self.param.snapshot:
            return
        prefix = self.param.snapshot_prefix
        given = self.param.HasField("snapshot_prefix")
        check(given, "In solver params, snapshot is specified but snapshot_prefix is not", "solver.cpp:440")
        probe = Path(self._snapshot_name(".tempfile"))
        try:
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            cannot = f"Cannot write to snapshot prefix '{prefix}' ({error.strerror})."
            hint = "Make sure that the directory exists and is writable."
            raise log.Fatal(f"{cannot}  {hint}", "solver.cpp:448") from None

    # Training

    def step(self, iterations: int) -> None:
        """Trains for a number of iterations, or until a signal says stop."""
        p, stop = self.param, self.iter + iterations
        if self._resumed_exactly:
            self._resumed_exactly = False
        else:
            self.smoothed.restart(self.iter)
        self._start_timer()
        while self.iter < stop:
            self.net.params.clear_gradients()
            if p.test_interval and self.iter % p.test_interval == 0 and (self.iter > 0 or p.test_initialization):
                self.test_all()
                if self._early_exit:
                    break
            display = p.display and self.iter % p.display == 0
            self.net.debug_info = bool(display and p.debug_info)
            self.smoothed.add(self._step.forward_backward(), self.iter)
            if display:
                self._log_train()
            rate = self.updater.learning_rate(self.iter)
            if display:
                log.info("sgd_solver.cpp:112", f"Iteration {self.iter}, lr = {number(rate)}")
            self._step.update(rate, self.iter)
            self.iter += 1
            action = self.requested_action()
            if (p.snapshot and self.iter % p.snapshot == 0) or action is Action.SNAPSHOT:
                self.snapshot()
            if action is Action.STOP:
                self._early_exit = True
                break

    def solve(self) -> None:
        """Trains to max_iter, with all that Caffe does before and after."""
        p = self.param
        log.info("solver.cpp:289", f"Solving {self.net.name}")
        log.info("solver.cpp:290", f"Learning Rate Policy: {p.lr_policy}")
        self._early_exit = False
        self.step(p.max_iter - self.iter)
        if p.snapshot_after_train and (not p.snapshot or self.iter % p.snapshot != 0):
            self.snapshot()
        if self._early_exit:
            log.info("solver.cpp:311", "Optimization stopped early.")
            return
        if p.display and self.iter % p.display == 0:
            self.smoothed.add(self.net.forward(), self.iter)
            log.info("solver.cpp:327", f"Iteration {self.iter}, loss = {number(self.smoothed.value())}")
        if p.test_interval and self.iter % p.test_interval == 0:
            self.test_all()
        log.info("solver.cpp:332", "Optimization Done.")

    def _start_timer(self) -> None:
        self._started, self._started_iter = time.monotonic(), self.iter

    def _log_train(self) -> None:
        loss = self.smoothed.value()
        lapse = round(time.monotonic() - self._started, 3)
        rate = (self.iter - self._started_iter) / (lapse or 1)
        speed = f"{number(rate)} iter/s, {number(lapse)}s/{self.param.display} iters"
        log.info("solver.cpp:239", f"Iteration {self.iter} ({speed}), loss = {number(loss)}")
        self._start_timer()
        for index, (name, value, weight) in enumerate(self.net.output_values()):
            line = f"    Train net output #{index}: {name} = {number(value)}{_weighted(value, weight)}"
            log.info("solver.cpp:258", line)

    # Testing

    def test_all(self) -> None:
        for index in range(len(self.test_nets)):
            if not self._early_exit:
                self.test(index)

    def test(self, index: int) -> list[tuple[str, float]] | None:
        """Tests one net with the weights of the train net; the means of its outputs, None if a signal stopped it."""
        log.info("solver.cpp:347", f"Iteration {self.iter}, Testing net (#{index})")
        net, count = self.test_nets[index], self.param.test_iter[index]
        net.share_params_with(self.net)
        sums, loss, names = None, np.float32(0), []
        for _ in range(count):
            if self._stop_requested():
                log.info("solver.cpp:396", "Test interrupted.")
                return None
            batch_loss = net.forward()
            if self.param.test_compute_loss:
                loss += np.float32(batch_loss)
            values = list(net.output_values())
            scores = np.array([value for _, value, _ in values], np.float32)
            sums = scores if sums is None else sums + scores
            names = [(name, weight) for name, _, weight in values]
        if self.param.test_compute_loss:
            log.info("solver.cpp:401", f"Test loss: {number(loss / np.float32(count))}")
        means = [] if sums is None else sums / np.float32(count)
        for place, ((name, weight), mean) in enumerate(zip(names, means, strict=True)):
            line = f"    Test net output #{place}: {name} = {number(mean)}{_weighted(mean, weight)}"
            log.info("solver.cpp:414", line)
        return [(name, float(mean)) for (name, _), mean in zip(names, means, strict=True)]

    def _stop_requested(self) -> bool:
        while (action := self.requested_action()) is not Action.NONE:
            if action is Action.SNAPSHOT:
                self.snapshot()
            else:
                self._early_exit = True
        return self._early_exit

    # Snapshots

    def _snapshot_name(self, ending: str) -> str:
        return f"{self.param.snapshot_prefix}_iter_{self.iter}{ending}"

    def snapshot(self) -> None:
        """Writes `_iter_N.caffemodel` and `_iter_N.solverstate`, as HDF5 with `.h5` behind, and beside the latter what
        makes a resume exact."""
        history = [tensor.numpy(force=True) for tensor in self.updater.history]
        state = SolverState(iter=self.iter, current_step=self.updater.current_step)
        path = snapshot.write(
            self._snapshot_name(""), self.net, state, history, self._hdf5, with_diff=self.param.snapshot_diff
        )
        snapshot.write_side(path, self._side_state())

    def restore(self, path: str) -> None:
        """Goes back to a snapshot of either engine. Raises FormatError."""
        state, history = snapshot.read_state(path, [tuple(tensor.shape) for tensor in self.updater.history])
        if state.learned_net:
            weights.load(self.net, state.learned_net)
        self.updater.restore(history, state.current_step, path)
        self.iter = state.iter
        side = snapshot.read_side(path)
        if side is None:
            return
        drawn = side.pop(_DRAWN, None)
        if side.keys() != self._side_state().keys() - {_DRAWN}:
            other = f"what lies beside {path} was written for other nets and is left aside: the data begin anew"
            log.warning("sgd_solver.cpp:340", other)
            return
        self._restore_side(side)
        if drawn is not None and self.net.context.on_gpu:
            context.restore_drawn(drawn)

    def _side_state(self) -> State:
        state = {f"rng.{name}": array for name, array in self._rng.state().items()} | self.smoothed.state()
        if self.net.context.on_gpu:
            state[_DRAWN] = context.drawn()
        for index, net in enumerate([self.net, *self.test_nets]):
            state |= snapshot.net_state(net, f"net{index}")
        return state

    def _restore_side(self, state: State) -> None:
        self._rng.restore({name[4:]: array for name, array in state.items() if name.startswith("rng.")})
        self.smoothed.restore(state)
        self._resumed_exactly = True
        for index, net in enumerate([self.net, *self.test_nets]):
            snapshot.restore_net(net, f"net{index}", state)


def _check_settings(param: SolverParameter, where: str) -> None:
    """Raises Fatal for settings that are wrong; `where` names the file."""
    for name in ("average_loss", "iter_size"):
        check(getattr(param, name) >= 1, f"{where}: {name} should be 1 or more", "solver.cpp:48")


def _weighted(value: float, weight: float) -> str:
    return f" (* {number(weight)} = {number(np.float32(weight) * np.float32(value))} loss)" if weight else ""
