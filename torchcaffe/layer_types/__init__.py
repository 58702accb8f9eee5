"""The layer types, one file each, named as BVLC Caffe names its file: `relu.py` for src/caffe/layers/relu_layer.cpp."""

import pkgutil
from importlib import import_module

from torchcaffe.layer_types.base import Layer, create, known_types

__all__ = ["Layer", "create", "known_types"]

# A module registers its types when it is imported, so a new file in this folder is all that a new type needs.
for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
