"""InnerProduct against real Caffe: outputs, and gradients of bottoms and of parameters."""

from pathlib import Path

import pytest

from tests.helpers.both_engines import Both, Figures, net_of
from tests.helpers.layer_text import FILLERS, layer
from tests.helpers.real_caffe import RealCaffe


@pytest.mark.parametrize(
    "settings_", ["num_output: 4", "num_output: 4 bias_term: false", "num_output: 4 transpose: true",
                  "num_output: 4 axis: 2", "num_output: 3 axis: -1 transpose: true"]
)  # fmt: skip
def test_inner_product(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, settings_: str) -> None:
    text = net_of(layer("InnerProduct", f"inner_product_param {{ {settings_} {FILLERS} }}"), x=(3, 2, 5, 4))
    Both(real_caffe, text, tmp_path).agree(figures, "InnerProduct")
