"""How fast torchcaffe trains beside BVLC Caffe, on the CPU: the same prototxt, LMDB and seed, in turn, A B A B.

    python benchmarks/train.py                     AlexNet at 57x57: nine conditions, batch 64 and 256; two small nets
    python benchmarks/train.py --quick             base and S3T at batch 64, and the small nets
    python benchmarks/train.py --threads 1 --only "alexnet, S3T"

Speed is what the engine's own log says (`Iteration 20 (2.4 iter/s, ...)`): the best of the displays after the first, of
all rounds. CPU time between the same displays comes from the kernel: it shows what the clock hides when the machine is
not quiet. Memory is the process's highest resident set, PyTorch's libraries included. The limit is what a product of
matrices reaches on the same threads, the best of PyTorch's two libraries, measured in the same run: the share of it is
the training's floating point operations, counted in the net, over that. BVLC Caffe is named by CAFFE, else found.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from experiments import ALEXNET, CHECKOUT, SMALL, Experiment, operations_an_image, write_images, write_net, write_solver
from tools.common.errors import UserError
from tools.training import engine

DISPLAYS = 4  # a process
SPAN = 1.2  # seconds that BVLC Caffe takes from one display to the next, as far as can be foreseen
CAFFES_SPEED = 45e9  # floating point operations a second, to foresee it by
QUICK = ("alexnet, base, batch 64", "alexnet, S3T, batch 64", "alexnet_quarter", "mini")

GEMM = """
import time, torch
from torchcaffe.products import linear
best = 0
for rows, columns, inner in ((2048, 2048, 2048), (1024, 4096, 1024)):
    a, b = torch.rand(rows, inner), torch.rand(columns, inner)
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
    """The best of what one engine's processes did."""

    rate: float = 0.0  # iterations a second
    cpu: float = float("inf")  # s an iteration
    memory: int = 0  # bytes

    def add(self, other: "Measured") -> None:
        self.rate, self.cpu = max(self.rate, other.rate), min(self.cpu, other.cpu)
        self.memory = max(self.memory, other.memory)


class Benchmark:
    """Runs in `folder`, which keeps nets, images and the weights that target nets start from."""

    def __init__(self, folder: Path, threads: int, rounds: int):
        self._folder, self._rounds = folder, rounds
        caffe = engine.find()
        if caffe.name == "torchcaffe":
            raise UserError("CAFFE names torchcaffe; name BVLC Caffe, or unset it")
        self._engines = {"Caffe": [str(caffe.path)], "torchcaffe": [sys.executable, "-m", "torchcaffe"]}
        self._environment = {
            **os.environ,
            "OPENBLAS_NUM_THREADS": str(threads),
            "OMP_NUM_THREADS": str(threads),
            "PYTHONPATH": str(CHECKOUT),
        }

    def gemm(self) -> float:
        """Floating point operations a second."""
        done = subprocess.run([sys.executable, "-c", GEMM], env=self._environment, capture_output=True, check=True)
        return float(done.stdout)

    def compare(self, exp: Experiment) -> tuple[float, dict[str, Measured]]:
        """The operations an image, and what each engine did."""
        write_images(exp, self._folder)
        write_net(exp, self._folder)
        operations = operations_an_image(exp, self._folder)
        display = max(1, round(SPAN * CAFFES_SPEED / operations / exp.batch))
        arguments = ["--weights=" + self._source(exp)] if exp.condition != "base" else []
        solver = write_solver(exp, self._folder, DISPLAYS * display + 1, display)
        found = {name: Measured() for name in self._engines}
        for _ in range(self._rounds):
            for name, command in self._engines.items():
                found[name].add(self._train(command, solver, arguments))
        return operations, found

    def _source(self, exp: Experiment) -> str:
        """The weights that the conditions other than base start from."""
        base = Experiment(exp.template, "base", 1, exp.shape, exp.classes)
        name = f"{base.file}_iter_0.caffemodel"
        if not (self._folder / name).exists():
            write_net(base, self._folder)
            self._train(self._engines["Caffe"], write_solver(base, self._folder, 0, 0, base.file), [])
        return name

    def _train(self, command: list[str], solver: str, arguments: list[str]) -> Measured:
        process = subprocess.Popen(
            [*command, "train", f"--solver={solver}", *arguments],
            cwd=self._folder, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        log, displays, memory = [], [], 0
        for line in process.stderr:
            log.append(line)
            if shown := _DISPLAY.search(line):
                displays.append((float(shown[1]), int(shown[2]), _cpu_seconds(process.pid)))
                memory = _highest_resident(process.pid)
        if process.wait():
            raise UserError(f"{' '.join(command)} ended with {process.returncode}:\n{b''.join(log[-20:]).decode()}")
        measured = Measured(memory=memory)
        for (*_, before), (rate, iterations, after) in pairwise(displays):
            measured.add(Measured(rate, (after - before) / iterations))
        return measured


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, in the kernel's steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _highest_resident(pid: int) -> int:
    """Bytes. (What wait4 says of a child starts with what its parent held.)"""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def row(exp: Experiment, operations: float, limit: float, found: dict[str, Measured]) -> str:
    theirs, ours = found["Caffe"], found["torchcaffe"]
    share = [f"{each.rate * exp.batch * operations / limit:.0%}" for each in (theirs, ours)]
    columns = [
        exp.name,
        f"{operations / 1e6:.1f}",
        *(f"{each.rate:.3g} ({each.rate * exp.batch:.0f})" for each in (theirs, ours)),
        f"**{ours.rate / theirs.rate:.2f}**",
        f"{theirs.cpu * 1e3:.4g} / {ours.cpu * 1e3:.4g} = {theirs.cpu / ours.cpu:.2f}",
        " / ".join(share),
        f"{theirs.memory / 2**20:.0f} / {ours.memory / 2**20:.0f}",
    ]
    return f"| {' | '.join(columns)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2, help="processes of each engine an experiment")
    parser.add_argument("--quick", action="store_true", help="four of the experiments")
    parser.add_argument("--only", default="", help="those whose name begins so: 'alexnet, S3T, batch 64'")
    arguments = parser.parse_args()
    wanted = QUICK if arguments.quick else (arguments.only,)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        benchmark = Benchmark(Path(folder), arguments.threads, arguments.rounds)
        limit = benchmark.gemm()
        print(f"{arguments.threads} threads, product of matrices: {limit / 1e9:.0f} GFLOP/s; load {os.getloadavg()[0]}")
        print("| net | MFLOP an image | Caffe, iter/s (images/s) | torchcaffe | ratio | CPU ms an iteration | ", end="")
        print("share of the limit | peak MiB |\n|---|---|---|---|---|---|---|---|", flush=True)
        for exp in [*SMALL, *ALEXNET]:
            if exp.name.startswith(wanted):
                operations, found = benchmark.compare(exp)
                print(row(exp, operations, limit, found), flush=True)
        print(f"at the end {benchmark.gemm() / 1e9:.0f} GFLOP/s, load {os.getloadavg()[0]}; ", end="")
        print(f"{time.monotonic() - started:.0f} s in all")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
