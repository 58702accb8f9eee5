"""Whole graphs, from images to figures, on real Caffe and real JPEGs."""

import csv
import json
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffeformat.blobs import read_caffemodel

pytestmark = pytest.mark.slow

MODELS = Path("models")
DATA = Path("data")
ONE = "sizes=[10] conditions=[S2T] directions=[A2B]"  # and the net that it copies from


def table(path: str) -> list[dict[str, str]]:
    with open(path) as file:
        return list(csv.DictReader(file))


def manifest(run: str) -> dict:
    return json.loads((MODELS / run / "manifest.json").read_text())


def drawn(folder: str | Path, *figures: str) -> None:
    for figure in figures:
        assert Path(folder, f"{figure}.png").stat().st_size > 10_000
        assert Path(folder, f"{figure}.pdf").read_bytes().startswith(b"%PDF")


def test_a_sweep_goes_from_images_to_figures_and_a_second_one_does_nothing(swept, small):
    rows = table("results/small/runs.csv")
    assert ",".join(rows[0]) == (
        "dataset,direction,size,condition,seed,accuracy,best_accuracy,best_iter,loss,iters,seconds,images_per_s,engine,"
        "status,attempts,resumed_at,run"
    )
    assert len(rows) == 8 and {row["iters"] for row in rows} == {"10"}
    for row in rows:
        folder = Path(row["run"])
        have = {path.name for path in folder.iterdir()}
        expected = {"train_val.prototxt", "solver.prototxt", "caffe.log", "train.csv", "test.csv", "manifest.json"}
        assert expected | {"net_iter_10.caffemodel"} <= have
        assert not [name for name in have if "solverstate" in name or name.startswith("start")]
        assert float(table(folder / "test.csv")[-1]["accuracy"]) == pytest.approx(float(row["accuracy"]))
    summary = {(row["size"], row["condition"]): row for row in table("results/small/summary.csv")}
    assert set(summary) == {("60", "base"), ("60", "S2T"), ("10", "base"), ("10", "S2T")}
    drawn("results/small/figures", "learning_curves", "samples", "tsne", "filters")
    page = Path("results/small/report.html").read_text()
    pictures = list(Path("results/small/figures").glob("*.png"))
    assert "caffe version 1.0.0 on the CPU (8 runs)" in page
    assert page.count("data:image/png;base64,") == len(pictures) >= 4
    links = re.findall(r'href="\.\./\.\./(models/[^"]*)"', page)
    assert len(links) == 8 * 3 and all(Path(link).is_file() for link in links)  # log, net, solver
    before = {path: path.stat().st_mtime_ns for path in MODELS.rglob("*")}
    assert "nothing to do: all 8 runs and figures are there" in swept("sweep", small)
    assert before == {path: path.stat().st_mtime_ns for path in MODELS.rglob("*")}


def test_what_is_copied_is_the_sources_and_what_is_frozen_stays(swept):
    run = "small/A2B/n0010/S2T/seed0"
    proofs = manifest(run)["proofs"]
    assert proofs["ignored"] == ["conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    assert proofs["start"] == {"copied_equal": 2, "random_differ": 6}
    assert proofs["end"]["frozen_equal"] == 2
    source = read_caffemodel(MODELS / "small/B2A/n0060/base/seed0/net_iter_10.caffemodel")
    target = read_caffemodel(MODELS / run / "net_iter_10.caffemodel")
    for name in ("conv1", "conv2"):
        assert all(np.array_equal(a, b) for a, b in zip(source[name], target[name], strict=True))
    assert not np.array_equal(source["conv3"][0], target["conv3_T"][0])


def test_an_edit_of_a_template_trains_again_exactly_the_runs_that_it_touches(swept, small, checkout):
    shutil.copytree(checkout / "solvers", "solvers")
    text = Path("solvers/mini.prototxt").read_text()
    Path("solvers/mini.prototxt").write_text(text + "# a remark changes nothing\n")
    assert "nothing to do" in swept("sweep", small)
    before = {row["run"]: manifest(row["run"].removeprefix("models/")) for row in table("results/small/runs.csv")}
    Path("solvers/mini.prototxt").write_text(text.replace("weight_decay: 0.0005", "weight_decay: 0.001"))
    listed = swept("sweep", small, "--dry-run", "--set", "sizes=[10]")
    assert listed.count("stale: solver.prototxt changed") == 6
    swept("sweep", small)
    after = {run: manifest(run.removeprefix("models/")) for run in before}
    assert all(after[run]["ended"] > before[run]["ended"] or after[run] != before[run] for run in before)
    assert {run["inputs"]["solver.prototxt"] for run in before.values()}.isdisjoint(
        run["inputs"]["solver.prototxt"] for run in after.values()
    )


def test_a_selection_adds_runs_and_keeps_those_that_are_there(swept, small):
    swept("sweep", small, "--set", "conditions=[FTall] sizes=[10]")
    conditions = {row["condition"] for row in table("results/small/runs.csv")}
    assert conditions == {"base", "S2T", "FTall"}


def test_the_caffemodel_of_a_source_net_is_made_again_when_a_new_run_needs_it(packed, small):
    root = packed
    root("sweep", small, "--set", "keep_models=none directions=[A2B] sizes=[10] conditions=[S2T]")
    assert not list(MODELS.rglob("*.caffemodel"))
    assert "nothing to do" in root(
        "sweep", small, "--set", "keep_models=none directions=[A2B] sizes=[10] conditions=[S2T]"
    )
    first = manifest("small/B2A/n0060/base/seed0")["model"]["sha256"]
    said = root("sweep", small, "--set", "keep_models=sources directions=[A2B] sizes=[10] conditions=[S2T,S3T]")
    assert manifest("small/B2A/n0060/base/seed0")["model"]["sha256"] == first
    assert "A2B/n0010/S3T/seed0" in said
    assert [path.parts[-3] for path in MODELS.rglob("*.caffemodel")] == ["base"]


def test_lmdbs_that_no_run_needs_go_and_are_made_again_when_a_new_run_needs_them(root, small):
    more = "keep_lmdbs=none directions=[A2B] sizes=[10]"
    said = root("sweep", small, "--set", f"{more} conditions=[base]")
    assert "6 LMDBs removed" in said and not list(DATA.rglob("data.mdb"))
    assert "nothing to do" in root("sweep", small, "--set", f"{more} conditions=[base]")
    said = root("verify", small, "--set", more)
    assert "no fault" in said and "6 LMDBs, removed since (keep_lmdbs)" in said
    said = root("sweep", small, "--set", f"{more} conditions=[base,FTall]")
    assert "2 of 3 runs to do." in said and "LMDBs removed" in said
    assert manifest("small/A2B/n0010/FTall/seed0")["result"]["iters"] == 10
    root("pack", small)
    assert "no fault" in (said := root("verify", small, "--set", more)) and "removed" not in said


SCIENCE = {
    "fc8_outputs=1000 mean=source nested=false": [
        "num_output: 1000",
        'mean_file: "data/tiny-imagenet/split0+nested=false/64x64/A/n0060/mean.binaryproto"',
        'source: "data/tiny-imagenet/split0+nested=false/64x64/B/n0010"',
    ],
    "model=caffenet train_batch_size=4": ['name: "CaffeNet"'],
}


@pytest.mark.parametrize("change", SCIENCE)
def test_each_key_that_changes_the_science_goes_through_the_whole_graph(root, small, change):
    more = "crop_size=57 max_iter=2 sizes=[10] directions=[A2B] conditions=[S2T]"
    root("sweep", small, "--set", f"{change} {more}")
    (summary,) = Path("results").glob("*/runs.csv")
    run = [row for row in table(summary) if row["condition"] == "S2T"]
    assert len(run) == 1
    text = Path(run[0]["run"], "train_val.prototxt").read_text()
    assert [line for line in SCIENCE[change] if line not in text] == []
    assert "conv3" in manifest(run[0]["run"].removeprefix("models/"))["proofs"]["ignored"]


PLACES = ["a/abbey", "c/church/outdoor", "v/valley", "y/yard"]
COLOURS = [(30, 30, 200), (30, 200, 30), (200, 30, 30), (200, 200, 30)]


@pytest.fixture
def places(tmp_path) -> Path:
    """An experiment on a data set in MiniPlaces' layout: nested classes, 128 pixels, two files missing from the disk.

    A class is a colour with noise, so that a net learns it in a few iterations.
    """
    random = np.random.RandomState(0)
    images = tmp_path / "places" / "images"
    lines = {"train": [], "val": []}

    def image(place: str, label: int) -> None:
        lines[place.split("/")[0]].append(f"{place} {label}")
        if place.endswith(("outdoor/00000003.jpg", "valley/00000005.jpg")):
            return
        (images / place).parent.mkdir(parents=True, exist_ok=True)
        noisy = np.array(COLOURS[label]) + random.normal(0, 20, (128, 128, 3))
        cv2.imwrite(str(images / place), noisy.clip(0, 255).astype(np.uint8))

    for label, name in enumerate(PLACES):
        for number in range(1, 13):
            image(f"train/{name}/{number:08}.jpg", label)
        for number in range(20):
            image(f"val/{label * 20 + number:08}.jpg", label)
    for part, text in lines.items():
        (tmp_path / "places" / f"{part}.txt").write_text("\n".join(text) + "\n")
    file = tmp_path / "tinyplaces.yaml"
    file.write_text(f"""\
dataset: miniplaces
path: {tmp_path / "places"}
image_size: 64
full_size: 12
sizes: [12, 6]
conditions: [base, FTall]
model: mini
solver: mini
crop_size: 57
train_batch_size: 12
test_batch_size: 20
max_iter: 40
base_lr: 0.005
""")
    return file


def test_files_missing_from_disk_are_told_before_sizes_are_drawn(root, places):
    refused = root("split", places, status=2)
    assert "c/church/outdoor/00000003.jpg" in refused and "v/valley/00000005.jpg" in refused
    said = root("split", places, "--set", "on_bad_image=skip", status=2)
    assert re.search(r"tinyplaces.yaml:\d+: (full_size|sizes): .*11", said), said
    assert "c/church/outdoor" in said


def test_miniplaces_layout_goes_from_start_to_figure(root, places):
    root("sweep", places, "--set", "on_bad_image=skip full_size=all sizes=[all,6]")
    (runs,) = Path("results").glob("*/runs.csv")
    rows = table(runs)
    assert {row["size"] for row in rows} == {"all", "6"} and len(rows) == 8
    assert {row["status"] for row in rows} == {"ok"}, rows
    assert all(float(row["accuracy"]) > 0.74 for row in rows)
    drawn(runs.parent / "figures", "accuracy", "learning_curves", "samples")


def test_a_folder_of_images_is_a_data_set(root, tmp_path, tiny_sample):
    for part, count in (("train", 8), ("val", 2)):
        for wnid in sorted(p.name for p in (tiny_sample / "train").iterdir())[:4]:
            target = tmp_path / "mine" / part / wnid
            target.mkdir(parents=True)
            images = sorted((tiny_sample / "train" / wnid / "images").iterdir())
            for image in images[:count] if part == "train" else images[-count:]:
                shutil.copy(image, target)
    file = tmp_path / "own.yaml"
    file.write_text(f"""\
dataset: folder
path: {tmp_path / "mine"}
image_size: 32
sizes: [all, 4]
conditions: [base, S1T]
directions: [A2B]
model: mini
solver: mini
crop_size: 28
train_batch_size: 4
test_batch_size: 2
max_iter: 4
""")
    root("sweep", file)
    keys = [row["run"].removeprefix("models/own/") for row in table("results/own/runs.csv")]
    assert keys == [
        "A2B/nall/base/seed0",
        "B2A/nall/base/seed0",
        "A2B/nall/S1T/seed0",
        "A2B/n0004/base/seed0",
        "A2B/n0004/S1T/seed0",
    ]


def test_data_that_were_deleted_are_made_again_and_the_runs_still_stand(swept, small):
    stamps = {path: path.read_bytes() for path in MODELS.rglob("manifest.json")}
    shutil.rmtree("data/tiny-imagenet/split0")
    assert "2 runs, 0 done" in swept("sweep", small, "--set", ONE, "--dry-run")
    swept("status", small)
    assert "2 of 2 runs to do" in swept("sweep", small, "--set", ONE)
    assert {path: path.read_bytes() for path in MODELS.rglob("manifest.json")} == stamps


def test_the_data_of_another_seed_may_be_deleted(swept, small):
    swept("sweep", small, "--set", f"{ONE} seeds=[0,1]")
    shutil.rmtree("data/tiny-imagenet/split1")
    swept("sweep", small, "--set", ONE)
    assert len(list(MODELS.rglob("manifest.json"))) == 8 + 2


def test_two_sweeps_of_one_experiment_at_a_time_train_what_each_was_asked_for_and_nothing_twice(packed, small):
    selections = ("conditions=[base]", "conditions=[S2T] sizes=[10]")  # both need the source nets
    command = [sys.executable, "-m", "tools", "sweep", small, "--jobs", "1", "--set"]
    with ThreadPoolExecutor(len(selections)) as pool:
        calls = [
            pool.submit(subprocess.run, [*command, chosen], env=packed.environment, capture_output=True, text=True)
            for chosen in selections
        ]
    said = [call.result() for call in calls]
    assert [call.returncode for call in said] == [0, 0], "".join(call.stdout + call.stderr for call in said)
    manifests = [json.loads(path.read_text()) for path in MODELS.rglob("manifest.json")]
    assert len(manifests) == 6 and {manifest["attempts"] for manifest in manifests} == {1}


def test_a_prototxt_that_is_not_of_the_template_is_not_trained(packed, small):
    key = "B2A/n0060/base/seed0"
    assert "train_val.prototxt: not there; run `python -m tools render" in packed("train", small, key, status=2)
    packed("render", small, key)
    solver = MODELS / "small" / key / "solver.prototxt"
    solver.write_text(solver.read_text().replace("base_lr: 0.02", "base_lr: 0.04"))
    assert "solver.prototxt: not as its template renders it now" in packed("train", small, key, status=2)
    packed("render", small, key)
    packed("train", small, key)


def test_a_run_that_a_user_starts_outlives_the_shell(packed, small):
    command = f"{sys.executable} -m tools run {small} B2A/n0060/base/seed0 > run.log 2>&1 & sleep 1"
    subprocess.run(["bash", "-c", command], env=packed.environment, check=True)
    end = time.monotonic() + 300
    while not (MODELS / "small/B2A/n0060/base/seed0/manifest.json").exists():
        assert time.monotonic() < end, Path("run.log").read_text()
        time.sleep(0.1)


def test_no_run_is_trained_on_a_part_of_the_data_set_that_another_experiment_named(swept, small, tiny_sample):
    """The sample has 20 of Tiny-ImageNet's 200 classes. The other experiment has no `path`."""
    other = Path("other.yaml")
    other.write_text("".join(line for line in small.read_text().splitlines(True) if not line.startswith("path:")))
    told = swept("sweep", other, status=2)
    assert f"the images here are those of {tiny_sample}, which another call named: 1200 for training" in told
    assert "other.yaml names none" in told and not Path("models/other").exists()
    assert "nothing to do" in swept("sweep", small)
