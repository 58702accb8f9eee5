"""`caffe train` for one run: the net before training, and the training itself, from the beginning or a snapshot."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import SolverParameter
from tools.caffe_log import Log, LogReader
from tools.common.stage import Record
from tools.nets.templates import SOLVER, Rendered
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run
from tools.training import proofs
from tools.training.attempts import note_resumed
from tools.training.engine import Engine
from tools.training.live_line import LiveLine
from tools.training.output import OutputFault
from tools.training.patience import training_silence
from tools.training.process import RunFailed, describe_exit, run_engine
from tools.training.snapshots import iteration, last_caffemodel, name_own_net
from tools.training.used import Confirmation

LOG = "caffe.log"
# What the proof of the start leaves in the run's folder, and what a training leaves.
START = ("start*",)
TRAINED = ("net_iter_*", LOG, "train.csv", "test*.csv", "curves.csv", "predict*", ".*.partial")


class CaffeTrain:
    """Trains `run` with `engine` on `gpu` (None: the CPU). Raises RunFailed and ProofFailed."""

    def __init__(self, exp: Experiment, run: Run, engine: Engine, gpu: str | None, rendered: Rendered) -> None:
        self._exp, self._run, self._engine, self._gpu, self._rendered = exp, run, engine, gpu, rendered
        solver = prototxt.parse(rendered.solver, SolverParameter(), str(run.folder / SOLVER))
        self._max_iter = solver.max_iter
        self._rows = solver.max_iter // solver.display + solver.max_iter // solver.test_interval + 2

    def write_start(self, copied: list[str]) -> Path:
        """Writes the net as it is before training. Returns its caffemodel, which is whole."""
        reader = LogReader()
        solver = proofs.start_solver(self._run)
        path = self._run.folder / "start.log"
        arguments = ["train", f"--solver={solver}", *copied]
        status, _ = run_engine(self._engine, arguments, self._gpu, path, reader.feed)
        self._check_exit(path, status, reader.finish())
        start = self._run.folder / "start_iter_0.caffemodel"
        proofs.check_whole(self._rendered.plan, start)
        return start

    def train(self, copied: list[str], snapshots: Iterator[Path], used: Record) -> tuple[Log, str, list[int], Path]:
        """Trains, from the first of `snapshots` if there is one. Returns log, command, `resumed_at` and caffemodel.

        A snapshot that the engine refuses by name is passed over, and the next one is taken. `used` is what
        `used_files` returned before.
        """
        snapshot = next(snapshots, None)
        if snapshot is None:
            clear(self._run, TRAINED)
        while True:
            resumed_at = note_resumed(self._run, iteration(snapshot) if snapshot else None)
            try:
                log, command = self._attempt(copied, snapshot, used)
                break
            except RunFailed as error:
                last_line = str(error).splitlines()[-1].strip()
                if snapshot is None or snapshot.name not in last_line:
                    raise
                print(f"{snapshot}: passed over: {last_line}", flush=True)
                snapshot = next(snapshots, None)
                if snapshot is None:
                    clear(self._run, TRAINED)
        trained = last_caffemodel(self._run, self._max_iter)
        proofs.check_whole(self._rendered.plan, trained)
        return log, command, resumed_at, trained

    def _attempt(self, copied: list[str], snapshot: Path | None, used: Record) -> tuple[Log, str]:
        path, reader = self._run.folder / LOG, LogReader()
        if snapshot:
            name_own_net(snapshot)
            with open(path, errors="replace") as before:
                for line in before:
                    reader.feed(line)
        earlier = reader.log.attempts
        live, confirmation = LiveLine(self._run, self._rendered), Confirmation(self._exp, self._run, used)

        def take(line: str) -> None:
            event = reader.feed(line)
            if event:
                live.show(event)
                self._check_count(reader.log, earlier)
            confirmation.take(line)

        solver = f"--solver={self._run.folder / SOLVER}"
        arguments = ["train", solver, *([f"--snapshot={snapshot}"] if snapshot else copied)]
        silence = training_silence(self._exp, self._run, self._engine, self._gpu, self._rendered)
        append = snapshot is not None
        status, command = run_engine(self._engine, arguments, self._gpu, path, take, append, silence)
        log = reader.finish()
        # BVLC Caffe's max pooling writes outside its blob where all inputs are NaN: it may crash as it exits.
        diverged = log.finished and any(
            math.isnan(cell or 0) for row in list(log.test.rows())[-1:] for cell in row.values()
        )
        self._check_exit(path, 0 if diverged else status, log)
        if not log.finished:
            how = "stopped early" if log.stopped_early else "ended before it had finished"
            raise RunFailed(f"{path}: {self._engine.name} {how} {describe_exit(status, log.fatal or log.tail)}")
        confirmation.at_the_end()
        self._check_log(path, log)
        return log, command

    def _check_exit(self, path: Path, status: int, log: Log) -> None:
        if status:
            how = "stopped early" if log.stopped_early else "failed"
            raise RunFailed(f"{path}: {self._engine.name} {how} {describe_exit(status, log.fatal or log.tail)}")

    def _check_count(self, log: Log, earlier: int) -> None:
        """Raises OutputFault for far more rows, or attempts after the `earlier` ones, than a training has."""
        rows = len(log.train) + len(log.test)
        if rows > 10 * (self._rows + 10) or log.attempts > earlier + 100:
            raise OutputFault(
                f"printed {rows} displays and tests in {log.attempts} attempts; one training of {self._max_iter} "
                f"iterations has {self._rows} at most"
            )

    def _check_log(self, path: Path, log: Log) -> None:
        """Raises RunFailed unless the log has displays, and the accuracy and loss of a test at the last iteration."""
        tests = [row for row in log.test.rows() if row["TestNet"] == 0]
        last = tests[-1] if tests else {"NumIters": None}
        outputs = [self._rendered.accuracy, self._rendered.loss]
        missing = [name for name in outputs if last.get(name) is None]
        if not len(log.train):
            raise RunFailed(f"{path}: not one `Iteration N, loss = ...`; the solver displays, so the engine must, too")
        if last["NumIters"] != self._max_iter or missing:
            found = f"its last test is at {last['NumIters']}" if tests else "there is no test"
            found += f", without {' and '.join(missing)}" if tests and missing else ""
            raise RunFailed(
                f"{path}: no result of a test at iteration {self._max_iter}: {found}; "
                f"{self._engine.name} said that it finished"
            )


def clear(run: Run, patterns: Iterable[str]) -> None:
    """Removes the files in the run's folder that match one of `patterns`."""
    for path in {path for pattern in patterns for path in run.folder.glob(pattern)}:
        path.unlink()
