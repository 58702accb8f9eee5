"""The conditions beyond the thesis, retention and scores: whole graphs on real Caffe and real JPEGs."""

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from caffeformat.blobs import read_caffemodel
from tests.helpers.made_once import made_once
from tools.stats import transferability

pytestmark = pytest.mark.slow

FOLDER = Path("models/small/A2B/n0010")
SOURCE = Path("models/small/B2A/n0060/base/seed0")
CONTROLS = ["S2T", "S2T+", "T2T", "T2T+", "R2T"]
ONE = "sizes=[10] directions=[A2B] keep_models=sources"
SWEPT = f"{ONE} controls=true conditions=[S2T,S2T-random8,S6T-kmeans9,S7T,FTall-retain]"

PARTED = """
import sys
import caffe
import numpy as np
caffe.set_mode_cpu()
ours, theirs = (caffe.Net(f"{folder}/train_val.prototxt", caffe.TEST, weights=f"{folder}/{name}")
                for folder, name in zip(sys.argv[1::2], sys.argv[2::2]))
images = 40 * np.random.RandomState(0).standard_normal((1, 3, 29, 29))
ours.blobs["data"].data[...] = theirs.blobs["data"].data[...] = images
np.savez("parted.npz", ours=ours.forward(start="conv1", end="conv2_sum")["conv2"],
         theirs=theirs.forward(start="conv1", end="conv2")["conv2"], own=ours.blobs["conv2_drawn"].data)
"""


def table(path: str) -> list[dict[str, str]]:
    with open(path) as file:
        return list(csv.DictReader(file))


def manifest(condition: str, folder: Path = FOLDER) -> dict:
    return json.loads((folder / condition / "seed0" / "manifest.json").read_text())


@pytest.fixture(scope="session")
def controls_once(tmp_path_factory, tools, packed_once):
    """A project in which the controls of the small experiment were swept, in one direction and size."""

    def sweep(folder: Path) -> None:
        shutil.copytree(packed_once, folder, dirs_exist_ok=True)
        tools("sweep", "small.yaml", "--set", SWEPT, folder=folder)

    return made_once(tmp_path_factory, "controls", sweep)


@pytest.fixture
def swept(root, small, controls_once):
    """`root` as a copy of that project."""
    shutil.copytree(controls_once, ".", dirs_exist_ok=True)
    return root


def test_controls_copy_and_freeze_what_they_say_and_each_proves_it(swept):
    proofs = {name: manifest(name)["proofs"] for name in CONTROLS}
    learning = ["conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    for name in ("S2T", "S2T+", "T2T", "T2T+"):
        assert proofs[name]["ignored"] == learning
        assert proofs[name]["start"] == {"copied_equal": 2, "random_differ": 6}
        assert proofs[name]["end"]["frozen_equal"] == (0 if "+" in name else 2)
    assert proofs["R2T"] == {"end": {"frozen_equal": 2, "learning_moved": 6}}
    source, own = manifest("base", SOURCE.parents[1])["model"]["sha256"], manifest("base")["model"]["sha256"]
    weights = {name: manifest(name)["inputs"].get("weights") for name in CONTROLS}
    assert weights == {"S2T": source, "S2T+": source, "T2T": own, "T2T+": own, "R2T": None}


def test_only_nets_that_others_copy_from_are_kept_and_a_second_sweep_does_nothing(swept, small):
    have = sorted("/".join(path.parts[-4:-1]) for path in Path("models").rglob("*.caffemodel"))
    assert have == ["n0010/FTall/seed0", "n0010/base/seed0", "n0060/base/seed0"]
    assert "nothing to do" in swept("sweep", small, "--set", SWEPT)


def test_the_tables_have_the_controls_in_order_and_no_retention_among_them(swept):
    rows = [row["condition"] for row in table("results/small/runs.csv") if row["size"] == "10"]
    assert rows[:6] == ["base", "FTall", "S2T", "S7T", "S2T+", "T2T"]
    assert rows[6:] == ["T7T", "T2T+", "T7T+", "R2T", "R7T", "S2T-random8", "S6T-kmeans9"]


def test_the_chosen_filters_stay_the_sources_in_their_places_and_the_others_are_the_targets_own(swept, small, pycaffe):
    swept("run", small, "A2B/n0010/S2T-random9/seed0", "--set", "keep_models=all conditions=[S2T-random9]")
    run = FOLDER / "S2T-random9/seed0"
    proofs = manifest("S2T-random9")["proofs"]
    chosen = proofs["subset"]["filters"]
    others = [k for k in range(24) if k not in chosen]
    assert proofs["subset"] == {"layer": "conv2", "how": "random", "of": 24, "filters": chosen} and len(chosen) == 9
    assert proofs["start"] == {"copied_equal": 3, "random_differ": 7}
    assert proofs["end"] == {"frozen_equal": 3, "learning_moved": 7}
    assert proofs["ignored"] == ["conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    model = "net_iter_10.caffemodel"
    ours, theirs = read_caffemodel(run / model), read_caffemodel(SOURCE / model)
    assert np.array_equal(ours["conv2"][0][chosen], theirs["conv2"][0][chosen]) and not ours["conv2"][0][others].any()
    subprocess.run(
        [pycaffe, "-c", PARTED, run, model, SOURCE, model], check=True, env=os.environ | {"GLOG_minloglevel": "2"}
    )
    saw = np.load("parted.npz")
    assert np.array_equal(saw["ours"][:, chosen], saw["theirs"][:, chosen]), "the source's channels, where they were"
    assert np.array_equal(saw["ours"][:, others], saw["own"][:, others]) and saw["own"][:, others].any()


def test_clusters_of_a_fully_connected_layers_filters(swept):
    proofs = manifest("S6T-kmeans9")["proofs"]
    assert proofs["subset"]["layer"] == "fc6" and proofs["subset"]["how"] == "kmeans"
    assert len(set(proofs["subset"]["filters"])) == 9 and proofs["end"]["frozen_equal"] == 7


def test_what_was_retained_is_scored_on_the_source_half(swept, small):
    ask = "sizes=[10] directions=[A2B] conditions=[FTall,S7T,base-retain]"
    said = swept("retain", small, "--set", ask)
    assert "S7T/seed0: left out: its caffemodel is gone" in said
    swept("sweep", small, "--set", ask.replace("S7T", "S7T-retain"))
    swept("retain", small, "--set", ask)
    rows = {row["condition"]: row for row in table("results/small/retention.csv")}
    assert list(rows) == ["base", "FTall", "S7T"]
    source = manifest("base", SOURCE.parents[1])["result"]["accuracy"]
    assert {float(row["source_accuracy"]) for row in rows.values()} == {source}
    assert float(rows["S7T"]["own_fc8"]) == source, "seven frozen layers under the source net's own classifier"
    assert rows["base"]["own_fc8"] == "" and 0 <= float(rows["FTall"]["own_fc8"]) <= 1
    for name, row in rows.items():
        assert float(row["new_fc8"]) == manifest(f"{name}-retain")["result"]["accuracy"]
        assert float(row["target_accuracy"]) == manifest(name)["result"]["accuracy"]
    proofs = manifest("FTall-retain")["proofs"]
    assert proofs["ignored"] == ["fc8_T"] and proofs["end"] == {"frozen_equal": 7, "learning_moved": 1}
    assert (
        'source: "data/tiny-imagenet/split0/64x64/A/val"'
        in (FOLDER / "FTall-retain/seed0/train_val.prototxt").read_text()
    )


def test_retention_of_runs_that_are_not_there_is_refused(root, small):
    assert "no run to score; run `python -m tools sweep" in root("retain", small, status=2)


SCORED = """
import sys
import caffe
import numpy as np
caffe.set_mode_cpu()
net = caffe.Net(sys.argv[1], sys.argv[2], caffe.TEST)
label, probabilities, conv2, fc7 = [], [], [], []
for _ in range(int(sys.argv[3])):
    net.forward()
    label.append(net.blobs["label"].data.copy())
    probabilities.append(net.blobs["fc8"].data.copy())
    conv2.append(net.blobs["pool2"].data.mean((2, 3)))
    fc7.append(net.blobs["fc7"].data.copy())
np.savez("scored.npz", label=np.concatenate(label), logits=np.concatenate(probabilities),
         conv2=np.concatenate(conv2), fc7=np.concatenate(fc7))
"""


def test_scores_are_of_what_pycaffe_sees_in_the_source_net(swept, small, pycaffe):
    ask = "sizes=[10] directions=[A2B] conditions=[FTall,S2T,S7T]"
    said = swept("scores", small, "--set", ask)
    assert "logme" in said and "scores_correlation.csv: written" in said
    rows = {row["condition"]: row for row in table("results/small/scores.csv")}
    assert list(rows) == ["FTall", "S2T", "S7T"] and {row["images"] for row in rows.values()} == {"100"}
    model = Path("results/small/scores/A2B-n0010-seed0.prototxt")
    subprocess.run([pycaffe, "-c", SCORED, model, SOURCE / "net_iter_10.caffemodel", "2"], check=True)
    saw = np.load("scored.npz")
    probabilities = np.exp(saw["logits"]) / np.exp(saw["logits"]).sum(1, keepdims=True)
    expected = {"leep": transferability.leep(probabilities, saw["label"])}
    for condition, features in (("S2T", "conv2"), ("S7T", "fc7")):
        for name in ("logme", "h_score", "h_score_shrunk"):
            found = getattr(transferability, name)(saw[features], saw["label"])
            assert float(rows[condition][name]) == pytest.approx(found, rel=1e-3), (condition, name)
    assert rows["S2T"]["leep"] == "" and float(rows["S7T"]["leep"]) == pytest.approx(expected["leep"], abs=1e-4)
    assert rows["FTall"]["logme"] == rows["S7T"]["logme"]
    for condition, row in rows.items():
        result = manifest(condition)["result"]
        assert row["accuracy"] == (str(result["accuracy"]) if result["status"] == "ok" else ""), "none of a stuck run"


def test_a_set_that_is_scored_already_is_not_scored_again_unless_asked_for_other_images(swept, small):
    ask = "sizes=[10] directions=[A2B] conditions=[S2T]"
    swept("scores", small, "--set", ask)
    model = Path("results/small/scores/A2B-n0010-seed0.prototxt")
    before = model.stat().st_mtime_ns
    swept("scores", small, "--set", ask)
    assert model.stat().st_mtime_ns == before
    swept("scores", small, "--set", ask, "--images", "60")
    assert model.stat().st_mtime_ns > before and table("results/small/scores.csv")[0]["images"] == "60"


def test_scores_say_what_is_missing(swept, small):
    assert "scores are of SnT and FTall: name some" in swept("scores", small, "--set", "conditions=[base]", status=2)
    said = swept("scores", small, "--set", "directions=[B2A] sizes=[10] conditions=[S2T]", status=2)
    assert "source net is not trained yet" in said or "not there yet" in said
    assert "--images 1: two images or more" in swept("scores", small, "--images", "1", status=2)
