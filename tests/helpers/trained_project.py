"""A project whose runs real Caffe trains in a moment: four classes of small images, a net of three layers."""

from pathlib import Path

import numpy as np
from PIL import Image

from tools.fetch import fetch
from tools.mean import mean
from tools.pack import pack
from tools.protocol.experiment import Experiment, load
from tools.protocol.runs import runs_of
from tools.run import run_one
from tools.split import split
from tools.training.engine import Engine

TRAIN, VAL = 12, 20  # images a class
EXPERIMENT = """\
dataset: folder
path: {images}
image_size: 12
gray: true
full_size: 12
sizes: [12, 4]
directions: [A2B]
conditions: [base, S1T]
model: three
solver: quick
train_batch_size: 8
test_batch_size: 20
"""
_FILLED = 'weight_filler { type: "xavier" } } param { lr_mult: 1 } param { lr_mult: 2 }'
NET = f"""\
name: "Three"
layer {{ name: "data" type: "Data" top: "data" top: "label" include {{ phase: TRAIN }}
  transform_param {{ scale: 0.0078125 mean_file: "x" }} data_param {{ source: "x" batch_size: 1 backend: LMDB }} }}
layer {{ name: "data" type: "Data" top: "data" top: "label" include {{ phase: TEST }}
  transform_param {{ scale: 0.0078125 mean_file: "x" }} data_param {{ source: "x" batch_size: 1 backend: LMDB }} }}
layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param {{ num_output: 6 kernel_size: 4 stride: 4 {_FILLED} }}
layer {{ name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }}
layer {{ name: "fc2" type: "InnerProduct" bottom: "conv1" top: "fc2"
  inner_product_param {{ num_output: 10 {_FILLED} }}
layer {{ name: "relu2" type: "ReLU" bottom: "fc2" top: "fc2" }}
layer {{ name: "fc3" type: "InnerProduct" bottom: "fc2" top: "fc3"
  inner_product_param {{ num_output: 1 {_FILLED} }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "fc3" bottom: "label" top: "accuracy" include {{ phase: TEST }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "fc3" bottom: "label" top: "loss" }}
"""
SOLVER = """\
net: "x" test_iter: 1 test_interval: 20 base_lr: 0.05 momentum: 0.9 lr_policy: "fixed" display: 5 max_iter: 40
snapshot: 40 snapshot_prefix: "x" solver_mode: CPU
"""


def write_project(images: Path) -> Experiment:
    """Writes experiments/quick.yaml, its templates, and the folder `images`; no stage is done yet."""
    for file, text in (
        ("experiments/quick.yaml", EXPERIMENT.format(images=images)),
        ("prototxt/three/train_val.prototxt", NET),
        ("solvers/quick.prototxt", SOLVER),
    ):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(text)
    if not images.exists():
        write_images(images)
    return load(Path("experiments/quick.yaml"))


def write_images(folder: Path) -> None:
    """Noise with a bright quarter: which one is the class."""
    random = np.random.default_rng(0)
    for label, name in enumerate(("north", "east", "south", "west")):
        for part, count in (("train", TRAIN), ("val", VAL)):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 215, (12, 12), np.uint8)
                top, left = 6 * (label // 2), 6 * (label % 2)
                pixels[top : top + 6, left : left + 6] += 40
                Image.fromarray(pixels).save(folder / part / name / f"{number:02}.png")


def prepare(exp: Experiment) -> None:
    """All that comes before the trainings: fetch, split, pack, mean."""
    fetch(exp)
    split(exp, 0)
    pack(exp, 0)
    mean(exp, 0)


def train_all(exp: Experiment, engine: Engine) -> None:
    """Brings every run of the experiment to its end."""
    for run in runs_of(exp, engine.name):
        run_one(exp, run, engine)
