"""How fast torchcaffe and BVLC Caffe train on the CPU: with the same prototxt, LMDB and seed, in turn, A B A B.

    python -m benchmarks.train                     AlexNet at 57x57: base, S3T, S7T, batch 64 and 256; two small nets
    python -m benchmarks.train --all               all nine conditions
    python -m benchmarks.train --quick             base and S3T at batch 64, and the small nets
    python -m benchmarks.train --threads 1 --only "alexnet, S3T"

Beside them runs benchmarks/plain_loop.py, the loop that one would write in plain PyTorch, for AlexNet. Its batches are
cropped by a process of their own.

Speed comes from the engine's own log (`Iteration 20 (2.4 iter/s, ...)`): the best of all displays after the first, of
all rounds. CPU time between the same displays comes from the kernel; it is meaningful also on a busy machine. Memory is
the process's highest resident set, including PyTorch's libraries. The limit is the speed of a matrix product on the
same threads, by the faster of PyTorch's two libraries, measured in the same run. The share of the limit is the speed of
the training's floating point operations, counted in the net, over that. The variable CAFFE names BVLC Caffe; if it is
unset, Caffe is searched for.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.cases import Case, write_images, write_net, write_solver
from benchmarks.flops import training_flops_per_image
from benchmarks.record import Measuring, take_better_kernels
from tools.common.checkout import CHECKOUT
from tools.common.errors import UserError
from tools.training.engine import find_engine

ALEXNET = [
    Case("alexnet", condition, batch)
    for batch in (64, 256)
    for condition in ("base", "FTall", *(f"S{n}T" for n in range(1, 8)))
]
SMALL = [Case("alexnet_quarter", "base", 64), Case("mini", "base", 50, (1, 28, 28), 5)]
IMAGES = 1024  # read again and again

DISPLAYS = 8  # of each process: in the first iterations memory is new
DISPLAY_SECONDS = 1.2  # estimated time of BVLC Caffe from one display to the next
CAFFE_FLOPS = 45e9  # its floating point operations per second, for this estimate
ALWAYS = ("base", "S3T", "S7T")  # the conditions without --all
LOOP = "plain loop"
COLUMNS = ["net", "MFLOP an image", "Caffe, iter/s (images/s)", "torchcaffe", "plain loop", "torchcaffe to Caffe"]
COLUMNS += ["to the loop", "CPU ms an iteration, Caffe / torchcaffe", "share of the limit", "peak MiB"]
QUICK = ("alexnet, base, batch 64", "alexnet, S3T, batch 64", "alexnet_quarter", "mini")

GEMM = """
import sys, time, torch
from torchcaffe.common.products import linear
best = 0
for rows, columns, inner in ((2048, 2048, 2048), (1024, 4096, 1024)):
    a, b = (torch.rand(size, inner).to(getattr(torch, sys.argv[1])) for size in (rows, columns))
    for product in (lambda: linear(a, b), lambda: a @ b.t()):
        for _ in range(12):
            started = time.perf_counter()
            product()
            best = max(best, 2 * rows * columns * inner / (time.perf_counter() - started))
print(best)
"""

_DISPLAY = re.compile(rb"Iteration \d+ \((\S+) iter/s, \S+s/(\d+) iters\)")


@dataclass
class Measured:
    """The best measurements of one engine's processes."""

    rates: list[float] = field(default_factory=list)  # iterations per second, of each display
    cpu: float = float("inf")  # CPU seconds per iteration
    memory: int = 0  # bytes

    @property
    def rate(self) -> float:
        return max(self.rates, default=0.0)

    def add(self, other: "Measured") -> None:
        self.rates += other.rates
        self.cpu = min(self.cpu, other.cpu)
        self.memory = max(self.memory, other.memory)


class Benchmark:
    """Runs `engines`, name -> command, in `folder`, which has nets, images and weights that target nets start from."""

    def __init__(
        self, folder: Path, threads: int, rounds: int, engines: dict[str, list[str]], displays: int = DISPLAYS
    ) -> None:
        self._folder, self._rounds, self._engines, self._displays = folder, rounds, engines, displays
        self._environment = {
            **os.environ,
            "OPENBLAS_NUM_THREADS": str(threads),
            "OMP_NUM_THREADS": str(threads),
            "PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")]),
        }

    def gemm(self, dtype: str = "float32") -> float:
        """The speed of a matrix product, in floating point operations per second."""
        command = [sys.executable, "-c", GEMM, dtype]
        result = subprocess.run(command, env=self._environment, capture_output=True, check=True)
        return float(result.stdout)

    def compare(self, case: Case) -> tuple[int, dict[str, Measured]]:
        """The operations per image, and the measurements of each engine."""
        if not (self._folder / case.images).exists():
            arrays = write_images(case, self._folder, IMAGES)
            for name, array in zip(("images", "labels", "mean"), arrays, strict=True):
                np.save(self._folder / f"{case.images}.{name}.npy", array)
        operations = training_flops_per_image(write_net(case, self._folder), case.shape[0])
        display = max(1, round(DISPLAY_SECONDS * CAFFE_FLOPS / operations / case.batch))
        arguments = ["--weights=" + self._source(case)] if case.condition != "base" else []
        solver = write_solver(case, self._folder, self._displays * display + 1, display)
        measured = {name: Measured() for name in self._engines}
        for _ in range(self._rounds):
            for name, command in self._engines.items():
                if command:
                    measured[name].add(self._train(command, solver, arguments))
                elif case.template == "alexnet":
                    measured[name].add(self._loop(case, display))
        return operations, measured

    def _loop(self, case: Case, display: int) -> Measured:
        """The rates of the plain loop, of as many iterations each as a display."""
        frozen = int(case.condition[1]) if case.condition.startswith("S") else 0
        files = [f"--{name}={case.images}.{name}.npy" for name in ("images", "labels", "mean")]
        sizes = [f"--classes={case.classes}", f"--batch={case.batch}", f"--window={display}"]
        command = [sys.executable, str(CHECKOUT / "benchmarks" / "plain_loop.py"), "--device=cpu", "--workers=1"]
        done = subprocess.run(
            [*command, *files, *sizes, f"--frozen={frozen}", f"--windows={self._displays + 1}"],
            cwd=self._folder, env=self._environment, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise UserError(f"the plain loop ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return Measured([1e3 / float(milliseconds) for milliseconds in done.stdout.split()[1:]])

    def _source(self, case: Case) -> str:
        """The weights that all conditions except base start from."""
        base = Case(case.template, "base", 1, case.shape, case.classes)
        name = f"{base.file}_iter_0.caffemodel"
        if not (self._folder / name).exists():
            write_net(base, self._folder)
            self._train(next(iter(self._engines.values())), write_solver(base, self._folder, 0, 0, base.file), [])
        return name

    def _train(self, command: list[str], solver: str, arguments: list[str]) -> Measured:
        process = subprocess.Popen(
            [*command, "train", f"--solver={solver}", *arguments],
            cwd=self._folder, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr is not None  # stderr=PIPE
        log: list[bytes] = []
        displays, memory = [], 0
        for line in process.stderr:
            log.append(line)
            if shown := _DISPLAY.search(line):
                displays.append((float(shown[1]), int(shown[2]), _cpu_seconds(process.pid)))
                memory = _highest_resident(process.pid)
        if process.wait():
            raise UserError(f"{' '.join(command)} ended with {process.returncode}:\n{b''.join(log[-20:]).decode()}")
        measured = Measured(memory=memory)
        for (*_, before), (rate, iterations, after) in pairwise(displays):
            measured.add(Measured([rate], (after - before) / iterations))
        return measured


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process so far. The kernel counts in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _highest_resident(pid: int) -> int:
    """The highest resident set so far, in bytes. (That of wait4 would include the parent's memory at the fork.)"""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return int(fields["VmHWM"].removesuffix("kB")) * 1024


def engines() -> dict[str, list[str]]:
    caffe = find_engine()
    if caffe.name == "torchcaffe":
        raise UserError("CAFFE names torchcaffe; name BVLC Caffe, or unset it")
    take_better_kernels(caffe)
    return {"Caffe": [str(caffe.path)], "torchcaffe": [sys.executable, "-m", "torchcaffe"], LOOP: []}


def row(case: Case, operations: int, measured: dict[str, Measured], limit: float) -> list[str]:
    theirs, ours, loop = measured["Caffe"], measured["torchcaffe"], measured[LOOP]
    share = [f"{each.rate * case.batch * operations / limit:.0%}" for each in (theirs, ours)]
    return [
        case.name,
        f"{operations / 1e6:.1f}",
        *(f"{each.rate:.3g} ({each.rate * case.batch:.0f})" if each.rates else "" for each in (theirs, ours, loop)),
        f"**{ours.rate / theirs.rate:.2f}**",
        f"{ours.rate / loop.rate:.2f}" if loop.rates else "",
        f"{theirs.cpu * 1e3:.4g} / {ours.cpu * 1e3:.4g} = {theirs.cpu / ours.cpu:.2f}",
        " / ".join(share),
        f"{theirs.memory / 2**20:.0f} / {ours.memory / 2**20:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2, help="processes of each engine for each case")
    parser.add_argument("--quick", action="store_true", help="four of the cases")
    parser.add_argument("--all", action="store_true", help="all nine conditions")
    parser.add_argument("--only", default="", help="cases whose name begins so: 'alexnet, S3T, batch 64'")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="write train.json there")
    arguments, measuring = parser.parse_args(), Measuring("train")
    wanted = QUICK if arguments.quick else (arguments.only,)
    few = [case for case in ALEXNET if arguments.all or arguments.only or case.condition in ALWAYS]
    with tempfile.TemporaryDirectory() as folder:
        benchmark = Benchmark(Path(folder), arguments.threads, arguments.rounds, engines())
        limit = benchmark.gemm()
        print(f"{arguments.threads} threads, product of matrices: {limit / 1e9:.0f} GFLOP/s", flush=True)
        print(" | ".join(COLUMNS), flush=True)
        rows = []
        for case in [*SMALL, *few]:
            if case.name.startswith(wanted):
                rows.append(row(case, *benchmark.compare(case), limit))
                print(" | ".join(rows[-1]), flush=True)
        title = f"{arguments.threads} threads; product of matrices: {limit / 1e9:.0f} GFLOP/s before"
        measuring.table(f"{title}, {benchmark.gemm() / 1e9:.0f} after", COLUMNS, rows)
    if arguments.record:
        measuring.write(arguments.record)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
