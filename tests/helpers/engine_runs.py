"""Whole runs of both engines on one small experiment: an LMDB of images, a slim AlexNet, a solver."""

import contextlib
import io
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffeformat import blobs, datum, lmdb_file, prototxt
from caffeformat.caffeformat_pb2 import NetParameter
from tools.training import kernels
from tools.training.engine import Engine
from tools.training.kernels import KERNELS
from torchcaffe import cli

CHECKOUT = Path(__file__).resolve().parents[2]
CLASSES, SIZE = 5, 64

_PREFIX = re.compile(r"^([IWEF])\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ (\S+\.[ch]pp:\d+\] )")
_NUMBER = re.compile(r"(?:(?<=[=:,] )|(?<=\())\d[^\s,);]*(?=[ ,);]|$)")
_SPEED = re.compile(r" \(\S+ iter/s, \S+s/\d+ iters\)")


@dataclass
class Run:
    """What a command printed and the code that it ended with."""

    code: int
    log: str

    def lines(self, *words: str) -> list[str]:
        """The lines without time, thread and speed; with `words`, those that contain one. What only a race decides
        is left out."""
        clean = [_SPEED.sub("", _PREFIX.sub(r"\1 \2", line)) for line in self.log.splitlines()]
        clean = [line for line in clean if "Waiting for data" not in line]
        return [line for line in clean if not words or any(word in line for word in words)]


def of_reference(caffe: Path) -> dict[str, str]:
    """The environment of real Caffe as the reference: one thread, and the kernels that a sweep gives it."""
    passed_on = {name: os.environ[name] for name in ("PATH", KERNELS) if name in os.environ}
    return {"OPENBLAS_NUM_THREADS": "1"} | kernels.environment(Engine(caffe), passed_on)


def real(caffe: Path, folder: Path, *arguments: str, **more: str) -> Run:
    """Runs real Caffe in `folder`, on one thread, with `more` in its environment."""
    environment = of_reference(caffe) | more
    done = subprocess.run([str(caffe), *arguments], cwd=folder, capture_output=True, text=True, env=environment)
    return Run(done.returncode, done.stderr)


def ours(folder: Path, *arguments: str) -> Run:
    """Runs torchcaffe in `folder`, in this process."""
    out = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stderr(out), contextlib.redirect_stdout(out):
        code = cli.main(list(arguments))
    return Run(code, out.getvalue())


def same(found: Run, right: Run, *words: str, last_digits: int = 3, rtol: float = 1e-5) -> int:
    """Both have the same lines, but for those of Caffe's prefetch threads, whose place is a race. A number that lies
    just between two may be rounded up in the one and down in the other: in so many lines, their count is returned."""
    mine, theirs = ([line for line in run.lines(*words) if "Restarting data" not in line] for run in (found, right))
    assert [_NUMBER.sub("", line) for line in mine] == [_NUMBER.sub("", line) for line in theirs]
    other = [(a, b) for a, b in zip(mine, theirs, strict=True) if a != b]
    for a, b in other:
        numbers = [[float(number) for number in _NUMBER.findall(line)] for line in (a, b)]
        assert np.allclose(*numbers, rtol=rtol, atol=0), f"{a}\n{b}"
    assert len(other) <= last_digits, other
    return len(other)


def make_data(folder: Path) -> None:
    """`train` and `val`, LMDBs of noisy images with a colour a class, and `mean.binaryproto`."""
    random = np.random.default_rng(7)
    colours = random.integers(60, 196, (CLASSES, 3, 1, 1))
    for name, count in (("train", 90), ("val", 40)):
        items, total = [], np.zeros((3, SIZE, SIZE))
        for index in range(count):
            label = int(random.integers(CLASSES))
            image = np.clip(colours[label] + random.normal(0, 30, (3, SIZE, SIZE)), 0, 255).astype(np.uint8)
            total += image
            items.append((lmdb_file.key(index, f"{name}/{index}.png"), datum.encode(image, label)))
        lmdb_file.write(folder / name, items)
        if name == "train":
            (folder / "mean.binaryproto").write_bytes(blobs.mean_bytes((total / count).astype(np.float32)))


def slim_alexnet(batch: int = 16, xavier: bool = False) -> NetParameter:
    """The AlexNet template with a quarter of its filters, on `make_data`'s data. With `xavier` it learns at once."""
    net = prototxt.read_net(CHECKOUT / "prototxt" / "alexnet" / "train_val.prototxt")
    for layer in net.layer:
        if layer.type == "Data":
            train = layer.include[0].phase == 0
            layer.data_param.source = "train" if train else "val"
            layer.data_param.batch_size = batch if train else 10
            layer.transform_param.mean_file = "mean.binaryproto"
            layer.transform_param.crop_size = 57
            layer.transform_param.scale = 1 / 64 if xavier else 1
        for name in ("convolution_param", "inner_product_param"):
            if layer.HasField(name):
                param = getattr(layer, name)
                param.num_output = CLASSES if layer.name == "fc8" else param.num_output // 4
                if xavier:
                    param.weight_filler.Clear()
                    param.weight_filler.type = "xavier"
    return net


SOLVER = """
net: "net.prototxt"
test_iter: 4
test_interval: 10
base_lr: 0.01
lr_policy: "step"
gamma: 0.1
stepsize: 100000
display: 5
max_iter: 20
momentum: 0.9
weight_decay: 0.0005
snapshot: 10
snapshot_prefix: "out"
solver_mode: CPU
random_seed: 1
"""


def make_experiment(folder: Path, net: NetParameter, **settings: object) -> None:
    """Data, net and solver in `folder`; `settings` replace single values of SOLVER."""
    make_data(folder)
    (folder / "net.prototxt").write_text(prototxt.to_text(net))
    (folder / "solver.prototxt").write_text(solver_text(**settings))


def solver_text(**settings: object) -> str:
    lines = [line for line in SOLVER.strip().splitlines() if line.split(":")[0] not in settings]
    return "\n".join([*lines, *(f"{name}: {value}" for name, value in settings.items())]) + "\n"
