"""How fast AlexNet trains on a GPU: torchcaffe, the loop that one writes instead, and BVLC Caffe if it is there.

    python benchmarks/gpu.py                                # or: make bench-gpu
    python benchmarks/gpu.py --conditions base --precisions fp32 --gpu 1
    CAFFE=/opt/caffe/bin/caffe python benchmarks/gpu.py     # and a BVLC Caffe built with CUDA
    python benchmarks/gpu.py --cpu --batch 4 --images 64 --window 2 --windows 2 --gemm 256     # does it run at all?

AlexNet at 57x57 (prototxt/alexnet), batches of 256 of 100 classes: base, and with the first 3 or 7 layers frozen. The
data are noise. Each engine is a process of its own. The clock of torchcaffe and of Caffe is their own log: the median
of the windows between two displays, the first left out. Beside it stands how much of the device's arithmetic that is:
of the GEMM measured here, and of the vendor's figure. 10,000 iterations are those of the thesis, without the start, the
tests and the snapshots. The aims hold for an H200: base in under 25 s at fp32, under 10 s at TF32.
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

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))

import torchcaffe  # noqa: E402
from caffeformat import blobs, datum, lmdb_file, prototxt  # noqa: E402

SIZE, CLASSES = 64, 100
PRECISIONS = ("fp32", "tf32", "bf16")
# Dense TFLOP/s by the vendor's data sheets, without sparsity.
NOMINAL = {
    "H200": {"fp32": 67, "tf32": 494, "bf16": 989},
    "H100": {"fp32": 67, "tf32": 494, "bf16": 989},
    "A100": {"fp32": 19.5, "tf32": 156, "bf16": 312},
}
AIMS = {("base", "fp32"): 25, ("base", "tf32"): 10}  # seconds for 10,000 iterations on an H200
_SPEED = re.compile(r"Iteration \d+ \(\S+ iter/s, (\S+)s/(\d+) iters\)")

Times = list[float]  # milliseconds an iteration, of each window but the first


@dataclass
class Bench:
    """What all runs share: the settings, the folder with the data, the device's GEMM in TFLOP/s by precision."""

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
    parser.add_argument("--cpu", action="store_true", help="no GPU: to see that everything runs")
    parser.add_argument("--conditions", default="base,S3T,S7T")
    parser.add_argument("--precisions", default="", help="fp32,tf32,bf16 unless given; on a CPU fp32,bf16")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--window", type=int, default=200, help="iterations between two displays")
    parser.add_argument("--windows", type=int, default=6)
    parser.add_argument("--workers", type=int, default=min(16, os.cpu_count() or 1), help="of the plain loop")
    parser.add_argument("--gemm", type=int, default=8192, help="the side of the matrices that are multiplied")
    settings = parser.parse_args()
    if settings.windows < 2:
        sys.exit("error: --windows: 2 or more are needed, since the first is left out")
    for condition in settings.conditions.split(","):
        frozen_layers(condition)
    if not settings.cpu and settings.gpu >= torch.cuda.device_count():
        sys.exit(f"error: PyTorch sees no GPU {settings.gpu}; --cpu shows that the benchmark runs")
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if measured(settings, Path(folder)) else 1)


def measured(settings: argparse.Namespace, folder: Path) -> bool:
    """Runs everything and prints it; whether the aims are met, where they hold."""
    default = "fp32,bf16" if settings.cpu else ",".join(PRECISIONS)
    precisions = (settings.precisions or default).split(",")
    device = "cpu" if settings.cpu else f"cuda:{settings.gpu}"
    bench = Bench(settings, folder, {precision: gemm(device, precision, settings.gemm) for precision in precisions})
    make_data(folder, settings.images)
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
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=CHECKOUT, capture_output=True, text=True)
    return done.stdout.strip() or torchcaffe.__version__


def gemm(device: str, precision: str, side: int) -> float:
    """TFLOP/s of a square product, the best of five."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    if precision == "bf16":
        a, b = a.bfloat16(), b.bfloat16()
    best = float("inf")
    for _ in range(6):
        started = time.perf_counter()
        float((a @ b)[0, 0])  # waits for the device
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best / 1e12


def nominal(name: str, precision: str) -> float | None:
    return next((speeds[precision] for card, speeds in NOMINAL.items() if card in name and "PCIe" not in name), None)


def of_nominal(name: str, precision: str, speed: float) -> str:
    known = nominal(name, precision)
    return f", {speed / known:.0%} of the nominal {known}" if known else ""


# The experiment


def make_data(folder: Path, count: int) -> None:
    """An LMDB of noise with its mean, and the same as arrays."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 3, SIZE, SIZE), np.uint8)
    labels = random.integers(0, CLASSES, count)
    labels[0] = CLASSES - 1  # the plain loop takes its number of classes from the labels
    mean = images[:1000].mean(0).astype(np.float32)
    items = ((lmdb_file.key(i, "noise"), datum.encode(images[i], int(labels[i]))) for i in range(count))
    lmdb_file.write(folder / "train", items)
    (folder / "mean.binaryproto").write_bytes(blobs.mean_bytes(mean))
    for name, array in (("images", images), ("labels", labels), ("mean", mean)):
        np.save(folder / f"{name}.npy", array)


def frozen_layers(condition: str) -> int:
    """base: 0; S3T: 3."""
    found = re.fullmatch(r"base|S(\d)T", condition)
    if not found:
        sys.exit(f"error: no condition is called {condition}; there are base and S1T to S7T")
    return int(found[1] or 0)


def write_experiment(bench: Bench, condition: str) -> None:
    """net.prototxt and solver.prototxt, for both engines."""
    settings, folder = bench.settings, bench.folder
    net = prototxt.read_net(CHECKOUT / "prototxt" / "alexnet" / "train_val.prototxt")
    weighted = [layer for layer in net.layer if layer.type in ("Convolution", "InnerProduct")]
    weighted[-1].inner_product_param.num_output = CLASSES
    for layer in weighted[: frozen_layers(condition)]:
        for param in layer.param:
            param.lr_mult = param.decay_mult = 0
    for layer in net.layer:
        if layer.type == "Data":
            layer.data_param.source, layer.data_param.batch_size = str(folder / "train"), settings.batch
            layer.transform_param.mean_file = str(folder / "mean.binaryproto")
    (folder / "net.prototxt").write_text(prototxt.to_text(net))
    mode = "solver_mode: CPU" if settings.cpu else f"solver_mode: GPU device_id: {settings.gpu}"
    (folder / "solver.prototxt").write_text(
        f'net: "{folder}/net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005 '
        f"random_seed: 1 display: {settings.window} max_iter: {settings.window * (settings.windows + 1)} {mode} "
        f'snapshot: 0 snapshot_prefix: "{folder}/net" snapshot_after_train: false\n'
    )


def flop_an_image(bench: Bench) -> float:
    """Of a training step, in convolutions and inner products: forward, what learns, what is handed down to learn."""
    torchcaffe.set_mode_cpu()
    net, total, learns_below = torchcaffe.Net(bench.folder / "net.prototxt", torchcaffe.TRAIN), 0.0, False
    for layer in net.layers:
        if layer.type in ("Convolution", "InnerProduct"):
            weight, places = layer.blobs[0], np.prod(net.blobs[layer.param.top[0]].shape[2:])
            total += 2 * weight.count * places * (1 + layer.learns[0] + learns_below)
            learns_below |= layer.learns[0]
    return float(total)


# The engines


def torchcaffe_times(bench: Bench, condition: str, precision: str) -> Times:
    write_experiment(bench, condition)
    command = [sys.executable, "-m", "torchcaffe", "train", f"--precision={precision}"]
    return from_log(bench, command + (["--step=static", "--data=resident"] if bench.settings.cpu else []))


def caffe_times(bench: Bench, condition: str) -> Times:
    write_experiment(bench, condition)
    found = shutil.which(os.environ["CAFFE"]) or sys.exit(f"error: CAFFE={os.environ['CAFFE']}: no such program")
    return from_log(bench, [str(Path(found).absolute()), "train"])


def from_log(bench: Bench, command: list[str]) -> Times:
    """The windows that a `caffe train` logs."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [*command, f"--solver={bench.folder}/solver.prototxt"]
    done = subprocess.run(command, cwd=bench.folder, env=environment, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"error: {' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    windows = _SPEED.findall(done.stderr)
    return [float(seconds) / int(count) * 1e3 for seconds, count in windows[2:]]  # the first is empty, then the warm-up


def plain_times(bench: Bench, condition: str, precision: str) -> Times:
    settings, files = bench.settings, [f"--{name}={bench.folder}/{name}.npy" for name in ("images", "labels", "mean")]
    command = [sys.executable, str(CHECKOUT / "benchmarks" / "plain_loop.py"), *files, f"--precision={precision}"]
    command += [f"--device={bench.device}", f"--batch={settings.batch}", f"--workers={settings.workers}"]
    command += [f"--window={settings.window}", f"--windows={settings.windows}", f"--frozen={frozen_layers(condition)}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return [float(line) for line in done.stdout.split()][1:]


# The report


def report(bench: Bench, condition: str, precision: str, engine: str, times: Times) -> None:
    ms = statistics.median(times)
    reached = flop_an_image(bench) * bench.settings.batch / ms / 1e9  # TFLOP/s
    known = nominal(bench.name, precision)
    of_known = f"{reached / known:.0%}" if known else "-"
    spread = f"{ms:.3f} ({min(times):.3f}-{max(times):.3f})"
    shares = f"{reached / bench.gemm[precision]:.0%} | {of_known}"
    print(f"| {condition} | {precision} | {engine} | {spread} | {shares} | {ms * 10:.1f} s |", flush=True)


def aim_met(name: str, condition: str, precision: str, times: Times) -> bool:
    aim = AIMS.get((condition, precision))
    seconds = statistics.median(times) * 10
    if aim is None or "H200" not in name or seconds < aim:
        return True
    print(f"the aim is missed: {condition} at {precision}, 10,000 iterations in {seconds:.1f} s instead of {aim} s")
    return False


if __name__ == "__main__":
    main()
