"""BatchReindex against real Caffe: images repeated and left out, and indices that are none."""

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import REAL, Both, net_of
from tests.helpers.layer_text import between_layers, layer
from tests.helpers.real_caffe import CaffeAborted
from tests.helpers.refusals import refused

DOWN = "propagate_down: true propagate_down: false"
LOSS = layer("Reduction", "reduction_param { operation: SUMSQ } loss_weight: 1", "y", "loss", "loss")
INDICES = [3, 0, 0, 2, 3, 3.7, 0]


def without_force(text: str) -> str:
    """Indices have no gradient, and are not forced to have one: a loss asks for that of the images."""
    return text.removeprefix("force_backward: true\n")


@pytest.mark.parametrize("shape", [(4, 3, 2, 5), (4,), (4, 3)], ids=str)
@pytest.mark.parametrize("indices", [INDICES, [2]], ids=["more", "one"])
def test_batch_reindex(real_caffe, tmp_path, figures, shape, indices) -> None:
    learned = layer("Bias", "bias_param { axis: 0 num_axes: 0 }", tops="a", name="bias")
    layers = learned + layer("BatchReindex", DOWN, "a i") + LOSS
    text = without_force(net_of(layers, x=shape, i=(len(indices),)))
    both = Both(real_caffe, text, tmp_path, i=indices)
    both.agree(figures, "BatchReindex")
    assert both.right["diff a"].any()


def test_the_gradients_of_copies_add_up_behind_a_convolution(real_caffe, tmp_path, figures) -> None:
    layers = between_layers("BatchReindex", DOWN).replace('type: "BatchReindex"', 'type: "BatchReindex" bottom: "c"')
    layers = layers.replace('bottom: "c" bottom: "c"', 'bottom: "c" bottom: "i"') + LOSS.replace('"y"', '"ip"')
    text = without_force(net_of(layers, x=(4, 6, 4, 5), i=(7,)))
    Both(real_caffe, text, tmp_path, i=INDICES).agree(figures, "BatchReindex between layers")


@pytest.mark.parametrize("index", [-1, -0.5, 4])
def test_an_index_of_no_image_is_refused_by_both(real_caffe, tmp_path, index) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer("BatchReindex", DOWN, "x i"), x=(4, 3), i=(1,)))
    net = caffe.Net(path, caffe.TEST)
    net.blobs["i"].data[...] = index
    with pytest.raises(FormatError, match=rf"layer 'it'.*an index is {index}, but the batch has 4 images"):
        net.forward()
    with pytest.raises(CaffeAborted):
        given = {"in i": np.full(1, index, np.float32)}
        real_caffe.run(REAL, path=str(path), phase=1, seed=1, backward=False, **given)


def test_a_gradient_of_the_indices_is_refused_by_both(real_caffe, tmp_path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer("BatchReindex", "", "x i"), x=(4, 3), i=(1,)))
    net = caffe.Net(path, caffe.TEST)
    net.forward()
    with pytest.raises(FormatError, match=r"layer 'it'.*Cannot backprop to index"):
        net.backward()
    with pytest.raises(CaffeAborted):
        real_caffe.run(REAL, path=str(path), phase=1, seed=1, backward=True)


def test_indices_of_two_axes_are_refused(real_caffe, tmp_path) -> None:
    refused(net_of(layer("BatchReindex", "", "x i"), x=(4, 3), i=(1, 1)), "must have one axis", tmp_path, real_caffe)


def test_in_place_is_refused_where_caffe_overwrites_images_that_it_still_needs(tmp_path) -> None:
    refused(net_of(layer("BatchReindex", "", "x i", "x"), x=(4, 3), i=(4,)), "in-place", tmp_path, None)
