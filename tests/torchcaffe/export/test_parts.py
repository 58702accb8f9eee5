"""Layers of Caffe that torch.nn does not have. test_onnx_maps.py and the others hold them against Caffe."""

import inspect

import torch

from torchcaffe.export import parts


def test_each_part_stands_alone_with_pytorch() -> None:
    names = [name for name, part in vars(parts).items() if getattr(part, "__module__", "") == parts.__name__]
    assert len(names) == 10
    for name in names:
        scope: dict[str, object] = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional}
        exec(inspect.getsource(getattr(parts, name)), scope)
        code = scope[name].__code__ if inspect.isfunction(scope[name]) else scope[name].forward.__code__  # type: ignore[attr-defined]
        assert not set(code.co_names) & (set(names) - {name})


def test_a_wide_mean_counts_the_places_up_to_caffes_border() -> None:
    pool = parts.WideAvgPool((3, 3), (2, 2), (2, 2, 2, 2), (8, 8))
    ones = pool(torch.ones(1, 1, 4, 4))
    assert ones.shape == (1, 1, 3, 3) and torch.allclose(ones[0, 0, 1, 1], torch.tensor(1.0))
    assert torch.allclose(ones[0, 0, 0, 0], torch.tensor(1 / 9))


def test_of_equal_values_argmax_takes_the_last_first() -> None:
    assert parts.argmax(torch.tensor([[3.0, 5, 5, 1]]), 2, None, False).tolist() == [[[2, 1]]]
    assert parts.argmax(torch.tensor([[3.0, 5, 5, 1]]), 1, 1, True).tolist() == [[5]]
