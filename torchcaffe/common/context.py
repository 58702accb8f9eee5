"""What Caffe keeps in its global singleton: the device (mode) and the random generator that all nets draw from.

And what Caffe has no choice of: the precision of products, where a data set is held, how a step is run.
"""

import secrets
from dataclasses import dataclass, field

import numpy as np
import torch

from torchcaffe.common.log import Fatal, check
from torchcaffe.random.c_rand import CRand
from torchcaffe.random.rng import Generator

PRECISIONS = ("fp32", "tf32", "bf16")
DATA = ("auto", "streamed", "resident")
STEPS = ("auto", "eager", "static")


@dataclass
class Context:
    """What a net takes a copy of when it is built; the generators stay those of all.

    `dtype` is float32 as in `caffe`; float64 is for tests that need a truth to compare with. `precision` is that of the
    products of Convolution, Deconvolution and InnerProduct; weights, sums, losses and all else are of `dtype`. `data`
    and `step` say where data sets are held and how a step is run: `auto` is `streamed` and `eager` on the CPU, and on a
    GPU `static`, and `resident` where that fits (layers/data.py, step.py).
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    rng: Generator = field(default_factory=lambda: Generator(secrets.randbits(32)))
    c_rand: CRand = field(default_factory=CRand)
    precision: str = "fp32"
    data: str = "auto"
    step: str = "auto"

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def operands(self) -> torch.dtype:
        """The type of what is multiplied."""
        return torch.bfloat16 if self.precision == "bf16" else self.dtype

    @property
    def layout(self) -> torch.memory_format:
        """How images lie in memory: tensor cores and the CPU's convolutions want the channels last, a GPU's float32
        units the order of Caffe."""
        return torch.contiguous_format if self.on_gpu and self.precision == "fp32" else torch.channels_last


_current: Context | None = None


def current() -> Context:
    """The context that new nets take: the CPU and a random seed until something is set."""
    global _current
    if _current is None:
        _current = Context()
    return _current


def is_exact(tensor: torch.Tensor) -> bool:
    """Whether the draws and the last digits are Caffe's, and values are looked at to name a mistake: on the CPU. A GPU
    has its own draws and digits, and is not waited for."""
    return tensor.device.type == "cpu"


def set_random_seed(seed: int) -> None:
    """Seeds the generator that all nets share, those that are there already included."""
    current().rng.restore(Generator(seed).state())
    torch.manual_seed(seed)  # what a GPU draws, in its own way


def drawn() -> np.ndarray:
    """Where the generator of the GPU stands, uint8."""
    return torch.cuda.get_rng_state(current().device).numpy()


def restore_drawn(state: np.ndarray) -> None:
    """Go back to `drawn()`."""
    torch.cuda.set_rng_state(torch.from_numpy(state), current().device)


def set_mode_cpu() -> None:
    current().device = torch.device("cpu")


def set_mode_gpu() -> None:
    set_device(0)


def set_device(index: int) -> None:
    """Raises Fatal where PyTorch sees no such GPU."""
    if not 0 <= index < torch.cuda.device_count():
        found = f"{torch.cuda.device_count()} GPUs found" if torch.cuda.is_available() else "no GPU is found"
        raise Fatal(f"cannot use GPU {index}: {found}; leave out --gpu and set solver_mode: CPU", "common.cpp:152")
    torch.cuda.set_device(index)
    current().device = torch.device("cuda", index)
    set_precision(current().precision)


def set_precision(name: str) -> None:
    """How exactly the device, which is chosen first, multiplies: one of PRECISIONS. Raises Fatal.

    fp32 is float32 throughout, without the TF32 that PyTorch's convolutions use of themselves; tf32 keeps 10 bits of an
    operand's fraction, bf16 keeps 7 and rounds what comes out likewise. Sums are float32 in all three.
    """
    check(name in PRECISIONS, f"--precision={name}: there are {', '.join(PRECISIONS)}", "common.cpp:152")
    on_cpu = "--precision=tf32: a CPU has no TF32; use fp32 or bf16, or name a GPU: --gpu=0"
    check(name != "tf32" or current().on_gpu, on_cpu, "common.cpp:152")
    current().precision = name
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "tf32"
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cudnn.deterministic = True


def set_ways(data: str = "auto", step: str = "auto") -> None:
    """Where data sets are held, one of DATA, and how a step is run, one of STEPS. Raises Fatal."""
    check(data in DATA, f"--data={data}: there are {', '.join(DATA)}", "common.cpp:152")
    check(step in STEPS, f"--step={step}: there are {', '.join(STEPS)}", "common.cpp:152")
    current().data, current().step = data, step
