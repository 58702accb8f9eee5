"""Runs that are trained again: the same bytes with the same threads, or how far the nets are apart."""

import os
from pathlib import Path

import numpy as np
import pytest

from caffeformat.blobs import caffemodel_bytes, read_caffemodel
from tools.common.errors import UserError
from tools.common.files import read_json, sha256, write_record
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run
from tools.protocol.runs import find_run, source_run
from tools.run import run_one
from tools.training.engine import find_engine
from tools.training.machine import KERNELS
from tools.verification import rerun
from tools.verification.commands import Commands
from tools.verification.findings import Findings
from tools.verification.walk import manifests_of

NET = "net_iter_40.caffemodel"


@pytest.fixture
def finished(commands: Commands) -> dict[Run, dict]:
    return manifests_of(commands, Findings())


@pytest.fixture
def run(trained: Experiment) -> Run:
    return find_run(trained, "caffe", "A2B/n0004/S1T/seed0")


def test_the_draw_is_by_its_seed_and_among_runs_whose_source_net_is_here(
    trained: Experiment, finished: dict[Run, dict], run: Run
) -> None:
    first = rerun.draw(trained, finished, 3, 7)
    assert first == rerun.draw(trained, dict(reversed(finished.items())), 3, 7) and len(first) == 3
    assert len(rerun.draw(trained, finished, 99, 7)) == 5
    source = source_run(trained, run)
    assert source is not None
    (source.folder / NET).unlink()
    assert {other.condition for other in rerun.draw(trained, finished, 99, 7)} == {"base"}
    with pytest.raises(UserError, match="no finished run can be trained again here"):
        rerun.draw(trained, {run: finished[run]}, 1, 7)


def test_the_same_threads_give_the_same_bytes_and_the_results_are_left_as_they_are(
    trained: Experiment, finished: dict[Run, dict], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")  # the run was trained with one, and is again
    before = {path: sha256(path) for path in run.folder.iterdir() if path.is_file()}
    compared = rerun.train_again(trained, run, finished, "")
    assert (compared.equal, compared.text) == (True, "the same net, byte by byte")
    assert {path: sha256(path) for path in run.folder.iterdir() if path.is_file()} == before
    assert not [name for name in os.listdir("results") if name.startswith(".rerun")]


def another_net(trained: Experiment, run: Run) -> dict[Run, dict]:
    """A net that the recorded training does not give: a weight of the learning layers differs by 0.5."""
    layers = read_caffemodel(run.folder / NET)
    weights = layers["fc3_T"][0].copy()
    weights.flat[0] += np.float32(0.5)
    (run.folder / NET).write_bytes(caffemodel_bytes(layers | {"fc3_T": [weights, layers["fc3_T"][1]]}))
    manifest = read_json(run.manifest)
    manifest["model"]["sha256"] = sha256(run.folder / NET)
    write_record(run.manifest, manifest)
    return manifests_of(Commands(trained, "caffe", "python"), Findings())


def test_another_net_in_the_same_circumstances_is_one_that_must_not_be(trained: Experiment, run: Run) -> None:
    compared = rerun.train_again(trained, run, another_net(trained, run), "")
    assert not compared.equal and compared.must_be
    assert "weights differ by at most 0.5" in compared.text and "the same processor" in compared.text
    accuracy = f"{read_json(run.manifest)['result']['accuracy']:.6f}"
    assert f"accuracy {accuracy} then, {accuracy} now" in compared.text


@pytest.mark.parametrize("kernels", ["Haswell", None])
def test_openblas_takes_the_kernels_of_the_first_time(
    trained: Experiment, run: Run, monkeypatch: pytest.MonkeyPatch, kernels: str | None
) -> None:
    """Here the environment names others. A manifest that says nothing of them leaves them."""
    monkeypatch.setenv(KERNELS, "Barcelona")
    manifest = read_json(run.manifest)
    manifest["machine"]["kernels"] = kernels
    assert rerun._environment(manifest)[KERNELS] == (kernels or "")
    assert rerun._other_circumstances(manifest, manifest) == []
    other = {**manifest, "machine": {**manifest["machine"], "kernels": "SkylakeX"}}
    assert rerun._other_circumstances(manifest, other) == ["kernels"]
    del manifest["machine"]["kernels"]
    assert rerun._environment(manifest)[KERNELS] == "Barcelona"
    monkeypatch.delenv(KERNELS)
    assert rerun._environment(manifest)[KERNELS] == "", "as OpenBLAS chose, before the pipeline did"
    assert rerun._other_circumstances(manifest, other) == []


def test_what_differs_from_the_first_time_is_named(trained: Experiment, run: Run) -> None:
    finished = another_net(trained, run)
    finished[run]["machine"] = {"processor": "another one", "cores": 64, "threads": {"OPENBLAS_NUM_THREADS": "1"}}
    compared = rerun.train_again(trained, run, finished, "")
    assert not compared.must_be and compared.text.startswith("another net, with another processor, cores: ")
    del finished[run]["machine"]  # an older manifest
    (run.folder / NET).unlink()
    text = rerun.train_again(trained, run, finished, "").text
    assert "another processor, cores, threads" in text and "the first net is gone" in text


def test_a_training_that_fails_is_told(trained: Experiment, run: Run, finished: dict[Run, dict]) -> None:
    template = Path("solvers/quick.prototxt")
    template.write_text(template.read_text() + 'type: "none"\n')
    message = r"S1T/seed0: did not train again: .*solvers/quick\.prototxt:\d+: type: .none.; there are"
    with pytest.raises(UserError, match=message):
        rerun.train_again(trained, run, finished, "")


def test_weights_of_nets_with_other_layers_are_infinitely_far_apart(tmp_path: Path) -> None:
    for name, shape in (("a", (2, 3)), ("b", (3, 2))):
        (tmp_path / name).write_bytes(caffemodel_bytes({"fc": [np.ones(shape, np.float32)]}))
    assert rerun.weight_distance(tmp_path / "a", tmp_path / "b") == float("inf")
    assert rerun.weight_distance(tmp_path / "a", tmp_path / "a") == 0


@pytest.mark.slow
def test_torchcaffe_on_the_cpu_gives_the_same_bytes_again(trained: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFFE", "torchcaffe")
    engine = find_engine()
    exp = load(trained.file, "sizes=[4] conditions=[S1T]")
    for key in ("B2A/n0012/base/seed0", "A2B/n0004/S1T/seed0"):
        run_one(exp, find_run(exp, "torchcaffe", key), engine)
    commands = Commands(exp, "torchcaffe", "python")
    finished = manifests_of(commands, Findings())
    assert len(finished) == 2
    for run in finished:
        assert rerun.train_again(exp, run, finished, exp.overrides).equal
