"""What a training reads is what its manifest names: files that were exchanged are refused, before and meanwhile."""

import shutil
from pathlib import Path

import pytest

from tests.helpers.shell_scripts import stand_in
from tools.common.files import load_json, sha256, write_json
from tools.mean import mean
from tools.pack import pack
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run, split_of
from tools.protocol.runs import find_run
from tools.run import run_one
from tools.training.engine import Engine
from tools.training.inputs import NotReady, run_stage
from tools.training.process import RunFailed
from tools.training.used import Confirmation, used_files

CAFFEMODEL = "net_iter_40.caffemodel"


@pytest.fixture
def run(trained: Experiment) -> Run:
    """A run that copies from a source net, and that is to be trained again."""
    run = find_run(trained, "caffe", "A2B/n0004/S1T/seed0")
    run.manifest.unlink()
    (run.folder / "train.json").unlink()
    return run


@pytest.fixture
def source(trained: Experiment) -> Path:
    """The source net that `run` copies from."""
    return find_run(trained, "caffe", "B2A/n0012/base/seed0").folder / CAFFEMODEL


@pytest.fixture
def other(trained: Experiment) -> Path:
    """Another net of the same shapes."""
    return find_run(trained, "caffe", "A2B/n0012/base/seed0").folder / CAFFEMODEL


def exchange_header(lmdb: Path) -> None:
    data = bytearray((lmdb / "data.mdb").read_bytes())
    data[4096 + 100] ^= 1
    (lmdb / "data.mdb").write_bytes(data)


def test_the_manifest_names_the_bytes_that_were_used(
    trained: Experiment, run: Run, engine: Engine, source: Path
) -> None:
    split = split_of(trained, 0)
    assert run_one(trained, run, engine)["used"] == {
        "weights": sha256(source),
        "mean": sha256(split.mean("B", 4)),
        "train_data": sha256(split.train_lmdb("B", 4) / "data.mdb"),
        "val_data": sha256(split.val_lmdb("B") / "data.mdb"),
        "train_images": load_json(split.marker)["lists"]["B/n0004.txt"]["content"],
        "val_images": load_json(split.marker)["lists"]["B/val.txt"]["content"],
    }


def test_a_source_net_that_was_exchanged_is_refused_and_named_until_it_is_trained_again(
    trained: Experiment, run: Run, engine: Engine, source: Path, other: Path
) -> None:
    right = sha256(source)
    shutil.copy(other, source)
    with pytest.raises(RunFailed) as refused:
        run_one(trained, run, engine)
    said = str(refused.value)
    assert said.startswith(f"{source}: not the net that manifest.json beside it names: its sha256 is {sha256(other)}")
    assert right in said and said.endswith(
        f"`python -m tools sweep experiments/quick.yaml` trains it again: rm {source}"
    )
    assert load_json(run.failed)["error"] == said and not (run.folder / "train.json").exists()
    source.unlink()
    with pytest.raises(NotReady, match=r"net_iter_40\.caffemodel: gone .*sweep experiments/quick\.yaml` trains it"):
        run_one(trained, run, engine)
    (source.parent / "manifest.json").unlink()
    run_one(trained, find_run(trained, "caffe", "B2A/n0012/base/seed0"), engine)
    assert run_one(trained, run, engine)["used"]["weights"] == right == sha256(source)


def test_a_mean_that_was_exchanged_is_refused_until_it_is_computed_again(
    trained: Experiment, run: Run, engine: Engine
) -> None:
    split = split_of(trained, 0)
    shutil.copy(split.mean("A", 12), split.mean("B", 4))
    with pytest.raises(
        RunFailed, match=r"n0004/mean\.binaryproto: not the mean that .*mean\.json names: .* `python -m"
    ):
        run_one(trained, run, engine)
    assert mean(trained, 0)
    run_one(trained, run, engine)


@pytest.mark.parametrize("name", ["B/n0004", "B/val"])
def test_an_lmdb_that_was_changed_is_refused_until_it_is_packed_again(
    trained: Experiment, run: Run, engine: Engine, name: str
) -> None:
    lmdb = split_of(trained, 0).lmdb(name)
    exchange_header(lmdb)
    with pytest.raises(RunFailed, match=rf"{lmdb}/data\.mdb: not the bytes that pack wrote .*: rm -r {lmdb}"):
        run_one(trained, run, engine)
    shutil.rmtree(lmdb)
    assert pack(trained, 0)
    mean(trained, 0)
    assert run_one(trained, run, engine)["attempts"] == 2  # the refused one is not counted


def test_packs_and_manifests_without_checksums_stand(trained: Experiment, run: Run, engine: Engine) -> None:
    split = split_of(trained, 0)
    for lmdb in (split.train_lmdb("B", 4), split.val_lmdb("B")):
        record = load_json(lmdb / "pack.json")
        del record["data"]
        write_json(lmdb / "pack.json", record)
    split.means.unlink()
    manifest = run_one(trained, run, engine)
    assert manifest["used"]["train_data"] is manifest["used"]["val_data"] is None
    assert manifest["used"]["mean"] == manifest["inputs"]["mean"]
    del manifest["used"], manifest["resumed_at"]
    write_json(run.manifest, manifest)
    assert run_stage(trained, run, engine).is_complete
    assert run_one(trained, run, engine) == manifest


def test_a_source_net_that_is_exchanged_while_the_engine_starts_is_noticed(
    trained: Experiment, run: Run, engine: Engine, source: Path, other: Path, tmp_path: Path
) -> None:
    """The proof of the start sees the right net, and the training another one."""
    script = f'[ "$2" != --solver={run.folder}/solver.prototxt ] || cp {other} {source}; exec {engine.path} "$@"'
    with pytest.raises(RunFailed, match=r"not the net that manifest\.json beside it names"):
        run_one(trained, run, Engine(stand_in(tmp_path / "bin", "caffe", script)))
    log = (run.folder / "caffe.log").read_text()
    assert "Starting Optimization" in log and "Optimization Done" not in log


def test_the_files_are_compared_when_the_engine_starts_and_the_data_again_at_the_end(
    trained: Experiment, run: Run, source: Path
) -> None:
    used = used_files(trained, run)
    confirmation = Confirmation(trained, run, used)
    confirmation.take("I1128 10:00:00.000000 1 caffe.cpp:239] Starting Optimization\n")
    source.unlink()  # keep_models: none
    confirmation.at_the_end()
    exchange_header(split_of(trained, 0).train_lmdb("B", 4))
    with pytest.raises(RunFailed, match="not the bytes that pack wrote"):
        confirmation.at_the_end()
    with pytest.raises(NotReady, match="gone"):
        Confirmation(trained, run, used).at_the_end()
