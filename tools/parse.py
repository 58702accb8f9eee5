"""Turn Caffe logs into train.csv and test.csv.

    python -m tools parse models/demo/A2B/n0060/S3T/seed20           # a run's folder: its caffe.log
    python -m tools parse some/old/caffe.INFO results/old            # any log of Caffe's, since 2013
    caffe train ... 2>&1 | python -m tools parse - results/new       # standard input
    python -m tools parse --out results old/a.log old/b.log.gz logs  # several logs, and folders of logs

Logs may be plain text or gzip, in UTF-8 or UTF-16, whatever their name. With --out each log gets a folder of its own in
FOLDER: its path below the folder that all the logs share, without .gz and .log (results/old/a/, results/logs/c/). Of a
folder all files are taken whose name has .log or .INFO in it. Logs that cannot be read are named at the end; the others
are written.

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

import os
from collections.abc import Iterable
from pathlib import Path

from tools import cli
from tools.caffe_log import Log, LogReader
from tools.caffe_log.arrange import arranged, rejoined
from tools.caffe_log.sources import LogSource
from tools.common.errors import UserError
from tools.common.files import write_if_changed

TRAIN, TEST = "train.csv", "test.csv"
_LINE = "I0228 10:00:00.123456  1234 solver.cpp:218] Iteration 0, loss = 2.3"


def parse(log_path: Path, folder: Path) -> Log:
    """Writes train.csv and test.csv of a log into `folder`. A table without rows has only its header.

    Raises UserError as `parse_log` does, or if a folder is where a table goes; then nothing is written.
    """
    log = parse_log(log_path)
    tables = {Path(folder) / TRAIN: log.train, Path(folder) / TEST: log.test}
    taken = [str(file) for file in tables if file.is_dir()]
    if taken:
        raise UserError(
            f"{', '.join(taken)}: is a folder, and a table goes there; move it away, or name another folder"
        )
    for file, table in tables.items():
        write_if_changed(file, table.csv())
    return log


def parse_log(path: Path) -> Log:
    """Reads a log, or the caffe.log of a run's folder, or standard input for `-`.

    Raises UserError if it cannot be read or has no row, or if most of its displays are in a form that is not read.
    """
    path = log_file(path)
    is_wrapped, ordered, processes = False, list[str](), 1

    def lines() -> Iterable[str]:
        return ordered or (rejoined(source.lines()) if is_wrapped else source.lines())

    try:
        source = LogSource(path)
        reader = _read(source.texts())
        if is_wrapped := reader.log.is_wrapped:
            reader = _read(lines())
        if reader.log.is_mixed:
            ordered, processes = arranged(lines())
            reader = _read(ordered)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; mend that, or name another log") from error
    log = reader.finish()
    log.processes = processes
    rows = len(log.train) + len(log.test)
    if log.unread_count > rows:
        raise UserError(
            f"{path}: {log.unread_count} lines are in a form that is not read, and only {rows} rows are complete; "
            f"the first is `{log.unread[0][:200]}`"
        )
    if rows == 0:
        raise UserError(f"{path}: {_why_no_row(log, lines())}")
    return log


def _read(texts: Iterable[str]) -> LogReader:
    """A reader that has all lines. Each of `texts` holds one line or many.

    A last line without a line end may hold half a number. It is read only if it ends in a bracket or says
    `Optimization Done`: then no number is its end.
    """
    reader = LogReader()
    for text in texts:
        end = text.rfind("\n") + 1
        reader.feed_text(text[:end])
        line = text[end:]
        if line.rstrip().endswith(")") or "Optimization Done" in line:
            reader.feed(line)
        elif line:
            reader.log.cut_line = line
    return reader


def log_file(path: Path) -> Path:
    """The log file: `path`, or caffe.log if `path` is a folder. Raises UserError if there is none."""
    path = Path(path)
    if str(path) == "-":
        return path
    log = path / "caffe.log" if path.is_dir() else path
    if not (log.is_file() or log.is_fifo()):
        where = f"no caffe.log in this folder: {path}" if path.is_dir() else f"no such log: {path}"
        raise UserError(f"{where}; name a log that `caffe train` wrote, or the folder of a run that was started")
    return log


def _why_no_row(log: Log, lines: Iterable[str]) -> str:
    count, first = 0, ""
    for line in lines:
        count, first = count + 1, first or line.strip()
    if not first:
        return "the log is empty; Caffe logs to stderr: caffe train ... 2> caffe.log"
    if not log.attempts:
        return (
            f"no log of Caffe's: none of its {count} lines is like `{_LINE}`, the first is `{first[:100]}`; "
            "Caffe logs to stderr: caffe train ... 2> caffe.log"
        )
    if log.tested_batches:
        return (
            f"a log of `caffe test`, not of a training: {log.tested_batches} of its {count} lines are results of a "
            "batch, and there is no iteration; name a log of `caffe train`"
        )
    last = log.fatal or log.tail[-1:]
    return (
        f"not one complete row in {count} lines: no `Iteration N, loss = ...` and no test with its outputs; "
        f"the log says last: {' | '.join(last)}; mend what ended the run, or set display or test_interval in the solver"
    )


def main(argv: list[str]) -> None:
    parser = cli.bare_parser("parse", __doc__)
    parser.add_argument("log", type=Path, help="a Caffe log, a run's folder with a caffe.log in it, or - for stdin")
    parser.add_argument(
        "outdir", type=Path, nargs="*", help="where the CSVs go; default: beside the log. With --out: more logs"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="read all the logs and folders, into folders in it")
    given = parser.parse_args(argv)
    if given.out is not None:
        _parse_all([given.log, *given.outdir], given.out)
        return
    if len(given.outdir) > 1:
        parser.error("one LOG and one folder; for several logs: --out FOLDER LOG LOG ...")
    folder = given.outdir[0] if given.outdir else log_file(given.log).parent
    _say(folder, parse(given.log, folder))


def _parse_all(paths: list[Path], out: Path) -> None:
    """Each log into its own folder in `out`. Raises UserError at the end if one could not be read."""
    refused, logs = list[str](), list[Path]()
    for path in paths:
        try:
            logs += _logs_in(path)
        except UserError as error:
            refused.append(str(error))
    for log, folder in _folders(logs, out).items():
        try:
            _say(folder, parse(log, folder))
        except UserError as error:
            refused.append(str(error))
    if refused:
        raise UserError("\n".join(refused))


def _logs_in(path: Path) -> list[Path]:
    """The log itself, or all logs in a folder and its subfolders; glog's link to its newest log is left out."""
    if not path.is_dir():
        return [log_file(path)]
    logs = [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file() and not file.is_symlink() and (".log" in file.name or ".INFO" in file.name)
        if not any(level in file.name for level in (".WARNING", ".ERROR", ".FATAL"))
    ]
    if not logs:
        raise UserError(f"no log in this folder: {path}; the names of logs have .log or .INFO in them")
    return logs


def _folders(logs: list[Path], out: Path) -> dict[Path, Path]:
    """The folder of each log: its path below the folder that all share, without .gz and .log where that is unique."""
    logs = list(dict.fromkeys(logs))
    shared = os.path.commonpath([os.path.abspath(log.parent) for log in logs] or [os.sep])
    names = {log: Path(os.path.relpath(os.path.abspath(log), shared)) for log in logs}
    names = {log: Path("stdin") if str(log) == "-" else name for log, name in names.items()}
    short = {
        log: name.with_name(name.name.removesuffix(".gz").removesuffix(".log") or name.name)
        for log, name in names.items()
    }
    return {log: out / (names[log] if list(short.values()).count(name) > 1 else name) for log, name in short.items()}


def _say(folder: Path, log: Log) -> None:
    print(f"{folder / TRAIN}: {len(log.train)} rows, {folder / TEST}: {len(log.test)} rows, {_end(log)}")
    if log.processes > 1:
        print(f"  note: {log.processes} processes wrote this log at once; the rows are of the one with the most")
    if count := log.garbled_rows + log.unread_count:
        like = f"; a line that is not read: {log.unread[0][:150]}" if log.unread else ""
        print(f"  note: {count} rows are left out, for a line of them is garbled or missing{like}")
    if log.lost_rows:
        print(f"  note: {log.lost_rows} rows of a training that had finished are left out: another follows in this log")
    if log.lost_rates:
        print(f"  note: {log.lost_rates} rows have no learning rate, for its line is garbled or missing")
    if log.is_cut_short:
        print("  note: the last row is left out, for the log may have ended within it")
    if doubled := log.doubled_rows:
        print(f"  note: {doubled} rows have the iteration of the row before: several solvers wrote this log")
    if log.cut_line:
        print(f"  note: the last line has no line end and may be cut, it is left out: {log.cut_line.strip()[-100:]}")


def _end(log: Log) -> str:
    end = "finished" if log.finished else "stopped early" if log.stopped_early else "not finished"
    end = "aborted" if log.fatal and not log.finished else end
    again = f" at attempt {log.attempts}" if log.attempts > 1 else ""
    return f"{end}{again}, {log.seconds:.1f} s of training"
