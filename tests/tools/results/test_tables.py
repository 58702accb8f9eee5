"""Reading an experiment's tables: from results/ or a publication, as rows, as predictions, as pandas frames."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.finished_runs import demo, finish, predict
from tests.helpers.result_tables import write_tables
from tools.common.errors import UserError
from tools.common.files import write_atomic
from tools.results.tables import Tables, best_iterations, frames, npz_bytes, tables_of
from tools.summarize import summarize

pytestmark = pytest.mark.usefixtures("root")


def test_a_folder_of_tables_knows_its_data_set_sizes_and_seeds() -> None:
    write_tables(Path("made"), 2, ["base", "S3T"], [500, 50])
    tables = Tables(Path("made"))
    assert (tables.dataset, tables.sizes, tables.seeds) == ("tiny-imagenet", [500, 50], [0, 1])
    assert len(tables.runs) == 2 * 2 * 2 * 2 and len(tables.curves) == 16 * 101
    assert tables.predictions == {}


def test_an_experiments_tables_are_those_in_results_unless_a_folder_is_named() -> None:
    finish("A2B/n0060/base/seed0", 0.5)
    predict("A2B/n0060/base/seed0", np.arange(10) < 5)
    summarize(demo(), "caffe")
    tables = tables_of(demo(), None)
    assert [row["accuracy"] for row in tables.runs] == [0.5]
    label, predicted = tables.predictions["label/A2B/seed0"], tables.predictions["A2B/n0060/base/seed0"]
    assert (label == predicted).tolist() == [True] * 5 + [False] * 5
    write_tables(Path("made"), 1, ["base"], [500])
    assert tables_of(demo(), Path("made")).dataset == "tiny-imagenet"


def test_without_tables_or_without_a_run_it_says_what_to_do_first() -> None:
    with pytest.raises(UserError, match=r"results/demo/runs\.csv: no such table; summarize the experiment first"):
        tables_of(demo(), None)
    write_atomic(Path("empty/runs.csv"), "dataset,run\n")
    with pytest.raises(UserError, match=r"empty/runs\.csv: not one run in it; sweep first"):
        tables_of(demo(), Path("empty"))


def test_the_best_iteration_has_the_lowest_validation_loss_after_the_start() -> None:
    losses = {0: 0.1, 10: 2.0, 20: 1.5, 30: 1.75, 25: None, 40: np.nan}
    curves = [{"run": "a", "iteration": at, "validation_loss": loss} for at, loss in losses.items()]
    curves.append({"run": "b", "iteration": 30, "validation_loss": 3.0})
    assert best_iterations(curves) == ({"a": 20.0, "b": 30.0}, 10.0)
    assert best_iterations([]) == ({}, 0.0)


def test_the_same_arrays_have_the_same_bytes() -> None:
    arrays = {"label": np.arange(5, dtype=np.uint16)}
    assert npz_bytes(arrays) == npz_bytes({"label": np.arange(5, dtype=np.uint16)})


def test_frames_are_found_by_name_in_results_and_publications_or_by_folder() -> None:
    write_tables(Path("results/mine"), 1, ["base"], [500])
    write_tables(Path("docs/results/published"), 1, ["base"], [50])
    assert set(frames("mine")) == {"runs", "summary", "curves"}
    assert frames("published")["runs"]["size"].tolist() == [50, 50]
    assert len(frames("results/mine")["runs"]) == 2
    assert "claims" in frames("demo"), "the checkout publishes the demo"
    with pytest.raises(UserError, match="nothing: no tables in results/nothing, docs/results/nothing; sweep or summ"):
        frames("nothing")
