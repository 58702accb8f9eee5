"""Products of matrices, large enough for oneDNN, against real Caffe's InnerProduct and NumPy."""

import numpy as np
import pytest
import torch

from tests.helpers.both_engines import Both, distance, net_of
from tests.helpers.layer_text import FILLERS, layer
from torchcaffe.common import products


@pytest.mark.parametrize("more", ["", "transpose: true", "bias_term: false"])
def test_inner_product_as_large_as_alexnets(real_caffe, tmp_path, figures, more) -> None:
    settings_ = f"num_output: 600 {more} {FILLERS}"
    text = net_of(layer("InnerProduct", f"inner_product_param {{ {settings_} }}"), x=(7, 512))
    Both(real_caffe, text, tmp_path).agree(figures, "InnerProduct")


@pytest.mark.parametrize("slow", [True, False], ids=["MKL is slow", "MKL is not"])
@pytest.mark.parametrize("columns", [3000, 40])
def test_products_of_any_layout_are_numpys(monkeypatch, slow: bool, columns: int) -> None:
    monkeypatch.setattr(products, "_mkl_is_slow", slow)
    monkeypatch.setattr(products, "_KEPT", 1 << 15)  # the rows come in parts
    random = np.random.default_rng(1)
    a, b, total = (random.standard_normal(shape) for shape in ((300, 90), (90, columns), (300, columns)))
    right = a @ b
    for left in (_apart(a), _apart(a.T).T):
        for other in (_apart(b), _apart(b.T).T, b):
            x, y = torch.from_numpy(left).float(), torch.from_numpy(other).float()
            for out in (None, torch.empty(300, columns), torch.empty(columns, 300).t()):
                assert distance(products.product(x, y, out), right) < 1e-6
                assert out is None or distance(out, right) < 1e-6
            added = torch.from_numpy(_apart(total)).float()
            assert distance(products.add_product(added, x, y), total + right) < 1e-6
            assert distance(added, total + right) < 1e-6
            assert distance(products.linear(x, y.t()), right) < 1e-6


@pytest.mark.parametrize("columns", [2100, 300])
def test_a_product_in_bf16_is_the_same_whichever_way_it_takes(monkeypatch, columns: int) -> None:
    random = np.random.default_rng(2)
    a, b = (torch.from_numpy(random.standard_normal(shape)).bfloat16() for shape in ((40, 1000), (40, columns)))
    right = (a.double().t() @ b.double()).numpy()
    for tiles in (True, False):
        monkeypatch.setattr(products, "_has_tiles", tiles)
        out = torch.empty(1000, columns, dtype=torch.bfloat16)
        for given in (None, out):
            found = products.product_in_bf16(a.t(), b, given)
            assert given is None or found is out
            assert distance(found.double().numpy(), right) < 2**-8


def _apart(array: np.ndarray) -> np.ndarray:
    """The same values, in rows that do not follow each other in memory."""
    return np.pad(array, ((0, 0), (0, 5)))[:, :-5]
