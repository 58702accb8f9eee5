"""torchcaffe: `caffe train` on PyTorch, and pycaffe's face: `import torchcaffe as caffe`.

    caffe.set_random_seed(1)
    solver = caffe.get_solver("solver.prototxt")
    solver.step(10)
    solver.net.blobs["conv1"].data, solver.net.params["conv1"][0].diff

PyTorch is imported when one of these names is first used, so that `torchcaffe --version` answers at once.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torchcaffe import classifier, coord_map, detector, draw, io, net_spec, proto, pycaffe
    from torchcaffe.classifier import Classifier
    from torchcaffe.common.context import set_device, set_mode_cpu, set_mode_gpu, set_precision, set_random_seed
    from torchcaffe.detector import Detector
    from torchcaffe.net_spec import NetSpec, layers, params, to_proto
    from torchcaffe.pycaffe import Layer, Net, layer_type_list
    from torchcaffe.pyglobals import (
        NCCL,
        Timer,
        has_nccl,
        init_log,
        set_multiprocess,
        set_solver_count,
        set_solver_rank,
        solver_count,
        solver_rank,
    )
    from torchcaffe.pyglobals import write_log as log
    from torchcaffe.pysolver import (
        AdaDeltaSolver,
        AdaGradSolver,
        AdamSolver,
        NesterovSolver,
        RMSPropSolver,
        SGDSolver,
        get_solver,
    )

__version__ = "0.1.0"

# Threads of PyTorch's OpenMP (libgomp) wait for one another in a loop, some milliseconds long, that takes a core from
# the thread they wait for if the cores have other work. This many turns last as long as the gaps between two products.
# libgomp reads it when it is loaded, with PyTorch. docs/torchcaffe.md, "Threads".
if "GOMP_SPINCOUNT" not in os.environ and "OMP_WAIT_POLICY" not in os.environ:
    os.environ["GOMP_SPINCOUNT"] = "5000"

TRAIN, TEST = 0, 1

# Module -> the names that it gives to this package. "log=write_log": the name here is log.
_NAMES = {
    "torchcaffe.classifier": "Classifier",
    "torchcaffe.common.context": "set_device set_mode_cpu set_mode_gpu set_precision set_random_seed",
    "torchcaffe.detector": "Detector",
    "torchcaffe.net_spec": "NetSpec layers params to_proto",
    "torchcaffe.pycaffe": "Layer Net layer_type_list",
    "torchcaffe.pyglobals": "NCCL Timer has_nccl init_log log=write_log set_multiprocess set_solver_count "
    "set_solver_rank solver_count solver_rank",
    "torchcaffe.pysolver": "AdaDeltaSolver AdaGradSolver AdamSolver NesterovSolver RMSPropSolver SGDSolver get_solver",
}
_SUBMODULES = ("classifier", "coord_map", "detector", "draw", "io", "net_spec", "proto", "pycaffe")
_PLACES = {
    name.partition("=")[0]: (module, name.rpartition("=")[2])
    for module, names in _NAMES.items()
    for name in names.split()
}

__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Classifier",
    "Detector",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "Timer",
    "classifier",
    "coord_map",
    "detector",
    "draw",
    "get_solver",
    "has_nccl",
    "init_log",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "net_spec",
    "params",
    "proto",
    "pycaffe",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_precision",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]


def __getattr__(name: str) -> object:
    if name in _SUBMODULES:
        return import_module(f"torchcaffe.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module 'torchcaffe' has no attribute {name!r}")
    module, inner = _PLACES[name]
    return getattr(import_module(module), inner)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
