"""The wheel of torchcaffe: what it holds, and that it trains where nothing but it and its requirements is installed."""

import re
import shutil
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import torchcaffe
from tests.helpers.engine_runs import make_data
from tests.helpers.wheel_venv import WheelVenv, pip

pytestmark = pytest.mark.slow

PACKAGES = ("caffeformat", "torchcaffe")

NET = """
layer {
  name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { scale: 0.0078125 mean_file: "mean.binaryproto" }
  data_param { source: "train" batch_size: 15 backend: LMDB }
}
layer {
  name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { scale: 0.0078125 mean_file: "mean.binaryproto" }
  data_param { source: "val" batch_size: 20 backend: LMDB }
}
layer {
  name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 8 stride: 8 weight_filler { type: "xavier" } }
}
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer {
  name: "fc2" type: "InnerProduct" bottom: "conv1" top: "fc2"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } }
}
layer { name: "accuracy" type: "Accuracy" bottom: "fc2" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc2" bottom: "label" top: "loss" }
"""

SOLVER = """
net: "net.prototxt" test_iter: 2 test_interval: 150 base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 display: 50
max_iter: 150 snapshot: 150 snapshot_prefix: "small" solver_mode: CPU random_seed: 1
"""


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the checkout in which an earlier build left files of modules that are gone."""
    source = tmp_path_factory.mktemp("source")
    for name in (*PACKAGES, "tools", "tests", "setup"):
        shutil.copytree(checkout / name, source / name)
    for name in (".gitignore", "LICENSE", "LICENSE-CAFFE", "pyproject.toml"):
        shutil.copy(checkout / name, source)
    for name in ("build/lib/torchcaffe/removed.py", "torchcaffe.egg-info/SOURCES.txt", "dist/torchcaffe-0.0.1.tar.gz"):
        (source / name).parent.mkdir(parents=True)
        (source / name).write_text("torchcaffe/removed.py\n")
    wheels = tmp_path_factory.mktemp("wheels")
    pip("wheel", "-q", "--no-index", "--no-deps", "--no-build-isolation", "-w", wheels, source)
    (built,) = wheels.iterdir()
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> WheelVenv:
    return WheelVenv(tmp_path_factory.mktemp("venv"), wheel)


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """A folder with a solver, a net, two LMDBs and a mean."""
    make_data(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    return tmp_path


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name))


def accuracy(log: str) -> float:
    """The last accuracy in the log of `train` or `test`."""
    return float(re.findall(r"accuracy = ([0-9.]+)", log)[-1])


def test_the_wheel_holds_every_file_of_both_packages_the_licences_and_nothing_else(wheel, checkout):
    files = {
        str(file.relative_to(checkout))
        for package in PACKAGES
        for file in (checkout / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    about = f"torchcaffe-{torchcaffe.__version__}.dist-info"
    files |= {f"{about}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")}
    files |= {f"{about}/licenses/{name}" for name in ("LICENSE", "LICENSE-CAFFE")}
    assert set(zipfile.ZipFile(wheel).namelist()) == files
    assert {f"{package}/py.typed" for package in PACKAGES} | {"caffeformat/caffeformat_pb2.pyi"} <= files


def test_it_requires_pytorch_and_what_reads_caffes_files_and_nothing_of_the_pipelines(wheel):
    about = metadata(wheel)
    assert (about["Name"], about["Version"]) == ("torchcaffe", torchcaffe.__version__)
    requirements = [Requirement(line) for line in about.get_all("Requires-Dist")]
    assert {r.name for r in requirements if r.marker is None} == {"lmdb", "numpy", "protobuf", "torch"}
    optional = {(r.name, str(r.marker)) for r in requirements if r.marker is not None}
    extras = {
        "draw": ["pydot"],
        "hdf5": ["h5py"],
        "images": ["opencv-python-headless"],
        "leveldb": ["plyvel"],
        "onnx": ["onnx", "onnxruntime"],
        "pycaffe": ["pillow", "scipy"],
        "safetensors": ["safetensors"],
    }
    assert optional == {(name, f'extra == "{extra}"') for extra, names in extras.items() for name in names}


def test_installed_outside_the_checkout_it_trains_a_net_and_tests_what_it_trained(environment, experiment):
    where = "import caffeformat, torchcaffe; print(caffeformat.__file__, torchcaffe.__file__, sep='\\n')"
    for file in environment.run("python", "-c", where, cwd=experiment).split():
        assert Path(file).is_relative_to(environment.packages)
    version = environment.run("torchcaffe", "--version", cwd=experiment)
    assert version == f"torchcaffe version {torchcaffe.__version__}\n"

    log = environment.run("torchcaffe", "train", "--solver=solver.prototxt", cwd=experiment)
    assert "Optimization Done." in log
    assert accuracy(log) > 0.9, "five classes: chance is 0.2"
    arguments = ("--model=net.prototxt", "--weights=small_iter_150.caffemodel", "--iterations=2")
    log = environment.run("torchcaffe", "test", *arguments, cwd=experiment)
    assert accuracy(log) > 0.9


def test_pip_finds_each_requirement_met(environment):
    assert "No broken requirements found." in pip("--python", environment.python, "check")


def test_without_pytorch_a_command_ends_with_one_line_that_says_what_to_install(wheel, experiment, tmp_path_factory):
    bare = WheelVenv(tmp_path_factory.mktemp("bare"), wheel, without=frozenset({"torch"}))
    output = bare.run("torchcaffe", "train", "--solver=solver.prototxt", cwd=experiment, status=1)
    assert len(output.splitlines()) == 1 and "pip install torch" in output
