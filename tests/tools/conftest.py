"""Fixtures of the pipeline's tests: a project root, a trained project, a web server on this machine."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import trained_project
from tests.helpers.file_server import FileServer
from tests.helpers.made_once import made_once
from tools.protocol.experiment import Experiment, load
from tools.training.engine import Engine


@pytest.fixture
def server() -> Iterator[FileServer]:
    server = FileServer()
    yield server
    server.close()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project root, the current folder, where no setting names another engine than BVLC Caffe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CAFFE", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory, caffe: Path) -> Path:
    """A project whose five runs real Caffe has trained. Tests look at it; what they change is a copy: `trained`."""

    def train(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            on_the_cpu(patch)
            exp = trained_project.write_project(images)
            trained_project.prepare(exp)
            trained_project.train_all(exp, Engine(caffe))

    images = made_once(tmp_path_factory, "images", trained_project.write_images)
    return made_once(tmp_path_factory, "trained", train)


@pytest.fixture
def trained(trained_once: Path, root: Path, caffe: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """A copy of that project as the current folder; CAFFE names real Caffe."""
    on_the_cpu(monkeypatch)
    monkeypatch.setenv("CAFFE", str(caffe))
    shutil.copytree(trained_once, root, dirs_exist_ok=True)
    return load(Path("experiments/quick.yaml"))


@pytest.fixture
def engine(caffe: Path) -> Engine:
    return Engine(caffe)


def on_the_cpu(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("GPUS", "")
    patch.setenv("OPENBLAS_NUM_THREADS", "1")
