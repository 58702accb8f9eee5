"""Silence against real Caffe."""

from pathlib import Path

from tests.helpers.both_engines import Both, Figures, net_of
from tests.helpers.layer_text import FILLERS, layer
from tests.helpers.real_caffe import RealCaffe


def test_silence_reads_and_gives_no_gradient(real_caffe: RealCaffe, tmp_path: Path, figures: Figures) -> None:
    layers = layer("InnerProduct", f"inner_product_param {{ num_output: 3 {FILLERS} }}", "x", "a")
    layers += 'layer { name: "quiet" type: "Silence" bottom: "a" bottom: "z" }'
    Both(real_caffe, net_of(layers, x=(2, 4), z=(2, 3)), tmp_path).agree(figures, "Silence")
