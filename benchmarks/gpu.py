"""How fast AlexNet trains on a GPU: with torchcaffe, with a plain PyTorch loop, and with BVLC Caffe if there is one.

    python benchmarks/gpu.py                                # or: make bench-gpu
    python benchmarks/gpu.py --conditions base --precisions fp32 --gpu 1
    CAFFE=/opt/caffe/bin/caffe python benchmarks/gpu.py     # and a BVLC Caffe built with CUDA
    python benchmarks/gpu.py --cpu --batch 4 --images 64 --window 2 --windows 2 --gemm 256     # does it run at all?

AlexNet at 57x57 (prototxt/alexnet), batches of 256 images of 100 classes: base, and the first 3 or 7 layers frozen. The
data are noise. Each engine runs in its own process. The times of torchcaffe and of Caffe come from their own logs: the
median of the windows between two displays, without the first. The table also shows the speed of the arithmetic, as a
share of the matrix product (GEMM) measured here and of the vendor's figure. The last column is for 10,000 iterations,
as in the thesis, without start, tests and snapshots. The aims are for an H200: base in under 15 s at fp32, and in under
6 s at TF32.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torchcaffe
from benchmarks.cases import Case, write_images, write_net, write_solver
from benchmarks.flops import training_flops_per_image
from tools.common.checkout import CHECKOUT

PRECISIONS = ("fp32", "tf32", "bf16")
# Dense TFLOP/s by the vendor's data sheets, without sparsity.
NOMINAL = {
    "H200": {"fp32": 67, "tf32": 494, "bf16": 989},
    "H100": {"fp32": 67, "tf32": 494, "bf16": 989},
    "A100": {"fp32": 19.5, "tf32": 156, "bf16": 312},
}
AIMS = {("base", "fp32"): 15, ("base", "tf32"): 6}  # seconds for 10,000 iterations on an H200
_SPEED = re.compile(r"Iteration \d+ \(\S+ iter/s, (\S+)s/(\d+) iters\)")

Times = list[float]  # milliseconds per iteration, of every window except the first


@dataclass
class Bench:
    """The settings of all runs, the folder with the data, and the device's GEMM in TFLOP/s by precision."""

    settings: argparse.Namespace
    folder: Path
    gemm: dict[str, float]

    @property
    def device(self) -> str:
        return "cpu" if self.settings.cpu else f"cuda:{self.settings.gpu}"

    @property
    def name(self) -> str:
        return "a CPU" if self.settings.cpu else torch.cuda.get_device_name(self.settings.gpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", type=int, default=0)
    parser.add_argument("--cpu", action="store_true", help="use no GPU, to check that everything runs")
    parser.add_argument("--conditions", default="base,S3T,S7T")
    parser.add_argument("--precisions", default="", help="fp32,tf32,bf16 unless given; on a CPU fp32,bf16")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--window", type=int, default=200, help="iterations between two displays")
    parser.add_argument("--windows", type=int, default=6)
    parser.add_argument("--workers", type=int, default=min(16, os.cpu_count() or 1), help="of the plain loop")
    parser.add_argument("--gemm", type=int, default=8192, help="the side of the multiplied matrices")
    settings = parser.parse_args()
    if settings.windows < 2:
        sys.exit("error: --windows: 2 or more are needed, because the first is not counted")
    for condition in settings.conditions.split(","):
        frozen_layers(condition)
    if not settings.cpu and settings.gpu >= torch.cuda.device_count():
        sys.exit(f"error: PyTorch sees no GPU {settings.gpu}; --cpu shows that the benchmark runs")
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if measure(settings, Path(folder)) else 1)


def measure(settings: argparse.Namespace, folder: Path) -> bool:
    """Runs everything and prints the table. Returns whether the aims are met, if the device has any."""
    default = "fp32,bf16" if settings.cpu else ",".join(PRECISIONS)
    precisions = (settings.precisions or default).split(",")
    device = "cpu" if settings.cpu else f"cuda:{settings.gpu}"
    bench = Bench(settings, folder, {precision: gemm(device, precision, settings.gemm) for precision in precisions})
    write_data(folder, settings.images)
    print(f"{bench.name}, PyTorch {torch.__version__}, batch {settings.batch}, torchcaffe {commit()}")
    for precision, speed in bench.gemm.items():
        print(f"GEMM of {settings.gemm}: {speed:.1f} TFLOP/s at {precision}{of_nominal(bench.name, precision, speed)}")
    print("| condition | precision | engine | ms an iteration (min-max) | of the GEMM | of the nominal | 10,000 |")
    print("|---|---|---|---|---|---|---|")
    met = True
    for condition in settings.conditions.split(","):
        for precision in precisions:
            times = torchcaffe_times(bench, condition, precision)
            report(bench, condition, precision, "torchcaffe", times)
            met &= aim_met(bench.name, condition, precision, times)
            report(bench, condition, precision, "plain loop", plain_times(bench, condition, precision))
        if os.environ.get("CAFFE"):
            report(bench, condition, "fp32", "BVLC Caffe", caffe_times(bench, condition))
    return met


def commit() -> str:
    result = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=CHECKOUT, capture_output=True, text=True)
    return result.stdout.strip() or torchcaffe.__version__


def gemm(device: str, precision: str, side: int) -> float:
    """TFLOP/s of a product of square matrices, the best of six."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    if precision == "bf16":
        a, b = a.bfloat16(), b.bfloat16()
    best = float("inf")
    for _ in range(6):
        started = time.perf_counter()
        float((a @ b)[0, 0])  # this waits for the device
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best / 1e12


def nominal(name: str, precision: str) -> float | None:
    return next((speeds[precision] for card, speeds in NOMINAL.items() if card in name and "PCIe" not in name), None)


def of_nominal(name: str, precision: str, speed: float) -> str:
    limit = nominal(name, precision)
    return f", {speed / limit:.0%} of the nominal {limit}" if limit else ""


# The experiment


def write_data(folder: Path, count: int) -> None:
    """The images, labels and mean of all conditions, for the engines and as arrays for the plain loop."""
    images, labels, mean = write_images(_case("base", 1), folder, count)
    for name, array in (("images", images), ("labels", labels), ("mean", mean)):
        np.save(folder / f"{name}.npy", array)


def _case(condition: str, batch: int) -> Case:
    return Case("alexnet", condition, batch)


def frozen_layers(condition: str) -> int:
    """base: 0; S3T: 3."""
    match = re.fullmatch(r"base|S([1-7])T", condition)
    if not match:
        sys.exit(f"error: no condition is called {condition}; there are base and S1T to S7T")
    return int(match[1] or 0)


def write_experiment(bench: Bench, condition: str) -> str:
    """Writes net and solver for both engines; returns the solver's name."""
    settings, case = bench.settings, _case(condition, bench.settings.batch)
    write_net(case, bench.folder)
    iterations = settings.window * (settings.windows + 1)
    return write_solver(case, bench.folder, iterations, settings.window, gpu=None if settings.cpu else settings.gpu)


def flops_per_image(bench: Bench, condition: str) -> int:
    """Of a training step."""
    return training_flops_per_image(write_net(_case(condition, bench.settings.batch), bench.folder), channels=3)


# The engines


def torchcaffe_times(bench: Bench, condition: str, precision: str) -> Times:
    command = [sys.executable, "-m", "torchcaffe", "train", f"--precision={precision}"]
    command += ["--step=static", "--data=resident"] if bench.settings.cpu else []
    return times_in_log(bench, command, write_experiment(bench, condition))


def caffe_times(bench: Bench, condition: str) -> Times:
    path = shutil.which(os.environ["CAFFE"])
    if path is None:
        sys.exit(f"error: CAFFE={os.environ['CAFFE']}: no such program")
    return times_in_log(bench, [str(Path(path).absolute()), "train"], write_experiment(bench, condition))


def times_in_log(bench: Bench, command: list[str], solver: str) -> Times:
    """Runs `caffe train` and reads the times of the windows from its log."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])}
    command = [*command, f"--solver={solver}"]
    result = subprocess.run(command, cwd=bench.folder, env=environment, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        sys.exit(f"error: {' '.join(command)} ended with {result.returncode}:\n{result.stderr[-2000:]}")
    windows = _SPEED.findall(result.stderr)
    after_warm_up = windows[2:]  # the first window is empty
    return [float(seconds) / int(count) * 1e3 for seconds, count in after_warm_up]


def plain_times(bench: Bench, condition: str, precision: str) -> Times:
    settings = bench.settings
    files = [f"--{name}={bench.folder}/{name}.npy" for name in ("images", "labels", "mean")]
    command = [sys.executable, str(CHECKOUT / "benchmarks" / "plain_loop.py"), *files, f"--precision={precision}"]
    command += [f"--device={bench.device}", f"--batch={settings.batch}", f"--workers={settings.workers}"]
    command += [f"--window={settings.window}", f"--windows={settings.windows}"]
    command += [f"--frozen={frozen_layers(condition)}", f"--classes={_case(condition, 1).classes}"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"error: {' '.join(command)} ended with {result.returncode}:\n{result.stderr[-2000:]}")
    return [float(line) for line in result.stdout.split()][1:]


# The report


def report(bench: Bench, condition: str, precision: str, engine: str, times: Times) -> None:
    ms = statistics.median(times)
    speed = flops_per_image(bench, condition) * bench.settings.batch / ms / 1e9  # TFLOP/s
    limit = nominal(bench.name, precision)
    of_limit = f"{speed / limit:.0%}" if limit else "-"
    spread = f"{ms:.3f} ({min(times):.3f}-{max(times):.3f})"
    shares = f"{speed / bench.gemm[precision]:.0%} | {of_limit}"
    print(f"| {condition} | {precision} | {engine} | {spread} | {shares} | {ms * 10:.1f} s |", flush=True)


def aim_met(name: str, condition: str, precision: str, times: Times) -> bool:
    aim = AIMS.get((condition, precision))
    seconds = statistics.median(times) * 10
    if aim is None or "H200" not in name or seconds < aim:
        return True
    print(f"the aim was missed: {condition} at {precision}, 10,000 iterations in {seconds:.1f} s instead of {aim} s")
    return False


if __name__ == "__main__":
    main()
