"""The verb confusion: the matrix of a run from its predictions."""

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.figure_files import is_whole
from tests.helpers.finished_runs import demo, finish, pack_samples, predict
from tools.common.errors import UserError
from tools.confusion import confusion_matrix, main
from tools.results.tables import Tables
from tools.summarize import summarize

pytestmark = pytest.mark.usefixtures("root")
KEY = "A2B/n0060/S3T/seed0"


def sweep(right: int = 150) -> Tables:
    """One run with its predictions: 200 images of five classes, the first `right` of them right."""
    pack_samples(demo())
    finish(KEY, right / 200)
    predict(KEY, np.arange(200) < right)
    summarize(demo(), "caffe")
    return Tables(Path("results/demo"))


def test_the_matrix_counts_every_image_once():
    ids, matrix = confusion_matrix(sweep(), KEY)
    assert ids == ["1", "2", "4", "7", "8"] and matrix.shape == (5, 6), "label 4 was taken for a fifth, which is none"
    assert matrix.sum() == 200 and np.trace(matrix) == 150
    assert [matrix[i, i + 1] for i in range(5)] == [10] * 5


def test_the_verb_writes_table_and_figure_and_prints_what_is_confused_most(capsys: pytest.CaptureFixture):
    sweep()
    main(["experiments/demo.yaml", KEY])
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].split("  ")[0] == "Trouser" and printed[1].endswith("10 of 40")
    path = Path("results/demo/confusion/A2B-n0060-S3T-seed0")
    with open(f"{path}.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0].values()) == ["1", "30", "10", "0", "0", "0", "0"] and list(rows[0])[-1] == "none"
    assert is_whole(str(path))


def test_the_names_of_the_demos_classes_are_those_of_its_card(capsys: pytest.CaptureFixture):
    sweep()
    Path("results/demo").rename("elsewhere")
    main(["experiments/demo.yaml", f"models/demo/{KEY}", "--from", "elsewhere"])
    assert "Ankle boot" not in capsys.readouterr().out, "class 9 is in half A"


@pytest.mark.parametrize(
    ("run", "why"),
    [
        ("S3T", "'S3T': no run; give its key"),
        ("A2B/n0010/S3T/seed0", "no predictions of the run .*predictions of 1 runs, as A2B/n0060/S3T/seed0"),
    ],
)
def test_a_run_that_is_not_there_is_refused_with_those_that_are(run: str, why: str):
    sweep()
    with pytest.raises(UserError, match=why):
        main(["experiments/demo.yaml", run])
