"""Turn a Caffe log into train.csv and test.csv.

    python -m tools parse models/demo/A2B/n0060/S3T/seed0            # a run's folder: its caffe.log
    python -m tools parse some/old/caffe.INFO results/old            # any log of Caffe's, since 2013

Columns, named as Caffe's own parse_log.py names them:

  NumIters      the iteration
  Seconds       since the training began, by the log's own times
  LearningRate  the rate at that iteration
  ...           the net's outputs by name; `acc[0]`, `acc[1]` if an output has several values
  SmoothedLoss  train.csv: the loss of the `Iteration` line, a mean over average_loss iterations
  TestNet       test.csv: the number of the test net; `test[test.TestNet == 0]` is the first net's curve
  TestLoss      test.csv: with test_compute_loss only

An empty cell means that the log does not have the value; `nan` is what the engine printed. tools/caffe_log/ has the
rules for reading a log.
"""

from pathlib import Path

from tools import cli
from tools.caffe_log import Log, LogReader
from tools.common.errors import UserError
from tools.common.files import write_if_changed

TRAIN, TEST = "train.csv", "test.csv"
_LINE = "I0228 10:00:00.123456  1234 solver.cpp:218] Iteration 0, loss = 2.3"


def parse(log_path: Path, folder: Path) -> Log:
    """Writes train.csv and test.csv of a log into `folder`. A table without rows has only its header.

    Raises UserError as `parse_log` does; then nothing is written.
    """
    log = parse_log(log_path)
    write_if_changed(Path(folder) / TRAIN, log.train.csv())
    write_if_changed(Path(folder) / TEST, log.test.csv())
    return log


def parse_log(path: Path) -> Log:
    """Reads a log, or the caffe.log of a run's folder. Raises UserError if it cannot be read or has no row.

    A last line without a line end may hold half a number: it is left out, unless it is `Optimization Done.`
    """
    path = log_file(path)
    reader, count, first = LogReader(), 0, ""
    try:
        with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
            for line in file:
                count += 1
                first = first or line.strip()
                if line.endswith(("\n", "Optimization Done.")):
                    reader.feed(line)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; mend that, or name another log") from error
    log = reader.finish()
    if len(log.train) + len(log.test) == 0:
        raise UserError(f"{path}: {_why_no_row(log, count, first)}")
    return log


def log_file(path: Path) -> Path:
    """The log file: `path`, or caffe.log if `path` is a folder. Raises UserError if there is none."""
    path = Path(path)
    log = path / "caffe.log" if path.is_dir() else path
    if not log.is_file():
        where = f"no caffe.log in this folder: {path}" if path.is_dir() else f"no such log: {path}"
        raise UserError(f"{where}; name a log that `caffe train` wrote, or the folder of a run that was started")
    return log


def _why_no_row(log: Log, lines: int, first: str) -> str:
    if not first:
        return "the log is empty; Caffe logs to stderr: caffe train ... 2> caffe.log"
    if not log.attempts:
        return (
            f"no log of Caffe's: none of its {lines} lines is like `{_LINE}`, the first is `{first[:100]}`; "
            "Caffe logs to stderr: caffe train ... 2> caffe.log"
        )
    last = log.fatal or log.tail[-1:]
    return (
        f"not one complete row in {lines} lines: no `Iteration N, loss = ...` and no test with its outputs; "
        f"the log says last: {' | '.join(last)}; mend what ended the run, or set display or test_interval in the solver"
    )


def main(argv: list[str]) -> None:
    parser = cli.bare_parser("parse", __doc__)
    parser.add_argument("log", type=Path, help="a Caffe log, or a run's folder with a caffe.log in it")
    parser.add_argument("outdir", type=Path, nargs="?", help="where the CSVs go; default: beside the log")
    given = parser.parse_args(argv)
    folder = given.outdir or log_file(given.log).parent
    log = parse(given.log, folder)
    print(f"{folder / TRAIN}: {len(log.train)} rows, {folder / TEST}: {len(log.test)} rows, {_end(log)}")


def _end(log: Log) -> str:
    end = "finished" if log.finished else "stopped early" if log.stopped_early else "not finished"
    end = "aborted" if log.fatal and not log.finished else end
    again = f" at attempt {log.attempts}" if log.attempts > 1 else ""
    return f"{end}{again}, {log.seconds:.1f} s of training"
