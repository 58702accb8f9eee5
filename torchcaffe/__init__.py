"""torchcaffe: `caffe train` on PyTorch, and a small pycaffe-like face: `import torchcaffe as caffe`.

    caffe.set_random_seed(1)
    solver = caffe.get_solver("solver.prototxt")
    solver.step(10)
    solver.net.blobs["conv1"].data, solver.net.params["conv1"][0].diff

PyTorch is imported when a name of that face is first asked for, so that `torchcaffe --version` answers at once.
"""

from importlib import import_module

__version__ = "0.1.0"

TRAIN, TEST = 0, 1

_FACE = {
    "Net": "torchcaffe.pycaffe",
    "SGDSolver": "torchcaffe.pycaffe",
    "get_solver": "torchcaffe.pycaffe",
    "layer_type_list": "torchcaffe.pycaffe",
    "set_mode_cpu": "torchcaffe.common.context",
    "set_mode_gpu": "torchcaffe.common.context",
    "set_device": "torchcaffe.common.context",
    "set_precision": "torchcaffe.common.context",
    "set_random_seed": "torchcaffe.common.context",
}

__all__ = ["TEST", "TRAIN", *_FACE]


def __getattr__(name: str) -> object:
    if name not in _FACE:
        raise AttributeError(f"module 'torchcaffe' has no attribute {name!r}")
    return getattr(import_module(_FACE[name]), name)
