"""What Caffe keeps in its global singleton: the device (mode) and the random generator that all nets draw from."""

import secrets
from dataclasses import dataclass, field

import torch

from torchcaffe.c_rand import CRand
from torchcaffe.log import Fatal
from torchcaffe.rng import Generator


@dataclass
class Context:
    """What a net takes a copy of when it is built; the generators stay those of all.

    `dtype` is float32 as in `caffe`; float64 is for tests that need a truth to compare with.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    rng: Generator = field(default_factory=lambda: Generator(secrets.randbits(32)))
    c_rand: CRand = field(default_factory=CRand)


_current: Context | None = None


def current() -> Context:
    """The context that new nets take: the CPU and a random seed until something is set."""
    global _current
    if _current is None:
        _current = Context()
    return _current


def set_random_seed(seed: int) -> None:
    """Seeds the generator that all nets share, those that are there already included."""
    current().rng.restore(Generator(seed).state())
    torch.manual_seed(seed)  # what a GPU draws, in its own way


def set_mode_cpu() -> None:
    current().device = torch.device("cpu")


def set_mode_gpu() -> None:
    set_device(0)


def set_device(index: int) -> None:
    """Raises Fatal where PyTorch sees no such GPU."""
    if index >= torch.cuda.device_count():
        found = f"{torch.cuda.device_count()} GPUs found" if torch.cuda.is_available() else "no GPU is found"
        raise Fatal(f"cannot use GPU {index}: {found}; leave out --gpu and set solver_mode: CPU", "common.cpp:152")
    current().device = torch.device("cuda", index)
