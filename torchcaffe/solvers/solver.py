"""Solver: trains a net, tests it, logs and takes snapshots, in the order of BVLC Caffe's solver.cpp.

Iteration N: test, forward and backward pass, loss line, rate line, update, snapshot. After the last iteration: a
snapshot, a forward pass for the last loss line, a test.
"""

import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import TEST, TRAIN, NetState, SolverParameter, SolverState
from torchcaffe.common import context, log
from torchcaffe.common.log import check, number, weighted_loss
from torchcaffe.common.signals import Action
from torchcaffe.nets import reader, upgrade
from torchcaffe.nets.net import Net
from torchcaffe.nets.parsed_net import ParsedNet
from torchcaffe.snapshots import hdf5, snapshot, weights
from torchcaffe.snapshots.snapshot import State
from torchcaffe.solvers import step
from torchcaffe.solvers.smoothing import SmoothedLoss
from torchcaffe.solvers.solver_types import solver_type

_GPU_RNG = "gpu"  # key in the resume file: the state of the GPU's generator. A run on the CPU has none.


def read_solver(path: str | Path) -> SolverParameter:
    """The solver in a prototxt file, upgraded as Caffe does. Raises FormatError."""
    return upgrade.solver(prototxt.read_solver(path), str(path))


class Solver:
    """`net` is the train net, `iter` the number of updates so far. `where` names the solver's file in errors.

    Between iterations it calls `requested_action`, which may ask for a snapshot or a stop. In each iteration it calls
    all `on_start` before the passes and all `on_gradients_ready` before the update. With `keeps_updates`, the gradients
    of parameters are the updates after `step`, as in Caffe. Raises FormatError.
    """

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
        self.test_nets = self._test_nets(where)
        log.info("solver.cpp:57", "Solver scaffolding done.")
        self.updater = updater(param, self.net.params.learnable, where)
        self._hdf5 = param.snapshot_format == SolverParameter.HDF5
        if self._hdf5:
            hdf5.check_possible(self.net, where)
        self.smoothed = SmoothedLoss(param.average_loss)
        self._step = step.create(self.net, self.updater, param)
        self.on_start: list[Callable[[], None]] = []
        self.on_gradients_ready: list[Callable[[], None]] = []
        self.keeps_updates = False
        self._early_exit = False
        self._resumed_exactly = False

    # Construction

    def _train_net(self) -> Net:
        p = self.param
        names = "net, net_param, train_net, train_net_param"
        fields = [name for name in names.split(", ") if p.HasField(name)]
        check(fields, f"SolverParameter must specify a train net using one of these fields: {names}", "solver.cpp:82")
        several = f"SolverParameter must not contain more than one of these fields specifying a train_net: {names}"
        check(len(fields) == 1, several, "solver.cpp:84")
        field = fields[0]
        place = {"train_net_param": "88", "train_net": "92", "net_param": "97", "net": "102"}[field]
        if field.endswith("param"):
            log.info(f"solver.cpp:{place}", f"Creating training net specified in {field}.")
            parsed = reader.from_message(getattr(p, field), field)
        else:
            log.info(f"solver.cpp:{place}", f"Creating training net from {field} file: {getattr(p, field)}")
            parsed = reader.read(getattr(p, field))
        return self._build(parsed, NetState(phase=TRAIN), [p.train_state])

    def _test_nets(self, where: str) -> list[Net]:
        """The nets in test_net_param and test_net; then `net` or `net_param`, for each test_iter that remains."""
        p = self.param
        sources: list[tuple[str, Callable[[], ParsedNet]]] = []
        for message in p.test_net_param:
            sources.append(("test_net_param", partial(reader.from_message, message, "test_net_param")))
        for path in p.test_net:
            sources.append((f"test_net file: {path}", partial(reader.read, path)))
        has_generic_net = p.HasField("net") or p.HasField("net_param")
        count = len(p.test_iter)
        enough = count >= len(sources) if has_generic_net else count == len(sources)
        if not enough:
            place = f"{prototxt.place_of(where, 'test_iter')}: ({count} vs. {len(sources)})"
            line = "132" if has_generic_net else "135"
            raise log.Fatal(f"{place} test_iter must be specified for each test network.", f"solver.cpp:{line}")
        for _ in range(count - len(sources)):
            if p.HasField("net_param"):
                sources.append(("net_param", partial(reader.from_message, p.net_param, "net_param")))
            else:
                sources.append((f"net file: {p.net}", partial(reader.read, p.net)))
        once = "test_state must be unspecified or specified once per test net."
        check(len(p.test_state) in (0, count), once, "solver.cpp:146")
        interval = "test_interval must be given, 1 or more, with test_iter"
        check(not sources or p.test_interval > 0, interval, "solver.cpp:150")
        nets = []
        for index, (name, read) in enumerate(sources):
            log.info("solver.cpp:190", f"Creating test net (#{index}) specified by {name}")
            nets.append(self._build(read(), NetState(phase=TEST), p.test_state[index : index + 1]))
            nets[-1].debug_info = p.debug_info
        return nets

    def _build(self, parsed: ParsedNet, state: NetState, overrides: Iterable[NetState]) -> Net:
        """The net with the solver's weights. The net's own state overrides `state`; `overrides` override both."""
        state.MergeFrom(parsed.param.state)
        for override in overrides:
            state.MergeFrom(override)
        net = Net(parsed, state)
        for names in self.param.weights:
            for name in names.split(","):
                check(name.strip(), f"--weights={names}: a name in the list is empty", "net.cpp:794")
                log.info("solver.cpp:72", f"Finetuning from {name.strip()}")
                weights.load(net, name.strip())
        return net

    def _check_snapshot_prefix(self) -> None:
        if self.param.snapshot:
            no_prefix = "In solver params, snapshot is specified but snapshot_prefix is not"
            check(self.param.HasField("snapshot_prefix"), no_prefix, "solver.cpp:440")
            self._check_can_snapshot()

    def _check_can_snapshot(self) -> None:
        prefix = self.param.snapshot_prefix
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
        """Trains for a number of iterations, or until `requested_action` asks for a stop."""
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
            for call in self.on_start:
                call()
            display = p.display and self.iter % p.display == 0
            self.net.debug_info = bool(display and p.debug_info)
            self.smoothed.add(self._step.forward_backward(), self.iter)
            if display:
                self._log_train()
            for call in self.on_gradients_ready:
                call()
            self.apply_update(self.keeps_updates and self.iter == stop - 1)
            action = self.requested_action()
            if (p.snapshot and self.iter % p.snapshot == 0) or action is Action.SNAPSHOT:
                self.snapshot()
            if action is Action.STOP:
                self._early_exit = True
                break

    def apply_update(self, keep_updates: bool) -> None:
        """Updates the weights by their gradients, and counts the iteration. With `keep_updates`, or snapshot_diff, the
        gradients are the updates afterwards."""
        rate = self.updater.learning_rate(self.iter)
        if self.param.display and self.iter % self.param.display == 0:
            log.info("sgd_solver.cpp:112", f"Iteration {self.iter}, lr = {number(rate)}")
        self.updater.keeps_updates = keep_updates or self.param.snapshot_diff
        self._step.update(rate, self.iter)
        self.iter += 1

    def solve(self) -> None:
        """Trains up to max_iter, with Caffe's log lines before, and its last snapshot and test after."""
        p = self.param
        if p.snapshot_after_train:  # Caffe looks only where `snapshot` is set, and else loses the net at the end
            self._check_can_snapshot()
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
            line = f"    Train net output #{index}: {name} = {number(value)}{weighted_loss(value, weight)}"
            log.info("solver.cpp:258", line)

    # Testing

    def test_all(self) -> None:
        for index in range(len(self.test_nets)):
            if not self._early_exit:
                self.test(index)

    def test(self, index: int) -> list[tuple[str, float]] | None:
        """Tests one net with the weights of the train net. Returns (name, mean) of its outputs; None if it was
        stopped."""
        log.info("solver.cpp:347", f"Iteration {self.iter}, Testing net (#{index})")
        net, count = self.test_nets[index], self.param.test_iter[index]
        net.share_params_with(self.net)
        loss = np.float32(0)
        sums: np.ndarray | None = None
        names: list[tuple[str, float]] = []
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
        means = np.empty(0, np.float32) if sums is None else sums / np.float32(count)
        for output, ((name, weight), mean) in enumerate(zip(names, means, strict=True)):
            line = f"    Test net output #{output}: {name} = {number(mean)}{weighted_loss(mean, weight)}"
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
        """Writes `_iter_N.caffemodel` and `_iter_N.solverstate` (with `.h5` as HDF5), and the resume file."""
        history = [tensor.numpy(force=True) for tensor in self.updater.history]
        state = SolverState(iter=self.iter, current_step=self.updater.current_step)
        resume_state = self._resume_state()
        prefix, with_diff = self._snapshot_name(""), self.param.snapshot_diff
        snapshot.write(prefix, self.net, state, history, self._hdf5, resume_state, with_diff)

    def restore(self, path: str) -> None:
        """Goes back to the solverstate `path`, written by either engine. Raises FormatError."""
        state, history = snapshot.read_state(path, [tuple(tensor.shape) for tensor in self.updater.history])
        if state.learned_net:
            weights.load(self.net, snapshot.weights_of(path, state.learned_net))
        self.updater.restore(history, state.current_step, path)
        self.iter = state.iter
        resume_state = snapshot.read_resume_file(path)
        if resume_state is None:
            return
        gpu_rng = resume_state.pop(_GPU_RNG, None)
        if resume_state.keys() != self._resume_state().keys() - {_GPU_RNG}:
            other = f"the resume file of {path} was written for other nets and is ignored: the data start again"
            log.warning("sgd_solver.cpp:340", other)
            return
        self._restore_exactly(resume_state)
        if gpu_rng is not None and self.net.context.on_gpu:
            context.restore_gpu_rng_state(gpu_rng)

    def _resume_state(self) -> State:
        state = {f"rng.{name}": array for name, array in self._rng.state().items()} | self.smoothed.state()
        if self.net.context.on_gpu:
            state[_GPU_RNG] = context.gpu_rng_state()
        for index, net in enumerate([self.net, *self.test_nets]):
            state |= snapshot.net_state(net, f"net{index}")
        return state

    def _restore_exactly(self, state: State) -> None:
        rng = {name.removeprefix("rng."): array for name, array in state.items() if name.startswith("rng.")}
        self._rng.restore(rng)
        self.smoothed.restore(state)
        self._resumed_exactly = True
        for index, net in enumerate([self.net, *self.test_nets]):
            snapshot.restore_net(net, f"net{index}", state)


def _check_settings(param: SolverParameter, where: str) -> None:
    """Raises Fatal for wrong settings; `where` names the file."""
    for name in ("average_loss", "iter_size"):
        check(getattr(param, name) >= 1, f"{where}: {name} should be 1 or more", "solver.cpp:48")
