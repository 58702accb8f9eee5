"""CopiedLayers: the layers of the weights file that the train net does not have."""

from tools.caffe_log.copied_layers import CopiedLayers
from tools.caffe_log.log import Log
from tools.caffe_log.table import Table

NETS = ["Creating training net from net file: x", "Creating Layer data", "Creating Layer ip", "Creating test net (#0)"]
COPY = ["Finetuning from a", "Ignoring source layer ip2", "Finetuning from a", "Ignoring source layer ip"]


def ignored(*messages: str, attempts: int = 1) -> list[str]:
    log = Log(Table("SmoothedLoss"), Table("TestNet"))
    layers = CopiedLayers(log)
    for _ in range(attempts):
        layers.new_attempt()
        for message in messages:
            getattr(layers, message.split()[0].lower())(f"I0228] {message}\n", 7)
    return log.ignored_layers


def test_a_layer_that_only_a_test_net_lacks_is_not_counted():
    assert ignored(*NETS, *COPY) == ["ip2"]


def test_each_attempt_that_copies_begins_anew():
    assert ignored(*NETS, *COPY, attempts=2) == ["ip2"]
