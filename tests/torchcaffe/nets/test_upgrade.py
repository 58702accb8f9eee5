"""Nets of 2014 (V1) and 2016, and old solver types: upgraded as real Caffe does it, word for word."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from tests.helpers import engine_runs
from tests.helpers.both_engines import Both, Figures
from tests.helpers.old_nets import assert_upgraded_as_by_caffe
from tests.helpers.small_net import TRAIN, experiment

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


@pytest.mark.parametrize("text", [V1, BATCH_NORM], ids=["V1", "BatchNorm"])
def test_the_new_net_and_the_log_are_those_of_caffes_own_tool(
    caffe_tools: Path, tmp_path: Path, capsys, monkeypatch, text
) -> None:
    assert_upgraded_as_by_caffe(text, caffe_tools, tmp_path, capsys, monkeypatch)


V1_NET = """
input: "x" input_dim: 2 input_dim: 3 input_dim: 9 input_dim: 9 input: "label" input_dim: 2 input_dim: 1 input_dim: 1
input_dim: 1 force_backward: true
layers { name: "conv" type: CONVOLUTION bottom: "x" top: "conv" blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "norm" type: LRN bottom: "conv" top: "norm" lrn_param { local_size: 3 alpha: 1 } }
layers { name: "pool" type: POOLING bottom: "norm" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layers { name: "ip" type: INNER_PRODUCT bottom: "pool" top: "ip" inner_product_param { num_output: 3
  weight_filler { type: "xavier" } } param: "shared" blob_share_mode: PERMISSIVE }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "ip" bottom: "label" top: "loss" loss_weight: 2 }
"""


def test_a_net_of_2014_means_what_it_means_to_caffe(real_caffe, tmp_path: Path, figures: Figures) -> None:
    text = V1_NET.replace('bottom: "ip" bottom: "label"', 'bottom: "ip" bottom: "label"')
    text = text.replace("force_backward: true", "")  # a label takes no gradient
    Both(real_caffe, text, tmp_path, label=np.array([0, 2]).reshape(2, 1, 1, 1)).agree(figures, "V1 prototxt")
    net = caffe.Net(tmp_path / "net.prototxt", caffe.TEST)
    assert [(p.lr_mult, p.decay_mult) for p in net.core.params.learnable[:2]] == [(1, 1), (2, 0)]


OLD = {"SGD": "SGD", "NESTEROV": "Nesterov", "ADAGRAD": "AdaGrad", "RMSPROP": "RMSProp"} | {
    "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
    "5": "Adam",
}


@pytest.mark.parametrize("old", OLD)
def test_an_old_solver_type_is_upgraded_as_in_caffe(caffe, small_data, tmp_path: Path, old: str) -> None:
    momentum = "" if OLD[old] in ("AdaGrad", "RMSProp") else "momentum: 0.9"
    settings = f"base_lr: 0.01 {momentum} solver_type: {old}"
    logs = {}
    for engine in ("real", "ours"):
        folder = experiment(tmp_path / engine, small_data, settings)
        text = (folder / "solver.prototxt").read_text().replace("max_iter: 20", "max_iter: 1")
        (folder / "solver.prototxt").write_text(text)
        logs[engine] = engine_runs.real(caffe, folder, *TRAIN) if engine == "real" else engine_runs.ours(folder, *TRAIN)
        assert logs[engine].code == 0, logs[engine].log[-2000:]
    engine_runs.same(logs["ours"], logs["real"])
    assert f'type: "{OLD[old]}"' in logs["ours"].log
