"""The layer types, a family a file. Each class bears the name that `type:` has in a prototxt."""

from torchcaffe.layer_types import (  # noqa: F401
    accuracy,
    activation,
    argmax,
    convolution,
    data,
    elementwise,
    embed,
    hdf5,
    inner_product,
    loss,
    lrn,
    neuron,
    normalization,
    one_vs_all_loss,
    pooling,
    power,
    shape,
    softmax,
    split,
)
from torchcaffe.layer_types.base import Layer, create, known_types

__all__ = ["Layer", "create", "known_types"]
