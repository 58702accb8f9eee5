"""What the tests of torchcaffe share: the figures of parity, data for small runs."""

from pathlib import Path

import numpy as np
import pytest

from caffeformat import blobs
from caffeformat.caffeformat_pb2 import NetParameter
from tests.helpers import engine_runs, small_net
from tests.helpers.both_engines import figures
from tests.helpers.small_net import NET, TRAIN
from torchcaffe.common import context
from torchcaffe.common.log import Logger

__all__ = ["figures"]


@pytest.fixture(autouse=True)
def _settings_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script's first net switches the log on, and set_execution holds, for the rest of the process."""
    monkeypatch.setattr(Logger, "enabled", False)
    monkeypatch.setattr(Logger, "level", 0)
    monkeypatch.setattr(context.current(), "data", "auto")
    monkeypatch.setattr(context.current(), "step", "auto")


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data and the net of `small_net.experiment`."""
    folder = tmp_path_factory.mktemp("small_data")
    engine_runs.make_data(folder)
    (folder / "net.prototxt").write_text(NET)
    return folder


LEARNING = {"lr_policy": '"multistep"', "stepvalue": 7, "gamma": 0.5, "average_loss": 4}


@pytest.fixture(scope="session")
def learning(caffe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each engine, after 20 iterations of a net that learns, with snapshots at 10 and 20."""
    folders = {}
    for engine in ("caffe", "torchcaffe"):
        folder = folders[engine] = tmp_path_factory.mktemp(f"learning-{engine}")
        engine_runs.make_experiment(folder, engine_runs.slim_alexnet(xavier=True), **LEARNING)
        run = engine_runs.real(caffe, folder, *TRAIN) if engine == "caffe" else engine_runs.ours(folder, *TRAIN)
        assert run.code == 0, run.log[-2000:]
        (folder / "log").write_text(run.log)
    return folders


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slim AlexNet after two iterations, and beside it wrong or damaged files: nets, solvers, weights, an LMDB."""
    folder = tmp_path_factory.mktemp("experiment")
    engine_runs.make_experiment(folder, engine_runs.slim_alexnet(xavier=True), max_iter=2, snapshot=0, test_interval=2)
    assert engine_runs.ours(folder, "train", "--solver=solver.prototxt").code == 0
    (folder / "cut.caffemodel").write_bytes((folder / "out_iter_2.caffemodel").read_bytes()[:100_000])
    (folder / "cut.solverstate").write_bytes((folder / "out_iter_2.solverstate").read_bytes()[:100_000])
    net = (folder / "net.prototxt").read_text()
    (folder / "small.binaryproto").write_bytes(blobs.mean_bytes(np.zeros((3, 8, 8), np.float32)))
    (folder / "mean_net.prototxt").write_text(net.replace("mean.binaryproto", "small.binaryproto"))
    (folder / "cut_net.prototxt").write_text(net.replace('"train"', '"cut_lmdb"'))
    (folder / "cut_lmdb").mkdir()
    (folder / "cut_lmdb" / "data.mdb").write_bytes((folder / "train" / "data.mdb").read_bytes()[:-8192])
    other = NetParameter()
    other.layer.add(name="fc8").blobs.extend([blobs.array_to_blob(np.zeros((2, 3))), blobs.array_to_blob(np.zeros(5))])
    (folder / "other.caffemodel").write_bytes(other.SerializeToString())
    (folder / "no_data.prototxt").write_text((folder / "net.prototxt").read_text().replace('"train"', '"nowhere"'))
    (folder / "misspelt.prototxt").write_text(engine_runs.solver_text().replace("gamma", "gama"))
    for name, settings in {
        "type": {"type": '"NoSuchSolver"'},
        "policy": {"lr_policy": '"stpe"'},
        "no_data_solver": {"net": '"no_data.prototxt"'},
        "mean": {"net": '"mean_net.prototxt"'},
        "cut_lmdb": {"net": '"cut_net.prototxt"'},
        "nowhere": {"snapshot_prefix": '"nowhere/out"'},
        "long": {"snapshot_prefix": '"long"', "max_iter": 10000, "snapshot": 0, "display": 1, "test_interval": 10000},
    }.items():
        (folder / f"{name}.prototxt").write_text(engine_runs.solver_text(**settings))
    return folder


@pytest.fixture(scope="session")
def trained_small(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of the small net, with snapshots at 10 and 20. Tests do not change it."""
    folder = small_net.experiment(tmp_path_factory.mktemp("trained") / "run", small_data, "base_lr: 0.01 momentum: 0.9")
    assert engine_runs.ours(folder, *TRAIN).code == 0
    return folder
