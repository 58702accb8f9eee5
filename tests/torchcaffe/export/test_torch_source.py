"""The source of a PyTorch module: identifiers, and numbers."""

import math

from torchcaffe.export.torch_source import TorchSource, number
from torchcaffe.nets.params import Params


def test_an_identifier_is_used_once_and_hides_nothing() -> None:
    source = TorchSource(Params())
    found = [source._name(name) for name in ("a/b", "a_b", "1x1", "for", "forward", "print", "self", "__class__", "")]
    assert found == ["a_b", "a_b_", "layer_1x1", "for_", "forward_", "print_", "self_", "layer_class", "_"]
    assert all(name.isidentifier() for name in found)


def test_numbers_are_float32_in_their_shortest_form() -> None:
    assert [number(x) for x in (9.999999747378752e-05, 0.75, 2, -1e30)] == ["1e-04", "0.75", "2.0", "-1e+30"]
    assert math.isinf(eval(number(float("inf"))))
