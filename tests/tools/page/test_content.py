"""What the page shows, as plain values: the grid of means, curves, links, figures, other tables, settings."""

import base64
import math
import struct
from pathlib import Path

import pytest

from tests.helpers.finished_runs import demo
from tests.helpers.result_tables import write_tables
from tools.common.files import sha256, write_atomic, write_json
from tools.page import content
from tools.results.columns import read_csv

pytestmark = pytest.mark.usefixtures("root")

TABLES = Path("results/tiny")
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 1540, 880)  # the header is all that is read


@pytest.fixture
def tables() -> Path:
    """Tables of the source nets' conditions and one control."""
    write_tables(TABLES, 1, ["base", "S3T", "T3T"], [500, 50])
    return TABLES


def test_means_are_a_grid_of_sizes_and_conditions_with_controls_apart(tables: Path) -> None:
    grid = content.means(read_csv(tables / "summary.csv"))
    assert (grid["sizes"], grid["conditions"], grid["controls"]) == ([500, 50], ["base", "S3T"], ["T3T"])
    assert set(grid["cells"]) == {f"{size}/{name}" for size in (500, 50) for name in ("base", "S3T", "T3T")}
    assert set(grid["cells"]["50/S3T"]) == {"accuracy", "sd", "low", "high", "n", "excluded"}
    assert grid["intervals"] == ["seeds"]


def test_a_number_that_json_lacks_is_none() -> None:
    row = {"size": 50, "condition": "base", "accuracy": math.nan, "sd": math.inf, "n": 1}
    cell = content.means([row])["cells"]["50/base"]
    assert (cell["accuracy"], cell["sd"], cell["n"], cell["low"]) == (None, None, 1, None)


def test_curves_keep_all_tests_and_thin_the_training_loss(tables: Path) -> None:
    row = "A2B/n0500/base/seed0,{0},,,{1}\n"
    text = (tables / "curves.csv").read_text() + "".join(row.format(10000 + i, i) for i in range(1, 400))
    write_atomic(tables / "curves.csv", text.replace(",,,0\n", ",,,nan\n"))
    runs = content.curves(tables / "curves.csv")
    assert set(runs) == {row["run"].removeprefix("models/tiny/") for row in read_csv(tables / "runs.csv")}
    one = runs["A2B/n0500/base/seed0"]
    assert len(one["tests"]) == 11 and len(one["train"]) == content.POINTS
    assert one["train"][0][0] == 0 and one["train"][-1] == [10399, 399]
    assert content.curves(Path("gone.csv")) == {}


def test_an_accuracy_of_outputs_that_are_not_numbers_is_no_point_of_a_curve(tables: Path) -> None:
    run = "A2B/n0500/base/seed0"
    rows = [f"{run},0,0.5,0.69,", f"{run},100,1,nan,nan", f"{run},200,1,inf,inf", ""]
    write_atomic(tables / "curves.csv", "\n".join(["run,iteration,accuracy,validation_loss,training_loss", *rows]))
    assert content.curves(tables / "curves.csv")[run]["tests"] == [[0, 0.5, 0.69], [100, None, None], [200, None, None]]


def test_a_run_links_to_those_of_its_files_that_are_there(tables: Path) -> None:
    rows = read_csv(tables / "runs.csv")[:1]
    write_atomic(Path(rows[0]["run"]) / "caffe.log", "I1124\n")
    (run,) = content.runs(rows, Path("results/tiny"))
    assert run["key"] == "A2B/n0500/base/seed0"
    assert run["files"] == {"caffe.log": f"../../{rows[0]['run']}/caffe.log"}
    assert content.runs(rows, None)[0]["files"] == {}


@pytest.fixture
def figures(tables: Path) -> Path:
    """figures.json names two figures, drawn from the tables as they are; of one the picture is there."""
    folder = tables / "figures"
    write_atomic(folder / "accuracy.png", PNG)
    write_atomic(folder / "accuracy.pdf", "%PDF")
    digest = sha256(tables / "summary.csv")
    names = {"accuracy": "Accuracy by condition.", "gain": "Gain."}
    made = {"figures": names, "inputs": {"results/tiny/summary.csv": digest}, "left_out": {"tsne": "no images"}}
    write_json(folder / "figures.json", made)
    return folder


def test_a_figure_is_a_data_uri_with_its_size_caption_and_links(figures: Path, tables: Path) -> None:
    (one,) = content.figures(figures, tables)
    assert (one["name"], one["caption"], one["width"], one["height"]) == (
        "accuracy",
        "Accuracy by condition.",
        1540,
        880,
    )
    assert base64.b64decode(one["uri"].removeprefix("data:image/png;base64,")) == PNG
    assert one["links"] == ["figures/accuracy.pdf"]
    assert content.left_out(figures, tables) == {"tsne": "no images"}


def test_figures_of_other_tables_are_left_out_with_the_reason(figures: Path, tables: Path) -> None:
    write_atomic(tables / "summary.csv", (tables / "summary.csv").read_text() + "\n")
    assert content.figures(figures, tables) == []
    assert "was drawn from other tables than those in results/tiny/" in content.left_out(figures, tables)["all"]


def test_other_tables_are_shown_where_they_have_a_row(tables: Path) -> None:
    write_atomic(tables / "scores.csv", "condition,leep\n" + "".join(f"S{n}T,-0.{n}\n" for n in range(1, 8)))
    write_atomic(tables / "retention.csv", "condition,new_fc8\n")
    (table,) = content.tables(tables)
    assert (table["name"], table["columns"], len(table["rows"])) == ("scores.csv", ["condition", "leep"], 7)
    assert not table["long"]


def test_settings_are_the_keys_that_have_a_value() -> None:
    settings = content.settings(demo("sizes=[60,10]"))
    assert (settings["sizes"], settings["gray"], settings["model"]) == ("60, 10", "true", "mini")
    assert "max_iter" not in settings


def test_claims_are_grouped_by_their_file_and_those_of_an_older_table_are_the_thesis(tables: Path) -> None:
    assert content.claims(tables / "claims.csv") == {}
    write_atomic(tables / "claims.csv", "claim,verdict,effect\nC1,holds,-0.5\n")
    assert content.claims(tables / "claims.csv") == {"thesis": [{"claim": "C1", "verdict": "holds", "effect": -0.5}]}
    write_atomic(tables / "claims.csv", "claims,claim\nbudget,B1\nthesis,C1\nthesis,C2\n")
    families = content.claims(tables / "claims.csv")
    assert {name: [row["claim"] for row in rows] for name, rows in families.items()} == {
        "budget": ["B1"],
        "thesis": ["C1", "C2"],
    }
