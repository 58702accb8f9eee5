"""What a run's result depends on, and whether a finished run is up to date with it."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.shell_scripts import stand_in
from tools.common.files import load_json, sha256, write_json
from tools.mean import mean
from tools.pack import pack
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run, split_of
from tools.protocol.runs import find_run
from tools.split import split
from tools.training.engine import Engine
from tools.training.inputs import (
    NotReady,
    has_same_images,
    lacks_predictions,
    put_back_manifest,
    run_inputs,
    run_stage,
    trained_weights,
)


@pytest.fixture
def run(trained: Experiment) -> Run:
    return find_run(trained, "caffe", "A2B/n0004/S1T/seed0")


def test_the_inputs_are_prototxts_lists_mean_weights_and_engine(trained: Experiment, run: Run, engine: Engine) -> None:
    inputs = run_inputs(trained, run, engine)
    place = split_of(trained, 0)
    source = find_run(trained, "caffe", "B2A/n0012/base/seed0")
    assert inputs == {
        "train_val.prototxt": sha256(run.folder / "train_val.prototxt"),
        "solver.prototxt": sha256(run.folder / "solver.prototxt"),
        "train_list": sha256(place.list_file("B/n0004")),
        "val_list": sha256(place.list_file("B/val")),
        "mean": sha256(place.mean("B", 4)),
        "weights": sha256(source.folder / "net_iter_40.caffemodel"),
        "engine": "caffe version 1.0.0",
    }
    assert "weights" not in run_inputs(trained, source, engine)
    assert run_stage(trained, run, engine).is_complete


def test_a_run_is_up_to_date_until_one_of_them_changes(
    trained: Experiment, run: Run, engine: Engine, tmp_path: Path
) -> None:
    manifest = load_json(run.manifest)
    other = Engine(stand_in(tmp_path / "bin", "caffe", "echo caffe version 1.0.1"))
    assert run_stage(trained, run, other).changed(manifest) == ["engine"]
    longer = load(Path("experiments/quick.yaml"))
    template = Path("prototxt/three/train_val.prototxt")
    template.write_text(template.read_text().replace("num_output: 10", "num_output: 11"))
    assert run_stage(longer, run, engine).changed(manifest) == ["train_val.prototxt"]
    assert not run_stage(longer, run, engine).is_complete


def test_a_manifest_of_before_snapshot_after_train_was_written_is_up_to_date(
    trained: Experiment, run: Run, engine: Engine
) -> None:
    manifest = load_json(run.manifest)
    solver = (run.folder / "solver.prototxt").read_text()
    assert "snapshot_after_train: true\n" in solver
    without = solver.replace("snapshot_after_train: true\n", "")
    manifest["inputs"]["solver.prototxt"] = hashlib.sha256(without.encode()).hexdigest()
    write_json(run.manifest, manifest)
    assert run_stage(trained, run, engine).is_complete
    other = load(Path("experiments/quick.yaml"), "base_lr=0.5")
    assert run_stage(other, run, engine).changed(load_json(run.manifest)) == ["solver.prototxt"]


def test_a_validation_image_that_was_replaced_makes_the_run_stale(
    trained: Experiment, run: Run, engine: Engine
) -> None:
    """The list and the mean stay the same; the accuracy does not."""
    assert run_stage(trained, run, engine).is_complete
    name = load_json(split_of(trained, 0).marker)["classes"][run.target][0]
    image = Path(trained.path or "") / f"val/{name}/00.png"
    before = image.read_bytes()
    try:
        shutil.copyfile(image.with_name("01.png"), image)
        assert split(trained, 0) and pack(trained, 0)
        mean(trained, 0)
    finally:
        image.write_bytes(before)  # other tests use these images
    assert run_stage(trained, run, engine).changed(load_json(run.manifest)) == ["val_images"]
    assert not has_same_images(trained, run, load_json(run.folder / "train.json"))
    older = load_json(run.manifest)
    for entry in ("train_images", "val_images"):
        del older["used"][entry]
    assert run_stage(trained, run, engine).changed(older) == []


@pytest.mark.parametrize("text", ["{}", "[]", "", "null", '{"list_sha256"'])
def test_a_mark_that_cannot_be_read_counts_as_missing(trained: Experiment, run: Run, engine: Engine, text: str) -> None:
    (split_of(trained, 0).val_lmdb(run.target) / "pack.json").write_text(text)
    with pytest.raises(NotReady, match="val: no LMDB yet; run `python -m tools pack"):
        run_inputs(trained, run, engine)


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("split.json", r"split\.json: not there yet; run `python -m tools split experiments/quick\.yaml` first"),
        ("12x12-gray/B/n0004/data.mdb", r"n0004: no LMDB yet; run `python -m tools pack"),
        ("12x12-gray/B/val/pack.json", r"val: no LMDB yet; run `python -m tools pack"),
        ("12x12-gray/B/n0004/mean.binaryproto", r"mean\.binaryproto: not there yet; run `python -m tools mean"),
    ],
)
def test_what_is_missing_is_named_with_the_verb_that_makes_it(
    trained: Experiment, run: Run, engine: Engine, gone: str, message: str
) -> None:
    (split_of(trained, 0).folder / gone).unlink()
    with pytest.raises(NotReady, match=message):
        run_inputs(trained, run, engine)
    assert not run_stage(trained, run, engine).is_complete


def test_the_weights_of_a_source_net_are_known_once_it_is_finished(trained: Experiment) -> None:
    source = find_run(trained, "caffe", "B2A/n0012/base/seed0")
    file, digest = trained_weights(source)
    assert digest == sha256(file)
    source.manifest.unlink()
    with pytest.raises(NotReady, match="B2A/n0012/base/seed0: its source net is not trained yet; run `python -m tools"):
        trained_weights(source)


def test_a_manifest_that_was_set_aside_comes_back_only_if_it_is_up_to_date(
    trained: Experiment, run: Run, engine: Engine
) -> None:
    run.manifest.rename(run.stale_manifest)
    put_back_manifest(trained, run, engine)
    assert run.manifest.exists() and not run.stale_manifest.exists()
    manifest = load_json(run.manifest)
    run.manifest.unlink()
    write_json(run.stale_manifest, manifest | {"inputs": manifest["inputs"] | {"weights": "0" * 64}})
    put_back_manifest(trained, run, engine)
    assert not run.manifest.exists()


def test_predictions_are_lacking_where_the_net_could_still_make_them(run: Run, trained: Experiment) -> None:
    manifest = load_json(run.manifest)
    assert not lacks_predictions(run, manifest)
    (run.folder / "predictions.npz").write_bytes(b"")
    assert lacks_predictions(run, manifest)
    assert lacks_predictions(run, {key: value for key, value in manifest.items() if key != "predictions"})
    assert not lacks_predictions(run, manifest | {"result": {"status": "diverged"}})
    (run.folder / "net_iter_40.caffemodel").unlink()
    assert not lacks_predictions(run, manifest)


def test_a_precision_is_an_input_unless_it_is_fp32(trained: Experiment, run: Run, engine: Engine) -> None:
    rounding = replace(engine, precision="bf16")
    assert run_inputs(trained, run, rounding) == run_inputs(trained, run, engine) | {"precision": "bf16"}
    manifest = load_json(run.manifest)
    assert run_stage(trained, run, rounding).changed(manifest) == ["precision"]
    manifest["inputs"]["precision"] = "bf16"
    assert run_stage(trained, run, engine).changed(manifest) == ["precision"]
