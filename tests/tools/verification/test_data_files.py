"""Every file of the data is named when a bit of it has changed, with the command that mends it."""

import subprocess
from pathlib import Path

import pytest

from tests.helpers.flipped import flip
from tests.helpers.verified import run_command
from tools.common.files import read_json, sha256, write_json
from tools.protocol.experiment import Experiment
from tools.protocol.layout import split_of
from tools.verification.data_files import sizes_of_seeds

FILES = {  # below data/folder-.../split0/
    "split.json": "split",
    "A/n0004.txt": "split",
    "B/val.txt": "split",
    "12x12-gray/pack.json": "pack",
    "12x12-gray/B/n0004/pack.json": "pack",
    "12x12-gray/B/n0004/data.mdb": "pack",
    "12x12-gray/B/val/data.mdb": "pack",
    "12x12-gray/mean.json": "mean",
    "12x12-gray/B/n0004/mean.binaryproto": "mean",
}


def test_a_changed_bit_is_the_one_fault_with_the_command_of_its_verb(trained: Experiment, look) -> None:
    for name, verb in FILES.items():
        file = split_of(trained, 0).folder / name
        good = flip(file)
        (fault,) = look().faults
        assert fault.file == file and f"tools {verb} experiments/quick.yaml" in fault.command
        file.write_bytes(good)
    assert look().faults == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_the_command_mends_it(trained: Experiment, look, name: str) -> None:
    file = split_of(trained, 0).folder / name
    good = flip(file)
    (fault,) = look().faults
    run_command(fault.command)
    assert look().faults == [] and file.read_bytes() == good


def test_what_is_gone_is_a_fault_where_a_run_stands_on_it_and_unfinished_where_none_does(
    trained: Experiment, look
) -> None:
    place = split_of(trained, 0)
    for file in (place.marker, place.list_file("A/n0004"), place.lmdb("B/val") / "pack.json", place.means):
        good = file.read_bytes()
        file.unlink()
        assert [fault.file for fault in look().faults] == [file]
        file.write_bytes(good)
    subprocess.run(["rm", "-r", "models"], check=True)
    place.marker.unlink()
    findings = look()
    assert findings.faults == [] and "split of seed 0" in findings.unfinished


def test_lmdbs_of_before_checksums_are_counted_as_not_checked(trained: Experiment, look) -> None:
    folder = split_of(trained, 0).lmdb("A/val")
    record = read_json(folder / "pack.json")
    del record["data"], record["checksum"]
    write_json(folder / "pack.json", record)
    for manifest in Path("models").rglob("manifest.json"):
        old = read_json(manifest)
        del old["used"], old["checksum"]
        write_json(manifest, old)
    findings = look()
    assert findings.faults == [] and findings.unrecorded == [folder / "data.mdb"]


def test_an_lmdb_of_another_list_and_one_that_was_packed_anew_are_named(trained: Experiment, look) -> None:
    folder = split_of(trained, 0).lmdb("B/n0004")
    record = read_json(folder / "pack.json")
    del record["checksum"]
    write_json(folder / "pack.json", record | {"list_sha256": "0" * 64})
    (fault,) = look().faults
    assert fault.what.startswith("of another list than") and fault.command.startswith(f"rm -r {folder} && ")
    data = folder / "data.mdb"
    data.write_bytes(data.read_bytes() + bytes(4096))
    size = {"bytes": data.stat().st_size, "sha256": sha256(data)}
    write_json(folder / "pack.json", record | {"data": record["data"] | size})
    whats = {fault.what for fault in look().faults}
    assert whats == {f"made from another {data} than there is now"}


def test_images_that_changed_are_named_and_images_that_are_gone_are_no_fault(trained: Experiment, look) -> None:
    images = Path(str(trained.path))  # all tests share them
    added = images / "train/north/added.png"
    try:
        added.write_bytes((images / "train/north/00.png").read_bytes())
        (fault,) = look().faults
        assert fault.what == "made of other images than are there now (images)" and "tools sweep" in fault.command
        added.unlink()
        images.rename(images.with_name("moved"))
        assert look().faults == []
    finally:
        added.unlink(missing_ok=True)
        if not images.exists():
            images.with_name("moved").rename(images)


def test_data_of_runs_that_the_experiment_no_longer_selects_are_looked_at_too(trained: Experiment, commands) -> None:
    other = [run for run in commands.selected if run.size == 4]
    narrow = trained.model_copy(update={"sizes": [12], "seeds": [1]})
    assert sizes_of_seeds(narrow, other) == {1: [12], 0: [12, 4]}
