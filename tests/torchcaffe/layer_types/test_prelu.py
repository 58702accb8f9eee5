"""PReLU against real Caffe, apart and in place."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.both_engines import Both, Figures, net_of
from tests.helpers.layer_checks import initial_parameters_are_caffes
from tests.helpers.layer_text import apart_and_in_place, layer
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.refusals import refused
from torchcaffe.layer_types import prelu


@apart_and_in_place
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (4, 3), (2, 3, 7)], ids=str)
@pytest.mark.parametrize("settings_", ["", "channel_shared: true"], ids=["a slope a channel", "one slope"])
def test_prelu(real_caffe, tmp_path, figures, settings_, shape, tops) -> None:
    text = net_of(layer("PReLU", f"prelu_param {{ {settings_} }}", tops=tops), x=shape)
    Both(real_caffe, text, tmp_path).agree(figures, "PReLU")


def test_prelu_gives_a_gradient_of_slope_at_zero(real_caffe: RealCaffe, tmp_path: Path, figures: Figures) -> None:
    x = np.random.default_rng(1).integers(-1, 2, (3, 4, 5))
    Both(real_caffe, net_of(layer("PReLU"), x=x.shape), tmp_path, x=x).agree(figures, "PReLU")


@pytest.mark.parametrize("shape", [(5, 4), (2, 4, 3), (3, 4, 6, 7)], ids=str)
def test_the_backward_pass_without_branches_is_pytorchs_kernel(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(2)
    x, diff = (torch.randn(shape, generator=generator) for _ in range(2))
    slope = torch.randn(4, generator=generator).reshape(-1, *[1] * (len(shape) - 2))
    x.view(-1)[:4] = torch.tensor([0.0, -0.0, float("inf"), -float("inf")])
    for found, right in zip(
        prelu._backward(diff, x, slope), torch.ops.aten._prelu_kernel_backward(diff, x, slope), strict=True
    ):
        torch.testing.assert_close(found, right, rtol=0, atol=0)


@pytest.mark.parametrize("settings_", ["", 'prelu_param { filler { type: "gaussian" std: 0.1 } }'])
def test_the_slopes_begin_as_caffes(real_caffe: RealCaffe, tmp_path: Path, settings_: str) -> None:
    initial_parameters_are_caffes(real_caffe, tmp_path, net_of(layer("PReLU", settings_), x=(2, 5)))


def test_a_vector_is_refused(real_caffe, tmp_path) -> None:
    refused(net_of(layer("PReLU", bottoms="z"), x=(2, 3), z=(4,)), "1 axes", tmp_path, real_caffe)
