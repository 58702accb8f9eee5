"""The update rules, by the name that a solver prototxt gives as its `type`."""

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import SolverParameter
from torchcaffe.common.log import Fatal
from torchcaffe.solvers.adaptive import AdaDelta, AdaGrad, Adam, RMSProp
from torchcaffe.solvers.sgd import SGD, Nesterov

_TYPES = {"AdaDelta": AdaDelta, "AdaGrad": AdaGrad, "Adam": Adam, "Nesterov": Nesterov, "RMSProp": RMSProp, "SGD": SGD}


def solver_type(param: SolverParameter, where: str) -> type[SGD]:
    """The update rule that `param` asks for; `where` names its file. Raises Fatal."""
    if param.type not in _TYPES:
        place = prototxt.place_of(where, "type")
        unknown = f"{place}: Unknown solver type: {param.type} (known types: {', '.join(_TYPES)})"
        raise Fatal(unknown, "solver_factory.hpp:76")
    return _TYPES[param.type]
