"""The values that `caffe test` prints, compared with a net that is small enough to compute by hand."""

from pathlib import Path

import numpy as np
import pytest

from caffeformat import prototxt
from tools.training.engine import Engine
from tools.training.engine_outputs import layers_producing, output_values
from tools.training.process import RunFailed

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture
def scoring_net(small_net: tuple[np.ndarray, np.ndarray]) -> Path:
    """The small net up to fc1 and its ReLU, on its LMDB."""
    net = prototxt.read_net(Path("net.prototxt"))
    layers = layers_producing({"fc1", "label"}, net)
    del net.layer[:]
    net.layer.extend(layers)
    net.layer[0].data_param.source = "lmdb"
    Path("scores.prototxt").write_text(prototxt.to_text(net))
    return Path("scores.prototxt")


def test_values_come_batch_by_batch_image_by_image(
    scoring_net: Path, small_net: tuple[np.ndarray, np.ndarray], caffe: Path
) -> None:
    images, weights = small_net
    values = output_values(Engine(caffe), scoring_net, Path("net.caffemodel"), 3, ["fc1", "label"], Path("test.log"))
    expected = np.maximum(images[:15] @ weights.T, 0)
    assert values["fc1"].dtype == np.float32
    np.testing.assert_allclose(values["fc1"].reshape(15, 2), expected, rtol=1e-5)
    assert values["label"].tolist() == [i % 3 for i in range(15)]
    assert "Batch 2, label = 2" in Path("test.log").read_text()


def test_the_name_of_an_output_may_have_spaces(scoring_net: Path, small_net: tuple, caffe: Path) -> None:
    scoring_net.write_text(
        scoring_net.read_text().replace('"fc1"', '"fc = 1"').replace('name: "fc = 1"', 'name: "fc1"')
    )
    values = output_values(Engine(caffe), scoring_net, Path("net.caffemodel"), 3, ["fc = 1", "label"])
    assert (len(values["fc = 1"]), len(values["label"])) == (30, 15)


def test_an_output_that_is_never_printed_has_no_values(scoring_net: Path, caffe: Path) -> None:
    values = output_values(Engine(caffe), scoring_net, Path("net.caffemodel"), 1, ["fc9", "label"])
    assert (len(values["fc9"]), len(values["label"])) == (0, 5)


def test_an_engine_that_fails_is_an_error_with_its_last_lines(scoring_net: Path, caffe: Path) -> None:
    with pytest.raises(
        RunFailed, match=r"(?s)caffe test --model=.*: failed \(signal 6\); it said last:\n.*gone.caffemodel"
    ):
        output_values(Engine(caffe), scoring_net, Path("gone.caffemodel"), 1, ["label"])


def test_the_layers_that_compute_a_blob_are_those_of_the_test_phase(small_net: tuple[np.ndarray, np.ndarray]) -> None:
    net = prototxt.read_net(Path("net.prototxt"))
    for blobs, names in (
        ({"label"}, ["data"]),
        ({"fc1"}, ["data", "fc1", "relu1"]),
        ({"fc2", "label"}, ["data", "fc1", "relu1", "fc2"]),
        ({"none"}, []),
    ):
        layers = layers_producing(blobs, net)
        assert [layer.name for layer in layers] == names
        assert all(rule.phase == 1 for layer in layers for rule in layer.include)
