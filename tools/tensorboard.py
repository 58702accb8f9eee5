"""Show the learning curves of running and finished runs in TensorBoard.

    make tensorboard EXPERIMENT=demo
    python -m tools tensorboard experiments/demo.yaml --once     # writes the event files and ends

reads every caffe.log below models/<experiment>/, rewrites results/<experiment>/tensorboard/<run>/, starts
TensorBoard on it, and follows the growing logs until Ctrl-C. Steps are iterations; `relative` time is the log's.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from tools import cli
from tools.caffe_log import LogReader, LogRow
from tools.common.errors import UserError
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import experiment_name, results_folder
from tools.results.columns import engine_name
from tools.results.ended_runs import runs_on_disk

FOLDER = "tensorboard"
LOG = "caffe.log"
POLL = 5.0  # seconds between two looks at the logs


class Follower:
    """One run's log, as far as it was read, and its event files."""

    def __init__(self, log: Path, folder: Path) -> None:
        self._log = log
        self._folder = folder
        self._start_again()

    def _start_again(self) -> None:
        self._reader = LogReader()
        self._offset = 0  # bytes read
        self._files = 0  # written
        self._start: float | None = None  # the time of day at which the log's seconds are 0

    def poll(self) -> int:
        """Writes the rows that the log has gained, whole ones only, and returns how many.

        A log that became shorter belongs to a new attempt: its curves start again.
        """
        try:
            if self._log.stat().st_size < self._offset:
                self._start_again()
            with open(self._log, "rb") as file:
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return 0
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        events = [self._reader.feed(line) for line in whole.decode(errors="replace").splitlines()]
        rows = [event for event in events if event]
        if rows:
            if self._start is None:  # what an earlier call, or an earlier attempt, left there
                shutil.rmtree(self._folder, ignore_errors=True)
            self._write(rows)
        return len(rows)

    def _write(self, rows: list[LogRow]) -> None:
        from tensorboardX import SummaryWriter  # takes seconds

        if self._start is None:
            self._start = self._log.stat().st_mtime - rows[-1].seconds
        # Each poll writes a new file and closes it, because TensorBoard reads the files of a folder one after another.
        # The suffix keeps names apart: by default a file is named after the second in which it was opened.
        self._files += 1
        with SummaryWriter(str(self._folder), filename_suffix=f".{self._files:06d}") as writer:
            for row in rows:
                when = self._start + row.seconds
                if row.kind == "train":
                    writer.add_scalar("training/loss", row.loss, row.iteration, when)
                else:
                    net = f" {row.net}" if row.net else ""
                    for name, value in row.outputs.items():
                        writer.add_scalar(f"validation{net}/{name}", value, row.iteration, when)


def followers(exp: Experiment, engine: str) -> dict[str, Follower]:
    """A follower for every run below models/<experiment>/ that has a log, by its key. Raises UserError for none."""
    runs = [run for run in runs_on_disk(experiment_name(exp, engine)) if (run.folder / LOG).is_file()]
    if not runs:
        name = experiment_name(exp, engine)
        raise UserError(f"models/{name}: no run has a log yet; run `python -m tools sweep {exp.file}` first")
    return {run.key: Follower(run.folder / LOG, results_folder(exp, engine) / FOLDER / run.key) for run in runs}


def main(argv: list[str]) -> int:
    parser = cli.parser("tensorboard", __doc__)
    parser.add_argument("--once", action="store_true", help="write the event files and end; start no TensorBoard")
    parser.add_argument("--port", type=int, default=6006, help="TensorBoard's port on this machine; default 6006")
    arguments = parser.parse_args(argv)
    exp = load(arguments.experiment, arguments.set)
    folder = results_folder(exp, engine_name()) / FOLDER
    try:
        followed = followers(exp, engine_name())
        rows = sum(follower.poll() for follower in followed.values())
    except ModuleNotFoundError as missing:
        raise UserError(f"no module {missing.name}; `make tensorboard` installs it") from None
    print(f"{folder}/: {len(followed)} runs, {rows:,} rows", flush=True)
    return 0 if arguments.once else _serve(exp, folder, arguments.port, followed)


def _serve(exp: Experiment, folder: Path, port: int, followed: dict[str, Follower]) -> int:
    """Runs TensorBoard and follows the logs, including those of new runs, until TensorBoard ends or Ctrl-C."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]
    with subprocess.Popen(command) as server:
        try:
            while server.poll() is None:
                time.sleep(POLL)
                followed |= {key: new for key, new in followers(exp, engine_name()).items() if key not in followed}
                for follower in followed.values():
                    follower.poll()
        finally:
            server.terminate()
    return server.returncode
