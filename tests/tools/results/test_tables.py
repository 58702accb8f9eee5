"""Reading an experiment's tables: from results/ or a publication, as rows, as predictions, as pandas frames."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.finished_runs import demo, finish, predict
from tests.helpers.result_tables import write_tables
from tools.common.errors import UserError
from tools.common.files import read_json, write_atomic
from tools.results.tables import (
    Tables,
    best_iterations,
    frames,
    note_changed_tables,
    npz_bytes,
    read_manifests,
    tables_of,
)
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
    Path("results/demo").rename("elsewhere")
    assert tables_of(demo(), Path("elsewhere")).runs == tables.runs


def test_tables_of_another_data_set_are_refused() -> None:
    write_tables(Path("made"), 1, ["base"], [500])
    with pytest.raises(UserError) as error:
        tables_of(demo(), Path("made"))
    assert str(error.value) == (
        "made/runs.csv: its runs are of tiny-imagenet, and experiments/demo.yaml is about fashion-mnist; name a folder "
        "of that data set's tables, or the experiment that these belong to"
    )


def test_without_tables_or_without_a_run_it_says_what_to_do_first() -> None:
    with pytest.raises(UserError, match=r"results/demo/runs\.csv: no such table; summarize the experiment first"):
        tables_of(demo(), None)
    write_atomic(Path("empty/runs.csv"), "dataset,run\n")
    with pytest.raises(UserError, match=r"empty/runs\.csv: not one run in it; sweep first"):
        tables_of(demo(), Path("empty"))


def test_predictions_that_are_cut_or_lack_their_labels_are_an_error_that_names_the_file() -> None:
    key, values = "A2B/n0060/base/seed0", np.arange(500)
    whole = npz_bytes({"label/A2B/seed0": values, key: values})
    for data in (
        whole[:-30],
        whole[:50],
        b"",
        npz_bytes({key: values}),
        npz_bytes({"label/A2B/seed0": values[1:], key: values}),
    ):
        write_atomic(Path("made/predictions.npz"), data)
        with pytest.raises(UserError, match=r"^made/predictions\.npz: cut or damaged: .*; summarize or publish"):
            Tables(Path("made")).predictions  # noqa: B018
    write_atomic(Path("made/predictions.npz"), whole)
    assert len(Tables(Path("made")).predictions[key]) == 500


def test_a_table_that_is_cut_at_the_end_of_a_line_is_told(capsys: pytest.CaptureFixture) -> None:
    finish("A2B/n0060/base/seed0", 0.5)
    summarize(demo(), "caffe")
    note_changed_tables(Path("results/demo"))
    assert capsys.readouterr().err == ""
    curves = Path("results/demo/curves.csv")
    write_atomic(curves, "".join(curves.read_text().splitlines(keepends=True)[:-1]))
    note_changed_tables(Path("results/demo"))
    said = (
        "note: results/demo/curves.csv: cut or edited since results/demo/summary.json was written; `verify` says what"
    )
    assert capsys.readouterr().err == f"{said} mends it\n"
    curves.unlink()
    note_changed_tables(Path("results/demo"))
    gone = "note: results/demo/curves.csv: not there, and results/demo/summary.json names it\n"
    assert capsys.readouterr().err == gone


def test_a_line_that_is_no_manifest_is_named() -> None:
    run = finish("A2B/n0060/base/seed0", 0.5)
    line = json.dumps(read_json(run.manifest))
    write_atomic(Path("made/manifests.jsonl"), f"{line}\n{line}\n")
    assert [made["run"] for made in read_manifests(Path("made/manifests.jsonl"))] == [run.key, run.key]
    for broken in (line[:-9], "7", '{"run": "A2B/n0060/base/seed0"}'):
        write_atomic(Path("made/manifests.jsonl"), f"{line}\n{broken}\n")
        with pytest.raises(UserError, match=r"^made/manifests\.jsonl:2: no manifest of a run .*; publish it again"):
            read_manifests(Path("made/manifests.jsonl"))


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
    write_atomic(Path("docs/results/published/classes.csv"), "class\n001\n")
    assert frames("published")["classes"]["class"].tolist() == ["001"]
    assert len(frames("results/mine")["runs"]) == 2
    assert "claims" in frames("demo"), "the checkout publishes the demo"
    with pytest.raises(UserError, match="nothing: no tables in results/nothing, docs/results/nothing; sweep or summ"):
        frames("nothing")
