"""The layer types, a family a file. Each class bears the name that `type:` has in a prototxt."""

from torchcaffe.layers import (  # noqa: F401  (each module registers its types)
    accuracy,
    convolution,
    data,
    inner_product,
    loss,
    lrn,
    neuron,
    pooling,
    softmax,
    split,
)
from torchcaffe.layers.base import Layer, create, known_types

__all__ = ["Layer", "create", "known_types"]
