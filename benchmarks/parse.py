"""How fast a log of a million lines is parsed, by `python -m tools parse` and by Caffe's tools/extra/parse_log.py.

    python -m benchmarks.parse
    CAFFE_PARSE_LOG=caffe/tools/extra/parse_log.py python -m benchmarks.parse

BVLC's script must be repaired to start on Python 3: its `print 'Wrote %s' % output_filename` is a syntax error there.
The programs run in turn, each in its own process, including the start of Python. The best time and the highest memory
count. The ratio is that of the CPU times, which depend less on other work on the machine.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.record import Measuring

ROOT = Path(__file__).resolve().parents[1]
LINES = int(os.environ.get("LINES_IN_LOG", 1_000_000))
REPEATS = 3
LIMIT = 10.0  # seconds for a million lines


def write_log(path: Path, lines: int) -> None:
    """A log in the format of BVLC Caffe 1.0: a display of four lines every 20 iterations, a test of three every 1000.

    It has about `lines` lines.
    """
    written = 0

    def stamp(ticks: int) -> str:
        seconds = ticks // 10
        clock = f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ticks % 10}00000"
        return f"I{1 + seconds // 86400 // 28:02}{1 + seconds // 86400 % 28:02} {clock} 12345"

    with open(path, "w") as out:
        out.write(f"{stamp(0)} solver.cpp:289] Solving AlexNet\n")
        iteration = 0
        while written < lines:
            now = stamp(iteration // 2)
            if iteration % 1000 == 0:
                out.write(f"{now} solver.cpp:347] Iteration {iteration}, Testing net (#0)\n")
                out.write(f"{now} solver.cpp:414]     Test net output #0: accuracy = 0.{iteration % 9973:04}\n")
                out.write(f"{now} solver.cpp:414]     Test net output #1: loss = 2.3{iteration % 997} (* 1 = 2 loss)\n")
                written += 3
            loss = f"{1 + iteration % 7919 / 7919:.6g}"
            out.write(f"{now} solver.cpp:239] Iteration {iteration} (4.87 iter/s, 4.1s/20 iters), loss = {loss}\n")
            out.write(f"{now} solver.cpp:258]     Train net output #0: accuracy = 0.{iteration % 9967:04}\n")
            out.write(f"{now} solver.cpp:258]     Train net output #1: loss = {loss} (* 1 = {loss} loss)\n")
            out.write(f"{now} sgd_solver.cpp:112] Iteration {iteration}, lr = 0.01\n")
            written += 4
            iteration += 20
        out.write(f"{now} solver.cpp:332] Optimization Done.\n")


class Cost(NamedTuple):
    wall: float  # seconds
    cpu: float  # seconds
    memory: float  # peak, MB


def run(command: list[str]) -> Cost:
    """Runs one process and measures it."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        sys.exit(f"{' '.join(command)}: failed")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="write parse.json there")
    record, measuring = parser.parse_args().record, Measuring("parse")
    peer = os.environ.get("CAFFE_PARSE_LOG")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "caffe.log"
        write_log(log, LINES)
        print(f"{LINES} lines, {log.stat().st_size / 1e6:.0f} MB, Python {sys.version.split()[0]}")
        commands = {"tools parse": [sys.executable, "-m", "tools", "parse", str(log), f"{folder}/ours"]}
        if peer:
            Path(folder, "peer").mkdir()
            commands["parse_log.py"] = [sys.executable, str(Path(peer).resolve()), str(log), f"{folder}/peer"]
        measured: dict[str, list[Cost]] = {name: [] for name in commands}
        for _ in range(REPEATS):
            for name, command in commands.items():
                measured[name].append(run(command))
        best = {name: Cost(*map(min, zip(*costs, strict=True))) for name, costs in measured.items()}
        rows = []
        for name, (wall, cpu, _) in best.items():
            memory = max(cost.memory for cost in measured[name])
            ratio = best["parse_log.py"].cpu / cpu if peer else 1.0
            rows.append([name, f"{wall:.2f}", f"{cpu:.2f}", f"{memory:.0f}", f"{ratio:.2f}" if peer else ""])
            print(f"{name:13} {wall:6.2f} s wall  {cpu:6.2f} s cpu  {memory:5.0f} MB  (best of {REPEATS})")
        if peer:
            print(f"ratio {best['parse_log.py'].cpu / best['tools parse'].cpu:.1f}")
        else:
            print("no peer: name BVLC's parse_log.py in CAFFE_PARSE_LOG")
        columns = ["program", "s of the clock", "s of the processor", "peak MB", "times as fast as parse_log.py"]
        measuring.table(
            f"A log of {LINES:,} lines, {log.stat().st_size / 1e6:.0f} MB, best of {REPEATS}", columns, rows
        )
        if record:
            measuring.write(record)
        if best["tools parse"].wall > LIMIT * LINES / 1_000_000:
            sys.exit(f"tools parse took more than {LIMIT:.0f} s a million lines")


if __name__ == "__main__":
    main()
