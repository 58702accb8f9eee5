"""Nets of 2013 (V0), and what an upgrade of an old net has to give."""

import subprocess
from pathlib import Path

import pytest

from caffeformat import prototxt
from tests.helpers import engine_runs
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


def assert_upgraded_as_by_caffe(
    text: str, caffe_tools: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The net in `text` is read as what upgrade_net_proto_text writes, with the same log lines."""
    (folder / "old.prototxt").write_text(text)
    tool = caffe_tools / "upgrade_net_proto_text"
    done = subprocess.run([tool, "old.prototxt", "new.prototxt"], cwd=folder, capture_output=True, text=True)
    right = prototxt.read_net(folder / "new.prototxt")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(Logger, "enabled", True)
    found = reader.read("old.prototxt")
    assert prototxt.to_text(found.param) == prototxt.to_text(right)
    assert len(found.places) == len(right.layer)
    theirs = [line for line in engine_runs.Run(0, done.stderr).lines() if "upgrade_net_proto_text.cpp" not in line]
    assert engine_runs.Run(0, capsys.readouterr().err).lines() == theirs
    assert len(theirs) > 1
