"""Nets of 2013 (V0): upgraded as real Caffe does it, word for word."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe
from caffeformat import FormatError
from tests.helpers import engine_runs
from tests.helpers.both_engines import Both, Figures
from tests.helpers.old_nets import ALL_OF_V0, MISPLACED, V0, assert_upgraded_as_by_caffe
from tests.helpers.real_caffe import CaffeAborted, RealCaffe


@pytest.mark.parametrize("text", [ALL_OF_V0, MISPLACED], ids=["every setting", "misplaced settings"])
def test_the_new_net_and_the_log_are_those_of_caffes_own_tool(
    caffe_tools: Path, tmp_path: Path, capsys, monkeypatch, text
) -> None:
    assert_upgraded_as_by_caffe(text, caffe_tools, tmp_path, capsys, monkeypatch)


def test_a_net_of_2013_means_what_it_means_to_caffe(real_caffe: RealCaffe, tmp_path: Path, figures: Figures) -> None:
    both = Both(real_caffe, V0, tmp_path, label=np.array([0, 2]).reshape(2, 1, 1, 1))
    both.agree(figures, "V0 prototxt")
    assert [p.lr_mult for p in both.net.core.params.learnable[:2]] == [1, 2]


# Writes a caffemodel as Caffe of 2013 wrote it: the layers as they were then, with their blobs.
SAVE_V0 = """
from caffe.proto import caffe_pb2
from google.protobuf import text_format
new = caffe.Net(given["net"], caffe.TEST)
old = text_format.Parse(open(given["net"]).read(), caffe_pb2.NetParameter())
for layer in old.layers:
    for blob in new.params.get(layer.layer.name, []):
        shape = [1] * (4 - blob.data.ndim) + list(blob.data.shape)
        proto = layer.layer.blobs.add(num=shape[0], channels=shape[1], height=shape[2], width=shape[3])
        proto.data.extend(blob.data.flat)
open(given["model"], "wb").write(old.SerializeToString())
"""


def test_weights_of_2013_are_loaded_with_caffes_own_words(real_caffe, caffe: Path, tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(V0)
    real_caffe.run(SAVE_V0, net=str(tmp_path / "net.prototxt"), model=str(tmp_path / "old.caffemodel"))
    (tmp_path / "net.prototxt").write_text(V0.replace('name: "relu"', 'name: "other"'))
    arguments = ("test", "--model=net.prototxt", "--weights=old.caffemodel", "--iterations=1")
    right, found = engine_runs.real(caffe, tmp_path, *arguments), engine_runs.ours(tmp_path, *arguments)
    assert (found.code, right.code) == (0, 0), found.log[-2000:] + right.log[-2000:]
    engine_runs.same(found, right)
    assert found.lines().count("I net.cpp:746] Ignoring source layer relu") == 1


PAD = 'layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "x" top: "p" }\n'

REFUSALS = {
    "an unknown type": ('layers { layer { name: "l" type: "foo" } bottom: "x" top: "y" }', "2: .*layer name: foo"),
    "an unknown bottom": ('layers { layer { name: "l" type: "relu" } bottom: "z" top: "y" }', "2: Unknown blob .* z"),
    "a padding before a relu": (PAD + 'layers { layer { name: "l" type: "relu" } bottom: "p" top: "y" }',
                                "3: Padding layer input to non-conv.* relu"),
    "a padding beside another bottom": (PAD + 'layers { layer { name: "l" type: "conv" } bottom: "p" bottom: "x" }',
                                        "3: layer 'l'.* takes a single blob"),
    "a padding of two": (PAD.replace("top", 'top: "q" top') + 'layers { layer { type: "conv" } bottom: "p" top: "y" }',
                         "3: the padding layer 'pad' takes a single"),
}  # fmt: skip


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_does_not_upgrade_is_refused_with_its_line(real_caffe, tmp_path, layers, message) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text('input: "x" input_dim: 2 input_dim: 3 input_dim: 5 input_dim: 5\n' + layers)
    with pytest.raises(FormatError, match=f"net.prototxt:{message}"):
        torchcaffe.Net(path, torchcaffe.TEST)
    with pytest.raises(CaffeAborted):
        real_caffe.run('caffe.Net(given["path"], 1)', path=str(path))
