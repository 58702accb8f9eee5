"""Layers of Caffe that torch.nn does not have. test_onnx_maps.py and the others hold them against Caffe."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

import torchcaffe as caffe
from tests.helpers.both_engines import net_of
from tests.helpers.exported import layer, pool
from torchcaffe.export import parts
from torchcaffe.export.exporter import quiet


def test_each_part_stands_alone_with_pytorch() -> None:
    names = [name for name, part in vars(parts).items() if getattr(part, "__module__", "") == parts.__name__]
    assert len(names) == 14
    for name in names:
        scope: dict[str, object] = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional}
        exec(inspect.getsource(getattr(parts, name)), scope)
        code = scope[name].__code__ if inspect.isfunction(scope[name]) else scope[name].forward.__code__  # type: ignore[attr-defined]
        assert not set(code.co_names) & (set(names) - {name})


def test_a_wide_mean_counts_the_places_up_to_caffes_border() -> None:
    wide = parts.WideAvgPool((3, 3), (2, 2), (2, 2), ceil_mode=True)
    ones = wide(torch.ones(1, 1, 4, 4))
    assert ones.shape == (1, 1, 3, 3) and torch.allclose(ones[0, 0, 1, 1], torch.tensor(1.0))
    assert torch.allclose(ones[0, 0, 0, 0], torch.tensor(1 / 9))


@pytest.mark.parametrize("size", [4, 7, 10, 20])
def test_wide_windows_are_caffes_for_images_of_any_size(tmp_path: Path, size: int) -> None:
    """One module for all of them, as in an exported net."""
    wide = "kernel_size: 3 stride: 2 pad: 2"
    body = layer("Pooling", "max", settings=pool(wide)) + layer("Pooling", "ave", settings=pool(f"pool: AVE {wide}"))
    (tmp_path / "net.prototxt").write_text(net_of(body, x=(1, 2, size, size + 1)))
    x = np.random.default_rng(0).standard_normal((1, 2, size, size + 1)).astype(np.float32)
    with quiet():
        right = caffe.Net(tmp_path / "net.prototxt", caffe.TEST).forward(x=x)
    for name, kind in (("max", parts.WideMaxPool), ("ave", parts.WideAvgPool)):
        found = kind((3, 3), (2, 2), (2, 2), ceil_mode=True)(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(found, right[name], rtol=1e-5, atol=1e-6)


def test_of_equal_values_argmax_takes_the_last_first() -> None:
    assert parts.argmax(torch.tensor([[3.0, 5, 5, 1]]), 2, None, False).tolist() == [[[2, 1]]]
    assert parts.argmax(torch.tensor([[3.0, 5, 5, 1]]), 1, 1, True).tolist() == [[5]]
