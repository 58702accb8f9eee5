"""The figure filters: the first layer of a net as pictures."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from caffeformat.blobs import caffemodel_bytes, read_caffemodel
from tests.helpers.figure_files import is_whole, rows
from tools.common.files import load_json, sha256, write_json
from tools.figures import NoData, filters, tsne
from tools.protocol.experiment import Experiment
from tools.results.columns import read_csv
from tools.summarize import summarize


def test_a_sheet_shows_each_filter_on_its_own_scale_with_zero_in_the_middle():
    one = np.zeros((2, 3, 2, 2), np.float32)
    one[0, 2, 0, 0] = 5  # BGR: the last channel is red
    picture = filters.sheet(one, 2)
    assert picture.shape == (2, 5, 3)
    assert picture[0, 0].tolist() == [255, 128, 128]
    assert (picture[:, 3:] == 128).all() and (picture[:, 2] == 255).all()


def test_the_numbers_are_norms_and_distances_to_the_source_nets_same_filters(trained: Experiment) -> None:
    summarize(trained, "caffe")
    filters.draw(trained, read_csv(Path("results/quick/runs.csv")), Path())
    table = rows("filters")
    source, scratch = "models/quick/B2A/n0012/base/seed0", "models/quick/A2B/n0004/base/seed0"
    assert [row["run"] for row in table] == [source] * 6 + [scratch] * 6
    nets = {run: read_caffemodel(Path(run) / "net_iter_40.caffemodel")["conv1"][0] for run in (source, scratch)}
    for row in table:
        ours, theirs = (nets[run][int(row["filter"])] for run in (row["run"], source))
        assert float(row["norm"]) == pytest.approx(np.linalg.norm(ours), abs=1e-5)
        assert float(row["distance"]) == pytest.approx(np.linalg.norm(ours - theirs), abs=1e-5)
    assert is_whole("filters")


def test_a_net_that_diverged_has_no_panel_and_the_line_of_facts_says_why(
    trained: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    summarize(trained, "caffe")
    table = read_csv(Path("results/quick/runs.csv"))
    source, scratch = "models/quick/B2A/n0012/base/seed0", "models/quick/A2B/n0004/base/seed0"
    table = [row | {"status": "diverged"} if row["run"] == scratch else row for row in table]
    make_one_weight_infinite(Path(scratch) / "net_iter_40.caffemodel")
    heads: list[str] = []
    monkeypatch.setattr(filters.style, "set_figure_title", lambda figure, title, facts: heads.append(facts))
    filters.draw(trained, table, Path())
    assert heads == ["6 x 1 x 4 x 4 weights; seed 0, direction A2B; from scratch on B, 4 a class: diverged"]
    assert {row["run"] for row in rows("filters")} == {source}
    make_one_weight_infinite(Path(source) / "net_iter_40.caffemodel")
    with pytest.raises(NoData, match=f"{source} has diverged: its weights are not all finite numbers"):
        filters.draw(trained, table, Path())


def make_one_weight_infinite(model: Path) -> None:
    net = {name: [blob.copy() for blob in blobs] for name, blobs in read_caffemodel(model).items()}
    net["conv1"][0].flat[0] = np.inf
    model.write_bytes(caffemodel_bytes(net))
    manifest = load_json(model.parent / "manifest.json")
    manifest["model"]["sha256"] = sha256(model)
    write_json(model.parent / "manifest.json", manifest)


def test_a_net_that_was_exchanged_is_not_drawn(trained: Experiment) -> None:
    summarize(trained, "caffe")
    source, other = (Path(f"models/quick/{key}/n0012/base/seed0/net_iter_40.caffemodel") for key in ("B2A", "A2B"))
    shutil.copy(other, source)
    with pytest.raises(NoData, match=r"net_iter_40\.caffemodel is not the net that its manifest\.json names"):
        filters.draw(trained, read_csv(Path("results/quick/runs.csv")), Path())
    with pytest.raises(NoData, match=r"net_iter_40\.caffemodel is not the net that its manifest\.json names"):
        tsne.draw(trained, "caffe", Path())


def test_the_first_seed_whose_net_is_there_is_drawn(trained: Experiment) -> None:
    summarize(trained, "caffe")
    table = read_csv(Path("results/quick/runs.csv"))
    restored = [dict(row, seed=-1, run=row["run"].replace("seed0", "seed-1")) for row in table]  # without its nets
    filters.draw(trained, [*restored, *table], Path())
    assert {row["run"].rpartition("/")[2] for row in read_csv(Path("filters.csv"))} == {"seed0"}
    assert tsne.draw(trained.model_copy(update={"seeds": [7, 0]}), "caffe", Path()).name == "tsne.png"


def test_without_nets_there_is_no_figure(trained: Experiment) -> None:
    summarize(trained, "caffe")
    table = read_csv(Path("results/quick/runs.csv"))
    with pytest.raises(NoData, match="the source net of half A has not been trained"):
        filters.draw(trained, [row for row in table if row["direction"] == "A2B"], Path())
    Path("models/quick/B2A/n0012/base/seed0/net_iter_40.caffemodel").unlink()
    with pytest.raises(NoData, match=r"net_iter_40\.caffemodel"):
        filters.draw(trained, table, Path())
