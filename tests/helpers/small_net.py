"""A small net on `engine_runs.make_data`'s images, with crop, mirror and dropout, for whole runs that take a second."""

import re
import shutil
from pathlib import Path

from tests.helpers import engine_runs

NET = """
name: "small"
layer {
  name: "data" type: "Data" top: "data" top: "label"
  data_param { source: "train" backend: LMDB batch_size: 8 }
  transform_param { crop_size: 40 mirror: true scale: 0.015625 mean_file: "mean.binaryproto" }
}
layer {
  name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 5 stride: 3 weight_filler { type: "xavier" } }
}
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer {
  name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } }
}
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
RUN = """
net: "net.prototxt" lr_policy: "fixed" weight_decay: 0.001 max_iter: 20 snapshot: 10 display: 1
snapshot_prefix: "out" solver_mode: CPU random_seed: 1
"""
TRAIN = ("train", "--solver=solver.prototxt")
RESUME = (*TRAIN, "--snapshot=out_iter_10.solverstate")


def experiment(folder: Path, data: Path, solver: str) -> Path:
    folder.mkdir(exist_ok=True)
    for path in data.iterdir():
        shutil.copytree(path, folder / path.name) if path.is_dir() else shutil.copy(path, folder)
    (folder / "solver.prototxt").write_text(f"{RUN} {solver}\n")
    return folder


def fatal(run: engine_runs.Run) -> str:
    """The place in Caffe's source of the mistake that ended a run."""
    (place,) = re.findall(r"^F\d{4} [\d:.]+ +\d+ (\S+:\d+)\] ", run.log, re.MULTILINE)
    return place
