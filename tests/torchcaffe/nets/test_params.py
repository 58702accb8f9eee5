"""Parameters that layers share, against real Caffe."""

from pathlib import Path

import pytest

from tests.helpers.both_engines import Both, Figures, net_of

IP = 'type: "InnerProduct" inner_product_param { num_output: 3 weight_filler { type: "xavier" } }'


def shared(spec: str, second: str = "", transpose: str = "") -> str:
    return f"""
layer {{ name: "one" bottom: "x" top: "a" param {{ name: "w" lr_mult: 2 }} param {{ name: "b" }} {IP} }}
layer {{ name: "two" bottom: "a" top: "c" param {{ name: "w" {spec} }} {second} type: "InnerProduct"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} {transpose} }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "c" bottom: "x" top: "loss" }}
"""


@pytest.mark.parametrize("second", ['param { name: "b" }', ""], ids=["weights and bias", "weights alone"])
def test_shared_parameters_sum_their_gradients(real_caffe, tmp_path, figures: Figures, second: str) -> None:
    Both(real_caffe, net_of(shared("", second), x=(5, 3)), tmp_path).agree(figures, "shared parameters")


def test_a_permissive_share_keeps_its_own_shape(real_caffe, tmp_path: Path, figures: Figures) -> None:
    layers = """
layer { name: "one" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" }
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } bias_term: false } }
layer { name: "two" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" share_mode: PERMISSIVE }
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } bias_term: false } }
"""
    Both(real_caffe, net_of(layers, x=(5, 6)), tmp_path).agree(figures, "shared parameters")
