"""The settings that Caffe keeps in its global singleton: the device (mode), and the random generator of all nets.

Three settings are not Caffe's: the precision of matrix products, where data sets are held, and how an iteration runs.
"""

import secrets
from dataclasses import dataclass, field

import numpy as np
import torch

from torchcaffe.common import cpu, log
from torchcaffe.common.log import Fatal, check
from torchcaffe.random.c_rand import CRand
from torchcaffe.random.rng import Generator

PRECISIONS = ("fp32", "tf32", "bf16")
DATA = ("auto", "streamed", "resident")
STEPS = ("auto", "eager", "static")


@dataclass
class Context:
    """The settings of a net. A net takes a copy when it is built, but all nets share the two generators.

    - `dtype`: float32, as in `caffe`. Tests also use float64, as a more exact reference.
    - `precision`: of the products in Convolution, Deconvolution and InnerProduct. Weights, sums, losses and everything
      else have `dtype`.
    - `data`: `streamed` reads each batch on the host; `resident` holds the whole data set on the device
      (data/resident.py). `auto` is `streamed` on the CPU, and on a GPU `resident` if the data set fits.
    - `step`: `eager` runs an iteration layer by layer; `static` records it and replays it (solvers/step.py). `auto` is
      `eager` on the CPU and `static` on a GPU.
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
        """The type to which operands are rounded before they are multiplied."""
        return torch.bfloat16 if self.precision == "bf16" else self.dtype

    @property
    def layout(self) -> torch.memory_format:
        """The memory format of images that is fastest: channels last for tensor cores and on the CPU, Caffe's order
        (NCHW) for a GPU's float32 units."""
        return torch.contiguous_format if self.on_gpu and self.precision == "fp32" else torch.channels_last


_current: Context | None = None
_gpu = 0  # index of the GPU that set_device chose last


def current() -> Context:
    """The context that new nets copy. At first it has the CPU and a random seed."""
    global _current
    if _current is None:
        _current = Context()
    return _current


def is_exact(tensor: torch.Tensor) -> bool:
    """Whether `tensor` is on the CPU.

    There, random draws and the last digits are Caffe's, and values are checked to report mistakes. A GPU has its own
    random draws and rounding, and the host would wait if it read values back.
    """
    return tensor.device.type == "cpu"


def set_random_seed(seed: int) -> None:
    """Seeds the generator that all nets share, including nets that exist already."""
    current().rng.restore(Generator(seed).state())
    torch.manual_seed(seed)  # for draws on a GPU


def gpu_rng_state() -> np.ndarray:
    """The state of PyTorch's generator on the current GPU, uint8."""
    return torch.cuda.get_rng_state(current().device).numpy()


def restore_gpu_rng_state(state: np.ndarray) -> None:
    """Sets that generator back to an earlier `gpu_rng_state()`."""
    torch.cuda.set_rng_state(torch.from_numpy(state), current().device)


def set_mode_cpu() -> None:
    current().device = torch.device("cpu")


def set_mode_gpu() -> None:
    """The GPU that set_device chose, else the first one. Raises Fatal if PyTorch sees none."""
    set_device(_gpu)


def set_device(index: int) -> None:
    """Raises Fatal if PyTorch sees no GPU with this index."""
    global _gpu
    if not 0 <= index < torch.cuda.device_count():
        gpus = f"{torch.cuda.device_count()} GPUs found" if torch.cuda.is_available() else "no GPU is found"
        raise Fatal(f"cannot use GPU {index}: {gpus}; leave out --gpu and set solver_mode: CPU", "common.cpp:152")
    _gpu = index
    torch.cuda.set_device(index)
    current().device = torch.device("cuda", index)
    set_precision(current().precision)


def set_precision(name: str) -> None:
    """Sets the precision of matrix products, one of PRECISIONS. Choose the device first. Raises Fatal.

    fp32 is float32 throughout, without the TF32 that PyTorch's convolutions use by default. tf32 keeps 10 bits of an
    operand's fraction. bf16 keeps 7, and rounds the results in the same way. Sums are float32 in all three. A processor
    without bf16 computes the same, but slowly, and a warning says so.
    """
    check(name in PRECISIONS, f"--precision={name}: choose one of {', '.join(PRECISIONS)}", "common.cpp:152")
    needs_gpu = "--precision=tf32: a CPU has no TF32; use fp32 or bf16, or name a GPU: --gpu=0"
    check(name != "tf32" or current().on_gpu, needs_gpu, "common.cpp:152")
    if name == "bf16" and not current().on_gpu and cpu.has_bf16() is False:
        lacks = "this processor has neither avx512_bf16 nor amx_bf16"
        log.warning("common.cpp:152", f"{lacks}: --precision=bf16 takes 2 to 70 times as long as fp32")
    current().precision = name
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "tf32"
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cudnn.deterministic = True


def set_execution(data: str = "auto", step: str = "auto") -> None:
    """Sets where data sets are held, one of DATA, and how an iteration runs, one of STEPS. Raises Fatal."""
    check(data in DATA, f"--data={data}: choose one of {', '.join(DATA)}", "common.cpp:152")
    check(step in STEPS, f"--step={step}: choose one of {', '.join(STEPS)}", "common.cpp:152")
    current().data, current().step = data, step
