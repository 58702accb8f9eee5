"""torchcaffe: `caffe train` on PyTorch, and the part of pycaffe that scripts use most: `import torchcaffe as caffe`.

    caffe.set_random_seed(1)
    solver = caffe.get_solver("solver.prototxt")
    solver.step(10)
    solver.net.blobs["conv1"].data, solver.net.params["conv1"][0].diff

PyTorch is imported when one of these names is first used, so that `torchcaffe --version` answers at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torchcaffe.common.context import set_device, set_mode_cpu, set_mode_gpu, set_precision, set_random_seed
    from torchcaffe.pycaffe import Layer, Net, SGDSolver, get_solver, layer_type_list

__version__ = "0.1.0"

TRAIN, TEST = 0, 1

_MODULES = {
    "Layer": "torchcaffe.pycaffe",
    "Net": "torchcaffe.pycaffe",
    "SGDSolver": "torchcaffe.pycaffe",
    "get_solver": "torchcaffe.pycaffe",
    "layer_type_list": "torchcaffe.pycaffe",
    "set_device": "torchcaffe.common.context",
    "set_mode_cpu": "torchcaffe.common.context",
    "set_mode_gpu": "torchcaffe.common.context",
    "set_precision": "torchcaffe.common.context",
    "set_random_seed": "torchcaffe.common.context",
}

__all__ = [
    "TEST",
    "TRAIN",
    "Layer",
    "Net",
    "SGDSolver",
    "get_solver",
    "layer_type_list",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_precision",
    "set_random_seed",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'torchcaffe' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
