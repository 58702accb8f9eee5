"""Nets of 2013 (V0), 2014 (V1) and 2016: brought up to date as real Caffe brings them, word for word."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

import torchcaffe
from caffeformat import FormatError, prototxt
from tests.helpers import engine_runs
from tests.helpers.both_engines import Both, Figures
from tests.helpers.real_caffe import CaffeAborted, RealCaffe
from torchcaffe.common.log import Logger
from torchcaffe.nets import reader

PLAIN = ("accuracy", "bnll", "euclidean_loss", "flatten", "im2col", "multinomial_logistic_loss", "sigmoid", "softmax",
         "softmax_loss", "split", "tanh")  # fmt: skip
# Every setting of V0 and every type of layer that Caffe upgrades.
ALL_OF_V0 = """
name: "all" force_backward: true input: "x" input_dim: 2 input_dim: 3 input_dim: 9 input_dim: 9
layers { layer { name: "data" type: "data" source: "a" batchsize: 7 rand_skip: 5 scale: 0.5 meanfile: "m" cropsize: 3
  mirror: true } top: "d" top: "l" }
layers { layer { name: "h5" type: "hdf5_data" source: "b" batchsize: 8 } top: "e" }
layers { layer { name: "images" type: "images" source: "c" batchsize: 9 rand_skip: 6 shuffle_images: true new_height: 10
  new_width: 11 scale: 2 } top: "f" top: "fl" }
layers { layer { name: "window" type: "window_data" source: "w" batchsize: 4 det_fg_threshold: 0.6 det_bg_threshold: 0.4
  det_fg_fraction: 0.3 det_context_pad: 2 det_crop_mode: "square" mirror: false } top: "g" top: "gl" }
layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "x" top: "padded" }
layers { layer { name: "conv" type: "conv" num_output: 4 biasterm: false kernelsize: 3 stride: 2 group: 1 blobs_lr: 1
  blobs_lr: 2 weight_decay: 3 weight_decay: 0 weight_filler { type: "xavier" } bias_filler { value: 1 } }
  bottom: "padded" top: "conv" }
layers { layer { name: "conv1" type: "conv" num_output: 4 pad: 1 kernelsize: 3 } bottom: "x" top: "conv1" }
layers { layer { name: "relu" type: "relu" } bottom: "conv" top: "conv" }
layers { layer { name: "pad2" type: "padding" pad: 1 } bottom: "conv" top: "padded2" }
layers { layer { name: "pool" type: "pool" pool: STOCHASTIC kernelsize: 2 stride: 2 } bottom: "padded2" top: "pool" }
layers { layer { name: "ave" type: "pool" pool: AVE kernelsize: 2 pad: 1 } bottom: "conv" top: "ave" }
layers { layer { name: "norm" type: "lrn" local_size: 3 alpha: 2 beta: 0.5 k: 2 } bottom: "pool" top: "norm" }
layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.3 } bottom: "norm" top: "norm" }
layers { layer { name: "ip" type: "innerproduct" num_output: 5 biasterm: true weight_filler { type: "gaussian" std: 2 }
  bias_filler { value: 3 } } bottom: "norm" top: "ip" }
layers { layer { name: "join" type: "concat" concat_dim: 1 } bottom: "ip" bottom: "ip" top: "join" }
layers { layer { name: "info" type: "infogain_loss" source: "i" } bottom: "ip" bottom: "l" }
layers { layer { name: "out" type: "hdf5_output" hdf5_output_param { file_name: "o" } } bottom: "ip" bottom: "l" }
layers { bottom: "ip" top: "nothing" }
""" + "\n".join(
    f'layers {{ layer {{ name: "{type_}" type: "{type_}" }} bottom: "ip" top: "{type_}" }}' for type_ in PLAIN
)
MISPLACED = """
input: "x" input_dim: 1 input_dim: 1 input_dim: 1 input_dim: 1
layers { layer { name: "l" type: "relu" num_output: 1 biasterm: true weight_filler { } bias_filler { } pad: 1
  kernelsize: 1 group: 1 stride: 1 pool: AVE dropout_ratio: 0.3 local_size: 3 alpha: 1 beta: 1 k: 1 source: "s" scale: 1
  batchsize: 1 rand_skip: 1 shuffle_images: true new_height: 1 new_width: 1 concat_dim: 1 det_fg_threshold: 1
  det_bg_threshold: 1 det_fg_fraction: 1 det_context_pad: 1 det_crop_mode: "c" hdf5_output_param { file_name: "o" } }
  bottom: "x" top: "y" }
"""
V1 = """
layers { name: "d" type: DATA top: "d" top: "l" data_param { source: "a" scale: 2 mean_file: "m" crop_size: 3
  mirror: true } }
layers { name: "i" type: IMAGE_DATA top: "i" top: "j" image_data_param { source: "a" scale: 2 mirror: true } }
layers { name: "w" type: WINDOW_DATA top: "w" top: "v" window_data_param { source: "a" crop_size: 2 } }
layers { name: "c" type: CONVOLUTION bottom: "d" top: "c" param: "shared" blob_share_mode: PERMISSIVE blobs_lr: 1
  blobs_lr: 2 weight_decay: 1 convolution_param { num_output: 2 kernel_size: 3 } include { phase: TRAIN } }
layers { name: "s" type: SOFTMAX_LOSS bottom: "c" bottom: "l" top: "s" loss_weight: 2 loss_param { ignore_label: 1 } }
"""
BATCH_NORM = """
layer { name: "n" type: "BatchNorm" bottom: "x" top: "y" param { lr_mult: 1 } param { decay_mult: 2 }
  param { name: "p" } }
layer { name: "m" type: "BatchNorm" bottom: "x" top: "z" param { lr_mult: 0 } }
"""


@pytest.mark.parametrize("text", [ALL_OF_V0, MISPLACED, V1, BATCH_NORM], ids=["V0", "misplaced", "V1", "BatchNorm"])
def test_the_new_net_and_the_log_are_those_of_caffes_own_tool(
    caffe_tools: Path, tmp_path: Path, capsys, monkeypatch, text
) -> None:
    """Given an old net, when it is read, then it is what upgrade_net_proto_text writes, with the same complaints."""
    (tmp_path / "old.prototxt").write_text(text)
    tool = caffe_tools / "upgrade_net_proto_text"
    done = subprocess.run([tool, "old.prototxt", "new.prototxt"], cwd=tmp_path, capture_output=True, text=True)
    right = prototxt.read_net(tmp_path / "new.prototxt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Logger, "enabled", True)
    source = reader.read("old.prototxt")
    assert prototxt.to_text(source.param) == prototxt.to_text(right)
    assert len(source.places) == len(right.layer)
    theirs = [line for line in engine_runs.Run(0, done.stderr).lines() if "upgrade_net_proto_text.cpp" not in line]
    assert engine_runs.Run(0, capsys.readouterr().err).lines() == theirs
    assert len(theirs) > 1


V0 = """
name: "old" input: "x" input_dim: 2 input_dim: 3 input_dim: 9 input_dim: 9 input: "label" input_dim: 2 input_dim: 1
input_dim: 1 input_dim: 1
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "x" top: "padded" }
layers { layer { name: "conv" type: "conv" num_output: 4 kernelsize: 3 blobs_lr: 1 blobs_lr: 2
  weight_filler { type: "xavier" } } bottom: "padded" top: "conv" }
layers { layer { name: "relu" type: "relu" } bottom: "conv" top: "conv" }
layers { layer { name: "pool" type: "pool" kernelsize: 2 stride: 2 } bottom: "conv" top: "pool" }
layers { layer { name: "norm" type: "lrn" local_size: 3 alpha: 2 } bottom: "pool" top: "norm" }
layers { layer { name: "ip" type: "innerproduct" num_output: 5 weight_filler { type: "xavier" } } bottom: "norm"
  top: "ip" }
layers { layer { name: "loss" type: "softmax_loss" } bottom: "ip" bottom: "label" top: "loss" }
"""


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


DAMAGED = {"a param": b"\xa2\x06\x08\x0a\x02ip\x32\x02\xff\xff", "a bottom": b"\x12\x08\x22\x02ip\x12\x02\xff\xff"}


@pytest.mark.parametrize("layer", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_caffemodel_whose_layers_have_damaged_settings_is_refused(tmp_path: Path, layer: bytes) -> None:
    (tmp_path / "net.prototxt").write_text(V0)
    (tmp_path / "bad.caffemodel").write_bytes(layer)
    net = torchcaffe.Net(tmp_path / "net.prototxt", torchcaffe.TEST)
    with pytest.raises(FormatError, match=r"bad.caffemodel: no caffemodel, or damaged: the settings of its layers"):
        net.copy_from(tmp_path / "bad.caffemodel")
