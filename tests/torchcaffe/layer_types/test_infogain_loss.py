"""InfogainLoss against real Caffe: H from a file and from a bottom, normalizations, ignored labels, probabilities."""

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from caffeformat.blobs import array_to_blob, mean_bytes
from tests.helpers.both_engines import REAL, Both, net_of
from tests.helpers.layer_text import layer
from tests.helpers.real_caffe import CaffeAborted
from tests.helpers.refusals import refused

H = np.random.default_rng(5).standard_normal((4, 4)).astype(np.float32)
DOWN = "propagate_down: true propagate_down: false"
LOSSES = {
    "plain": "",
    "weighted": "loss_weight: 0.3",
    "all counted": "loss_param { normalization: FULL ignore_label: 2 }",
    "the batch counted": "loss_param { normalization: BATCH_SIZE }",
    "not normalized": "loss_param { normalization: NONE }",
    "one label ignored": "loss_param { ignore_label: 2 }",
    "a label that is no class ignored": "loss_param { ignore_label: 255 }",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("infogain") / "H.binaryproto"
    path.write_bytes(mean_bytes(H[None]))
    return f'source: "{path}"'


@pytest.mark.parametrize("settings_", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize("from_file", [True, False], ids=["H from a file", "H a bottom"])
def test_infogain_loss(real_caffe, tmp_path, figures, source, settings_, from_file) -> None:
    label = np.random.default_rng(3).integers(0, 4, (6, 3, 2))
    if "255" in settings_:
        label[np.random.default_rng(4).random(label.shape) < 0.3] = 255
    inputs = {"x": (6, 4, 3, 2), "label": label.shape} | ({} if from_file else {"h": (1, 1, 4, 4)})
    file = f"infogain_loss_param {{ {source} }}" if from_file else "propagate_down: false"
    text = net_of(layer("InfogainLoss", f"{settings_} {DOWN} {file}", " ".join(inputs)), **inputs)
    if not from_file:  # H has no gradient, and is not forced to have one
        learned = layer("Bias", "bias_param { axis: 0 num_axes: -1 }", tops="b", name="bias")
        head, found, rest = text.removeprefix("force_backward: true\n").partition('layer { name: "it"')
        text = head + learned + found + rest.replace('bottom: "x"', 'bottom: "b"')
    both = Both(real_caffe, text, tmp_path, label=label, h=H.reshape(1, 1, 4, 4))
    both.agree(figures, "InfogainLoss")
    assert both.right["diff x" if from_file else "diff b"].any()


@pytest.mark.parametrize("axis", [0, -1])
def test_classes_along_another_axis(real_caffe, tmp_path, figures, source, axis) -> None:
    shape = (4, 5, 4)
    settings_ = f"{DOWN} infogain_loss_param {{ {source} axis: {axis} }}"
    label = np.random.default_rng(3).integers(0, 4, (4, 5))
    text = net_of(layer("InfogainLoss", settings_, "x label"), x=shape, label=(4, 5))
    Both(real_caffe, text, tmp_path, label=label).agree(figures, "InfogainLoss")


def test_the_probabilities_of_a_second_top(real_caffe, tmp_path, figures, source) -> None:
    settings_ = f"{DOWN} infogain_loss_param {{ {source} }} loss_weight: 1 loss_weight: 0"
    text = net_of(layer("InfogainLoss", settings_, "x label", "y p"), x=(6, 4), label=(6,))
    both = Both(real_caffe, text, tmp_path, label=[0, 1, 2, 3, 0, 1])
    del both.found["diff p"], both.right["diff p"]  # Caffe's internal Softmax fills it with 1
    both.agree(figures, "InfogainLoss")


def test_a_probability_has_a_least_value_but_not_in_the_gradient(real_caffe, tmp_path, figures, source) -> None:
    text = net_of(layer("InfogainLoss", f"{DOWN} infogain_loss_param {{ {source} }}", "x label"), x=(2, 4), label=(2,))
    Both(real_caffe, text, tmp_path, x=[[200, 0, 0, 0], [0, 100, 0, 0]], label=[1, 1]).agree(figures, "InfogainLoss")


@pytest.mark.parametrize("label", [-1, 4])
def test_a_label_that_is_no_class_is_refused(tmp_path, source, label) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer("InfogainLoss", f"infogain_loss_param {{ {source} }}", "x l"), x=(2, 4), l=(2,)))
    with pytest.raises(FormatError, match=rf"layer 'it'.*a label is {label}, but there are 4 classes"):
        caffe.Net(path, caffe.TEST).forward(x=np.zeros((2, 4)), l=np.array([0, label]))


def test_gradients_of_labels_and_of_h_are_refused(real_caffe, tmp_path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer("InfogainLoss", "", "x label h"), x=(2, 4), label=(2,), h=(4, 4)))
    net = caffe.Net(path, caffe.TEST)
    net.forward()
    with pytest.raises(FormatError, match=r"layer 'it'.*cannot backpropagate to infogain"):
        net.backward()
    with pytest.raises(CaffeAborted):
        real_caffe.run(REAL, path=str(path), phase=1, seed=1, backward=True)


REFUSALS = {
    "no H": (layer("InfogainLoss", "", "x label"), "Infogain matrix source must be specified"),
    "a file that is not there": (
        layer("InfogainLoss", 'infogain_loss_param { source: "nowhere" }', "x label"),
        "nowhere: cannot be read",
    ),
    "H of other classes": (layer("InfogainLoss", "", "x label x2"), r"H must be 4x4, for 4 classes; found \(2, 4\)"),
    "the old word": (layer("InfogainLoss", "loss_param { normalize: true }", "x label h"), "normalize is deprecated"),
    "labels of another number": (layer("InfogainLoss", "", "x x2 h"), "Number of labels must match"),
    "two tops and no weights": (layer("InfogainLoss", "", "x label h", "y p"), "loss_weight must be"),
    "an axis that is not there": (
        layer("InfogainLoss", "infogain_loss_param { axis: 2 }", "x label h"),
        "axis 2 of a bottom with 2 axes",
    ),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=(2, 4), label=(2,), x2=(2, 4), h=(4, 4)), message, tmp_path, real_caffe)


def test_a_file_that_is_no_matrix_is_refused(real_caffe, tmp_path) -> None:
    (tmp_path / "H").write_bytes(array_to_blob(H[:3]).SerializeToString())
    settings_ = f'infogain_loss_param {{ source: "{tmp_path}/H" }}'
    text = net_of(layer("InfogainLoss", settings_, "x label"), x=(2, 4), label=(2,))
    refused(text, r"H must be 4x4, for 4 classes; found \(3, 4\)", tmp_path, real_caffe)


def test_a_gradient_of_labels_is_refused(tmp_path, source) -> None:
    path = tmp_path / "net.prototxt"
    down = "propagate_down: true propagate_down: true"
    text = layer("InfogainLoss", f"{down} infogain_loss_param {{ {source} }}", "x label")
    path.write_text(net_of(text, x=(2, 4), label=(2,)))
    net = caffe.Net(path, caffe.TEST)
    net.forward()
    with pytest.raises(FormatError, match=r"layer 'it'.*cannot backpropagate to label"):
        net.backward()
