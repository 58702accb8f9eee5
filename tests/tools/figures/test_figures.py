"""The figures one by one: what they show of which rows, their colours, and features through real Caffe."""

import csv
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest

from caffeformat import datum, lmdb_file
from caffeformat.blobs import caffemodel_bytes
from tests.helpers.finished_runs import demo
from tests.helpers.result_tables import made_up
from tools.common.errors import UserError
from tools.common.files import write_atomic
from tools.figures import NoData, by_size, controls, filters, gain, style, tsne
from tools.results.columns import read_csv
from tools.training.engine import Engine
from tools.training.features import features

FAMILIES = ["base", "FTall"] + [name.format(n) for name in ("S{}T", "T{}T", "S{}T+", "R{}T") for n in range(1, 8)]

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture
def tables() -> tuple[list[dict], list[dict]]:
    """runs.csv and summary.csv of two sizes, one seed and all conditions, controls included."""
    made_up(Path("made"), 1, FAMILIES, [500, 50])
    return read_csv(Path("made/runs.csv")), read_csv(Path("made/summary.csv"))


def rows(name: str) -> list[dict[str, str]]:
    with open(f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def is_whole(name: str) -> bool:
    """Whether a figure has its three files, and its picture something in it that no edge cuts off."""
    ink = (cv2.imread(f"{name}.png") < 250).any(axis=2)
    border = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
    return Path(f"{name}.pdf").is_file() and Path(f"{name}.csv").is_file() and ink.mean() > 0.02 and not border.any()


def test_by_size_has_a_line_for_every_condition_of_the_thesis_and_no_control(tables):
    by_size.draw(demo(), *tables, Path())
    found = rows("by_size")
    assert list(dict.fromkeys(row["condition"] for row in found)) == FAMILIES[:9]
    assert [row["size"] for row in found[:2]] == ["500", "50"]
    summary = {(row["condition"], str(row["size"])): row for row in tables[1]}
    assert all(float(row["low"]) == summary[row["condition"], row["size"]]["low"] for row in found)
    assert is_whole("by_size")


def test_gain_is_the_mean_of_paired_differences_and_leaves_out_flagged_runs(tables):
    table = tables[0]
    assert table[0]["status"] == "stuck" and table[0]["condition"] == "base"
    gain.draw(demo(), table, Path())
    found = {(row["size"], row["condition"]): row for row in rows("gain")}
    assert len(found) == 2 * 8
    own = {(row["direction"], row["condition"]): row["accuracy"] for row in table if row["size"] == 500}
    assert float(found["500", "S3T"]["gain"]) == pytest.approx(own["B2A", "S3T"] - own["B2A", "base"], abs=1e-6)
    assert found["500", "S3T"]["n"] == "1" and found["50", "S3T"]["n"] == "2"
    assert is_whole("gain")


def test_gain_without_a_base_is_refused(tables):
    with pytest.raises(NoData, match="no condition has a base run"):
        gain.draw(demo(), [row for row in tables[0] if row["condition"] != "base"], Path())


def test_controls_have_a_panel_a_size_with_base_and_all_kinds(tables):
    controls.draw(demo(), *tables, Path())
    found = rows("controls")
    assert {row["size"] for row in found} == {"500", "50"}
    assert [row["condition"] for row in found if row["size"] == "50"][:3] == ["base", "S1T", "S2T"]
    assert {row["condition"] for row in found} == set(FAMILIES) - {"FTall"}
    assert is_whole("controls")


def test_without_controls_there_is_no_such_figure(tables):
    with pytest.raises(NoData, match="no control condition has been run"):
        controls.draw(demo(), tables[0], [row for row in tables[1] if row["condition"] in FAMILIES[:9]], Path())


def test_every_condition_has_a_look_of_its_own_that_gets_lighter_with_the_depth():
    looks = {name: style.condition_look(name) for name in FAMILIES}
    assert len({(matplotlib.colors.to_hex(look["color"]), look["marker"]) for look in looks.values()}) == len(FAMILIES)
    for kind in ("S{}T", "T{}T", "S{}T+", "R{}T", "T{}T+"):
        colors = [matplotlib.colors.to_rgb(style.condition_look(kind.format(n))["color"]) for n in range(1, 8)]
        assert np.diff([0.299 * r + 0.587 * g + 0.114 * b for r, g, b in colors]).min() > 0.01, kind


def test_a_sheet_shows_each_filter_on_its_own_scale_with_zero_in_the_middle():
    one = np.zeros((2, 3, 2, 2), np.float32)
    one[0, 2, 0, 0] = 5  # BGR: the last channel is red
    picture = filters.sheet(one, 2)
    assert picture.shape == (2, 5, 3)
    assert picture[0, 0].tolist() == [255, 128, 128]
    assert (picture[:, 3:] == 128).all() and (picture[:, 2] == 255).all()


NET = """\
name: "Two"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  data_param { source: "none" batch_size: 5 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  data_param { source: "none" batch_size: 5 backend: LMDB } }
layer { name: "fc1" type: "InnerProduct" bottom: "data" top: "fc1"
  inner_product_param { num_output: 2 bias_term: false } }
layer { name: "relu1" type: "ReLU" bottom: "fc1" top: "fc1" }
layer { name: "fc2" type: "InnerProduct" bottom: "fc1" top: "fc2" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc2" bottom: "label" top: "loss" }
"""


@pytest.fixture
def small_net() -> tuple[Path, np.ndarray]:
    """net.prototxt, net.caffemodel and an LMDB of 60 images of 1 x 2 x 2; the weights of fc1, 2 x 4."""
    weights = np.array([[1, -1, 0.5, 0], [-1, 0, 0, 0.25]], np.float32)
    write_atomic(Path("net.prototxt"), NET)
    write_atomic(Path("net.caffemodel"), caffemodel_bytes({"fc1": [weights]}))
    images = [np.array([[[i, 2], [3, 4 * i % 7]]], np.uint8) for i in range(60)]
    lmdb_file.write(Path("lmdb"), ((lmdb_file.key(i, "x"), datum.encode(x, i % 3)) for i, x in enumerate(images)))
    return np.array(images).reshape(60, 4), weights


def test_features_are_the_layers_answers_behind_its_relu(small_net, caffe: Path):
    images, weights = small_net
    found = features(Engine(caffe), Path("net.prototxt"), Path("net.caffemodel"), "fc1", Path("lmdb"), 40)
    assert np.allclose(found, np.maximum(images[:40] @ weights.T, 0))
    assert found.max() > 0


def test_a_layer_that_is_not_there_is_named_with_those_that_are(small_net, caffe: Path):
    with pytest.raises(UserError, match=r"net.prototxt: no layer 'conv1'; there are fc1, fc2"):
        features(Engine(caffe), Path("net.prototxt"), Path("net.caffemodel"), "conv1", Path("lmdb"), 40)


def test_t_sne_keeps_groups_together_and_gives_the_same_places_again():
    draw = np.random.RandomState(0)
    values = np.concatenate([draw.normal(center, 0.1, (40, 20)) for center in (0, 5, 10)])
    places = tsne.embed(values)
    assert places.shape == (120, 2)
    nearest = np.linalg.norm(places[:, None] - places[None], axis=2).argsort(axis=1)[:, 1]
    assert (nearest // 40 == np.arange(120) // 40).all()
    assert np.array_equal(tsne.embed(values), places)
