"""Every file of a run is named when a bit of it has changed; inputs and copied layers are looked at again."""

import json
import subprocess
from pathlib import Path

import pytest

from caffeformat.blobs import caffemodel_bytes, read_caffemodel
from tests.helpers.flipped import flip
from tests.helpers.verified import run_command
from tools.common.files import read_json, sha256, write_json, write_record
from tools.planning.state import make_plan
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run
from tools.protocol.runs import find_run, source_run
from tools.training.engine import Engine

NET = "net_iter_40.caffemodel"
RENDERED, CSVS = ("train_val.prototxt", "solver.prototxt", "plan.txt"), ("train.csv", "test.csv")
PREDICTIONS = ("predictions.npz", "predict.prototxt")
FILES = {
    **dict.fromkeys(RENDERED, "python -m tools render experiments/quick.yaml {key}"),
    **dict.fromkeys(CSVS, "python -m tools parse {folder}/caffe.log {folder}"),
    **dict.fromkeys(PREDICTIONS, "rm -f {folder}/predict.prototxt {folder}/predictions.npz && python -m tools sweep"),
    **dict.fromkeys(("caffe.log", NET), "rm -r {folder} && python -m tools sweep experiments/quick.yaml"),
    "manifest.json": "rm -f {folder}/manifest.json && python -m tools sweep experiments/quick.yaml",
}


@pytest.fixture
def run(trained: Experiment) -> Run:
    return find_run(trained, "caffe", "A2B/n0004/S1T/seed0")


def edit(path: Path, **changed: object) -> None:
    record = read_json(path)
    record.pop("checksum")
    write_json(path, record | changed)


def without_checksums(path: Path) -> None:
    """Makes a manifest one of an older version."""
    record = read_json(path)
    write_json(path, {key: value for key, value in record.items() if key not in ("outputs", "used", "checksum")})


def test_a_changed_bit_is_the_one_fault_with_its_command(run: Run, look) -> None:
    for name, command in FILES.items():
        good = flip(run.folder / name)
        (fault,) = look().faults
        assert fault.file == run.folder / name
        assert fault.command.startswith(command.format(folder=run.folder, key=run.key))
        (run.folder / name).write_bytes(good)
    assert look().faults == []


@pytest.mark.parametrize("name", [*RENDERED, *CSVS])
def test_the_command_mends_it_without_training(run: Run, look, name: str) -> None:
    good, manifest = flip(run.folder / name), sha256(run.manifest)
    (fault,) = look().faults
    run_command(fault.command)
    assert look().faults == [] and (run.folder / name).read_bytes() == good and sha256(run.manifest) == manifest


def test_all_faults_are_named_at_once(run: Run, look) -> None:
    for name in ("caffe.log", "test.csv", NET):
        flip(run.folder / name)
    (run.folder / "plan.txt").unlink()
    assert {fault.file.name for fault in look().faults} == {"caffe.log", "test.csv", NET, "plan.txt"}


def test_a_run_of_before_outputs_were_recorded_stands_and_its_files_are_counted(
    trained: Experiment, run: Run, look, engine: Engine
) -> None:
    without_checksums(run.manifest)
    assert make_plan(trained, engine).runs[run] == "done"
    findings = look()
    assert findings.faults == []
    names = ["caffe.log", "plan.txt", "predict.prototxt", "test.csv", "train.csv"]
    assert sorted(path.name for path in findings.unrecorded) == names
    flip(run.folder / NET)
    assert [fault.file.name for fault in look().faults] == [NET], "the checksum of a net was always recorded"


def test_a_solver_of_before_snapshot_after_train_was_written_is_the_same(run: Run, look) -> None:
    solver = run.folder / "solver.prototxt"
    now = solver.read_text()
    solver.write_text(now.replace("snapshot_after_train: true\n", ""))
    without_checksums(run.manifest)
    record = read_json(run.manifest)
    write_json(run.manifest, record | {"inputs": record["inputs"] | {"solver.prototxt": sha256(solver)}})
    assert look().faults == []
    solver.write_text(now)  # rendered again by today's version
    assert look().faults == []
    solver.write_text(now.replace("momentum: 0.9", "momentum: 0.8"))
    assert [fault.file for fault in look().faults] == [solver]


def test_nets_that_are_gone_are_said_and_are_no_fault(run: Run, look) -> None:
    (run.folder / NET).unlink()
    findings = look()
    assert findings.faults == [] and findings.gone == [run.folder / NET] and findings.proofs == 1
    flip(run.folder / "predictions.npz")
    (fault,) = look().faults
    assert fault.command.startswith(f"rm -r {run.folder} && "), "without its net the run is trained again"


def test_a_template_that_has_changed_makes_its_runs_stale(run: Run, look) -> None:
    template = Path("prototxt/three/train_val.prototxt")
    template.write_text(template.read_text().replace("num_output: 6", "num_output: 5"))
    faults = look().faults
    assert len(faults) == 5
    assert {fault.what for fault in faults} == {"made from another train_val.prototxt than there is now"}


def test_a_source_net_that_was_trained_again_to_other_bytes_is_named(trained: Experiment, run: Run, look) -> None:
    source = source_run(trained, run)
    net = source.folder / NET
    layers = {name: [blob + 1 for blob in blobs] for name, blobs in read_caffemodel(net).items()}
    net.write_bytes(caffemodel_bytes(layers))
    manifest = read_json(source.manifest)
    manifest["model"]["sha256"] = manifest["outputs"][NET] = sha256(net)
    write_record(source.manifest, manifest)
    faults = look().faults
    stale = {fault.file for fault in faults if fault.what == "made from another weights than there is now"}
    assert stale == {find_run(trained, "caffe", f"A2B/n00{size}/S1T/seed0").manifest for size in ("04", "12")}
    proofs = [fault.what for fault in faults if "was copied and frozen" in fault.what]
    assert proofs == ["layer conv1 was copied and frozen, and is not the source net's conv1"] * 2


def test_a_layer_that_should_have_started_random_and_is_the_sources_is_found(run: Run, trained: Experiment, look):
    source = read_caffemodel(source_run(trained, run).folder / NET)
    ours = read_caffemodel(run.folder / NET)
    (run.folder / NET).write_bytes(caffemodel_bytes(ours | {"fc2_T": source["fc2"]}))
    manifest = read_json(run.manifest)
    manifest["model"]["sha256"] = manifest["outputs"][NET] = sha256(run.folder / NET)
    write_record(run.manifest, manifest)
    (fault,) = look().faults
    assert fault.what == "layer fc2_T started random, and is the source net's fc2"
    assert fault.command.startswith(f"rm -r {run.folder} && ")


def test_a_log_that_names_other_ignored_layers_is_found(run: Run, look) -> None:
    log = run.folder / "caffe.log"
    log.write_text(log.read_text().replace("Ignoring source layer fc2", "Ignoring source layer fc9"))
    manifest = read_json(run.manifest)
    manifest["outputs"]["caffe.log"] = sha256(log)
    write_record(run.manifest, manifest)
    assert [fault.file.name for fault in look().faults if "were ignored, not" in fault.what] == [NET]


def test_without_the_large_files_neither_nets_nor_proofs_are_looked_at(run: Run, look) -> None:
    flip(run.folder / NET)
    findings = look(fast=True)
    assert findings.faults == [] and findings.proofs == 0 and "11 files" in next(iter(findings.left_out.values()))
    flip(run.folder / "test.csv")
    assert [fault.file.name for fault in look(fast=True).faults] == ["test.csv"]


def test_another_version_of_the_engine_is_said_and_is_no_fault(run: Run, look) -> None:
    manifest = read_json(run.manifest)
    manifest["inputs"]["engine"] = "caffe version 0.9"
    write_record(run.manifest, manifest)
    findings = look()
    assert findings.faults == []
    assert [
        why
        for why in findings.left_out
        if "trained by caffe version 0.9, which is not here (caffe version 1.0.0)" in why
    ]


@pytest.mark.parametrize("name", ["accuracy", "loss"])
def test_a_result_that_is_not_that_of_the_last_test_is_named(run: Run, look, name: str) -> None:
    manifest = read_json(run.manifest)
    right = manifest["result"][name]
    manifest["result"][name] = right + 0.1
    write_record(run.manifest, manifest)
    (fault,) = look().faults
    assert fault.file == run.manifest
    assert fault.what == f"its {name} is {right + 0.1}, and {name} is {right} in the last test of {run.folder}/test.csv"
    assert fault.command.startswith(f"rm -f {run.manifest} && ")


@pytest.mark.parametrize("text", ["", "{}", '{"inputs": {}, "model": 3, "result": {}}', "\x00" * 900, '{"inputs"'])
def test_a_manifest_that_cannot_be_read_is_a_fault(run: Run, look, text: str) -> None:
    run.manifest.write_text(text)
    (fault,) = look().faults
    assert (fault.file, fault.what) == (run.manifest, "broken: not JSON, or a part is missing")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PREDICTIONS, "caffe.log", NET, "manifest.json"])
def test_the_command_mends_what_only_a_sweep_can(run: Run, look, name: str) -> None:
    good = flip(run.folder / name)
    (fault,) = look().faults
    run_command(fault.command)
    assert look().faults == []
    if name not in ("caffe.log", "manifest.json"):  # these have the time in them
        assert (run.folder / name).read_bytes() == good


@pytest.mark.slow
def test_a_damaged_source_net_is_trained_again_to_the_same_bytes_and_its_runs_stand(
    trained: Experiment, run: Run, look
) -> None:
    source, log = source_run(trained, run), sha256(run.folder / "caffe.log")
    good = flip(source.folder / NET)
    (fault,) = look().faults
    subprocess.run(["rm", "-rf", "results"], check=True)
    run_command(fault.command)
    assert look().faults == [] and (source.folder / NET).read_bytes() == good
    assert sha256(run.folder / "caffe.log") == log and json.loads(run.manifest.read_text())["attempts"] == 1
