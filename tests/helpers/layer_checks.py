"""Checks that several layer types share, against real Caffe."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import Both, Figures, net_of
from tests.helpers.layer_text import layer
from tests.helpers.real_caffe import RealCaffe

INITIAL_PARAMETERS = """
caffe.set_random_seed(3)
for i, blob in enumerate(caffe.Net(given["path"], 1).params["it"]):
    out[str(i)] = blob.data
"""


def initial_parameters_are_caffes(real: RealCaffe, folder: Path, text: str) -> None:
    """The parameters of the layer `it`, filled with the same seed, equal Caffe's to the bit."""
    path = folder / "net.prototxt"
    path.write_text(text)
    right = real.run(INITIAL_PARAMETERS, path=str(path))
    caffe.set_random_seed(3)
    blobs = caffe.Net(path, caffe.TEST).params["it"]
    assert [blob.data.tolist() for blob in blobs] == [right[key].tolist() for key in sorted(right)]


def parameter_gradients_add_up(real: RealCaffe, folder: Path, type_: str, settings_: str) -> None:
    """A second backward pass adds to the parameters' gradients, and leaves that of the top alone."""
    both = Both(real, net_of(layer(type_, settings_), x=(2, 3)), folder)
    diff = both.net.blobs["y"].diff.copy()
    both.net.backward()
    np.testing.assert_allclose(both.net.params["it"][0].diff, 2 * both.right["param diff it 0"], rtol=1e-6)
    np.testing.assert_array_equal(both.net.blobs["y"].diff, diff)


def order_of_values_is_caffes(real: RealCaffe, folder: Path, figures: Figures, text: str, type_: str) -> None:
    """`text` is a net of `between_layers`."""
    Both(real, net_of(text, x=(2, 6, 4, 5)), folder).agree(figures, f"{type_} between layers")


GRADIENT_IN_PLACE = """
net = caffe.Net(given["path"], 1)
for diff in (1, 100):
    net.blobs["x"].data[...] = 2
    net.forward()
    net.blobs["x"].diff[...] = diff
    net.backward()
    out[str(diff)] = net.blobs["x"].diff.copy()
"""


def wrong_gradient_in_place_is_refused(real: RealCaffe, folder: Path, text: str) -> None:
    """`text` is a layer in place on x, of one value, whose gradient in Caffe does not depend on that of the top."""
    path = folder / "net.prototxt"
    path.write_text(net_of(text, x=(1,)))
    right = real.run(GRADIENT_IN_PLACE, path=str(path))
    assert right["1"] == right["100"]
    net = caffe.Net(path, caffe.TEST)
    net.blobs["x"].data = np.full(1, 2, np.float32)
    net.forward()
    with pytest.raises(FormatError, match=r"layer 'it'.*has no gradient in place"):
        net.backward(x=np.ones(1, np.float32))


def label_gradient_is_refused(folder: Path, type_: str, labels: tuple[int, ...]) -> None:
    """`labels` is the shape of the labels for a bottom of (2, 3)."""
    path = folder / "net.prototxt"
    settings_ = "propagate_down: true propagate_down: true"
    path.write_text(net_of(layer(type_, settings_, "x z"), x=(2, 3), z=labels))
    net = caffe.Net(path, caffe.TEST)
    net.forward()
    with pytest.raises(FormatError, match=r"layer 'it'.*cannot backpropagate to label"):
        net.backward()
