"""Which layers of a train_val prototxt are exported."""

from pathlib import Path

import pytest

from caffeformat import FormatError
from tests.helpers.exported import LENET, layer
from torchcaffe.export.inference import inference_net
from torchcaffe.nets import reader


def inference(folder: Path, text: str):
    (folder / "net.prototxt").write_text(text)
    return inference_net(reader.read(folder / "net.prototxt"))


def test_data_become_inputs_a_loss_its_prediction_and_accuracy_and_labels_go(tmp_path: Path) -> None:
    net = inference(tmp_path, LENET)
    assert [(x.type, list(x.top)) for x in net.parsed.param.layer] == [
        ("Input", ["data"]),
        ("Convolution", ["conv1"]),
        ("Pooling", ["pool1"]),
        ("ReLU", ["pool1"]),
        ("InnerProduct", ["ip/2"]),
        ("Softmax", ["prob"]),
    ]
    assert (net.outputs, list(net.data)) == (["prob"], ["data"])


@pytest.mark.parametrize(
    ("loss", "outputs"),
    [
        ("SigmoidCrossEntropyLoss", ["prob"]),
        ("EuclideanLoss", ["ip/2"]),
        ("HingeLoss", ["ip/2"]),
        ("Accuracy", ["ip/2"]),
    ],
)
def test_each_loss_has_its_prediction(tmp_path: Path, loss: str, outputs: list[str]) -> None:
    body = LENET[: LENET.index('layer { name: "accuracy"')]
    assert inference(tmp_path, body + layer(loss, "loss", "ip/2 label")).outputs == outputs


@pytest.mark.parametrize(("first", "last", "main"), [("0.3", "1", "ip/2"), ("1", "1", "ip/2"), ("1", "0.3", "aux")])
def test_prob_is_the_head_of_the_largest_loss_weight_and_the_first_output(
    tmp_path: Path, first: str, last: str, main: str
) -> None:
    """As the auxiliary heads of GoogLeNet, which come first in the file."""
    head = layer("InnerProduct", "aux", "pool1", "inner_product_param { num_output: 5 }")
    head += layer("SoftmaxWithLoss", "loss1", "aux label", f"loss_weight: {first}")
    at, end = LENET.index('layer { name: "ip/2"'), LENET.index('layer { name: "loss"')
    text = LENET[:at] + head + LENET[at:end] + layer("SoftmaxWithLoss", "loss", "ip/2 label", f"loss_weight: {last}")
    net, other = inference(tmp_path, text), {"aux": "ip/2", "ip/2": "aux"}[main]
    assert net.outputs == ["prob", "prob2"] and net.named_outputs() == f"prob <- {main}, prob2 <- {other}"


def test_only_the_layers_of_the_phase_test_count_and_what_reads_a_loss_goes(tmp_path: Path) -> None:
    more = layer("Power", "twice", "loss", "power_param { scale: 2 }") + layer(
        "Power", "t", "ip/2", "include { phase: TRAIN }"
    )
    net = inference(tmp_path, LENET + more)
    assert (net.outputs, net.in_training) == (["prob"], ("t (Power)",))


def test_data_and_losses_of_the_phase_train_alone_are_not_missed(tmp_path: Path) -> None:
    data = 'layer { name: "data" type: "DummyData" top: "data" top: "label" include { phase: TRAIN } }\n'
    loss = layer("SoftmaxWithLoss", "train_loss", "ip/2 label", "exclude { phase: TEST }")
    of_test = LENET.replace("dummy_data_param", "include { phase: TEST } dummy_data_param")
    assert inference(tmp_path, data + of_test + loss).in_training == ()


def test_a_layer_with_other_settings_in_the_phase_train_is_missed(tmp_path: Path) -> None:
    two = [layer("Dropout", "ip/2", "ip/2", f"include {{ phase: {phase} }}") for phase in ("TRAIN", "TEST")]
    more = "".join(two).replace("TRAIN }", "TRAIN } dropout_param { dropout_ratio: 0.9 }")
    assert inference(tmp_path, LENET + more).in_training == ("ip/2 (Dropout)",)


def test_a_target_that_no_weights_lead_to_is_no_output(tmp_path: Path) -> None:
    text = LENET[: LENET.index('layer { name: "accuracy"')].replace('top: "label"', "")
    text = text.replace("shape { dim: 4 } }", "}").replace("num_output: 5 } }", "num_output: 144 } }")
    text += layer("Flatten", "flat", "data") + layer("SigmoidCrossEntropyLoss", "loss", "ip/2 flat")
    assert inference(tmp_path, text).outputs == ["prob"]


def test_a_net_without_predictions_and_an_unknown_bottom_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no output"):
        inference(tmp_path, LENET[: LENET.index('layer { name: "conv1"')])
    with pytest.raises(FormatError, match=r"net.prototxt:1: Unknown bottom blob 'x'"):
        inference(tmp_path, layer("ReLU", "y"))
