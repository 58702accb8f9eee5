"""Split, which the net inserts where a blob is read twice, against real Caffe."""

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import FILLERS, layer


def test_a_blob_read_twice_gets_the_sum_of_both_gradients(real_caffe, tmp_path, figures) -> None:
    parameters = f"inner_product_param {{ num_output: 3 {FILLERS} }}"
    layers = (
        layer("InnerProduct", parameters, "x", "a", name="one")
        + layer("InnerProduct", parameters, "x", "b", name="two")
        + layer("InnerProduct", parameters, "x", "c", name="three")
        + layer("EuclideanLoss", "", "a b", "ab", name="first loss")
        + layer("EuclideanLoss", "loss_weight: 0.5", "a c", "ac", name="second loss")
    )
    Both(real_caffe, net_of(layers, x=(4, 5)), tmp_path).agree(figures, "Split")
