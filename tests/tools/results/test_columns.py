"""The tables' columns: declared once, each with its meaning; a row with other names is an error, never a blank."""

import math
from pathlib import Path

import pytest

from tools.common.errors import UserError
from tools.results import columns
from tools.results.cells import KINDS
from tools.results.columns import (
    condition_order,
    csv_text,
    label_key,
    read_csv,
    read_log_csv,
    row_of,
    run_key,
    size_order,
    with_columns,
)

TABLES = [name for name in dir(columns) if name.endswith("_COLUMNS") and not name.startswith("_")]


@pytest.mark.parametrize("table", TABLES)
def test_every_column_has_a_meaning(table: str) -> None:
    assert all(meaning.strip() for meaning in getattr(columns, table).values())


@pytest.mark.parametrize("table", columns.TABLES)
def test_every_column_of_a_table_has_a_kind_and_a_rows_name_is_of_its_columns(table: str) -> None:
    declared = columns.TABLES[table]
    assert declared.keys() <= KINDS.keys()
    assert {*columns.ROW_NAMES[table], *columns.FILLED.get(table, ())} <= declared.keys()


def test_a_row_has_every_column_and_no_other() -> None:
    assert row_of(["a", "b"], b=1) == {"a": None, "b": 1}
    with pytest.raises(KeyError, match="no column c, d"):
        row_of(["a", "b"], c=1, d=2)


def test_a_table_is_written_and_read_back_with_numbers_and_blanks(tmp_path: Path) -> None:
    rows = [
        {"size": 60, "accuracy": 0.5, "name": "S3T", "note": None},
        {"size": 7, "accuracy": 1e-05, "name": "x,\n", "note": "y"},
    ]
    text = csv_text(["size", "accuracy", "name", "note"], rows)
    assert text.splitlines()[:2] == ["size,accuracy,name,note", "60,0.5,S3T,"]
    (tmp_path / "t.csv").write_text(text, newline="")
    assert read_csv(tmp_path / "t.csv") == rows
    (tmp_path / "t.csv").write_text("loss\nnan\ninf\n")
    nan, inf = (row["loss"] for row in read_csv(tmp_path / "t.csv"))
    assert math.isnan(nan) and inf == math.inf


def test_names_stay_text_where_they_look_like_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("class,run,accuracy\n001,1_0,1e-1\n1e3,,2\n")
    first, second = read_csv(tmp_path / "t.csv")
    assert first == {"class": "001", "run": "1_0", "accuracy": 0.1}
    assert second == {"class": "1e3", "run": None, "accuracy": 2}


def test_the_outputs_of_a_net_are_numbers_whatever_their_names(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("NumIters,class,condition\n0,0.5,0.25\n")
    assert read_log_csv(tmp_path / "test.csv") == [{"NumIters": 0, "class": 0.5, "condition": 0.25}]


def test_a_table_that_a_spreadsheet_saved_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfsize,loss\r\n60,0.5\r\n")
    assert read_csv(tmp_path / "t.csv") == [{"size": 60, "loss": 0.5}]


@pytest.mark.parametrize(
    ("data", "line", "why"),
    [
        (b"size,condition,loss\n60,S3T,0.5\n60,S4", 3, "not as many cells as columns: the table was cut or edited"),
        (b"size,loss\n60,0.5,0.6\n", 2, "not as many cells as columns: the table was cut or edited"),
        (b"size;loss\n60;0,5\n", 1, "semicolons between the cells"),
        (b"size,condition\n60,S3T\n60,S0T\n", 3, "'S0T' is no condition; base, FTall"),
    ],
)
def test_a_table_that_was_cut_or_edited_is_an_error_with_its_line(
    tmp_path: Path, data: bytes, line: int, why: str
) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(UserError) as error:
        read_csv(tmp_path / "t.csv")
    assert str(error.value).startswith(f"{tmp_path}/t.csv:{line}: {why}")
    assert str(error.value).endswith("; summarize or publish the experiment again")
    (tmp_path / "t.csv").write_bytes(b"size,class\n60,caf\xe9\n")
    with pytest.raises(UserError, match=r"t\.csv: not UTF-8; save it so"):
        read_csv(tmp_path / "t.csv")


RUN = "fashion-mnist,A2B,60,S3T,20,0.725,ok,models/demo/A2B/n0060/S3T/seed20"
OF_RUNS = "dataset,direction,size,condition,seed,accuracy,status,run"


def faults_of(path: Path, *lines: str) -> str:
    path.write_text("\n".join([*lines, ""]))
    with pytest.raises(UserError) as error:
        read_csv(path)
    text = str(error.value)
    assert text.endswith("; summarize or publish the experiment again")
    return text.removesuffix("; summarize or publish the experiment again").replace(f"{path}:", "")


@pytest.mark.parametrize(
    ("good", "bad", "why"),
    [
        ("0.725", "72.5", "accuracy: found '72.5'; right is a share between 0 and 1, as 0.725"),
        ("0.725", '"0,75"', "accuracy: found '0,75'; right is a share between 0 and 1, as 0.725"),
        ("0.725", "nan", "accuracy: nan in a row with status ok; right is a share between 0 and 1"),
        ("0.725,ok", ",stuck", "accuracy: blank in a row with status stuck; right is a share between 0 and 1"),
        (",ok,", ",OK,", "status: found 'OK'; right is ok, stuck, diverged or failed"),
        ("A2B,", "A2C,", "direction: found 'A2C'; right is A2B or B2A"),
        (",60,", ",60.5,", "size: found '60.5'; right is a whole number of images a class from 1 on, or all"),
        (",60,", ",0,", "size: found '0'; right is a whole number of images a class from 1 on, or all"),
        (",60,", ",-1,", "size: found '-1'; right is a whole number of images a class from 1 on, or all"),
        (",60,", ",sixty,", "size: found 'sixty'; right is a whole number of images a class from 1 on, or all"),
        (",20,", ",a,", "seed: found 'a'; right is a whole number that is not negative"),
        (",20,", ",,", "seed: blank; every row has one"),
        ("models/demo/A2B/n0060/S3T/seed20", "", "run: blank; every row has one"),
        (
            ",60,",
            ",70,",
            "run: found 'models/demo/A2B/n0060/S3T/seed20'; the row's other cells name A2B/n0070/S3T/seed20",
        ),
    ],
)
def test_a_value_that_its_column_cannot_have_is_an_error_with_its_line(
    tmp_path: Path, good: str, bad: str, why: str
) -> None:
    other = RUN.replace("20", "21")
    assert RUN.count(good) >= 1
    assert faults_of(tmp_path / "runs.csv", OF_RUNS, other, RUN.replace(good, bad, 1)) == f"3: {why}"


def test_all_faults_of_a_table_are_told_at_once_but_not_hundreds(tmp_path: Path) -> None:
    rows = [RUN.replace("A2B", "A2C").replace("0.725", "x"), RUN.replace(",S3T", ""), RUN.replace(",ok", ",")]
    assert faults_of(tmp_path / "runs.csv", OF_RUNS, *rows).splitlines() == [
        "2: direction: found 'A2C'; right is A2B or B2A",
        "2: accuracy: found 'x'; right is a share between 0 and 1, as 0.725",
        "3: not as many cells as columns: the table was cut or edited",
        "4: status: blank; every row has one",
    ]
    told = faults_of(tmp_path / "curves.csv", "run,iteration,training_loss", *[f"a,{at},abc" for at in range(30)])
    assert len(told.splitlines()) == 21 and told.endswith(" and 10 more faults")


def test_rows_of_runs_that_failed_or_diverged_may_be_blank_or_not_a_number(tmp_path: Path) -> None:
    rows = [RUN.replace("0.725,ok", ",failed"), RUN.replace("0.725,ok", "nan,diverged").replace("A2B", "B2A")]
    (tmp_path / "runs.csv").write_text("\n".join([OF_RUNS, *rows, ""]))
    failed, diverged = read_csv(tmp_path / "runs.csv")
    assert failed["accuracy"] is None and math.isnan(diverged["accuracy"])
    (tmp_path / "curves.csv").write_text("run,iteration,validation_loss,training_loss\na,0,inf,nan\na,20,,-1\n")
    first, second = read_csv(tmp_path / "curves.csv")
    assert first["validation_loss"] == math.inf and math.isnan(first["training_loss"])
    assert second == {"run": "a", "iteration": 20, "validation_loss": None, "training_loss": -1}


def test_two_rows_of_the_same_name_are_an_error_with_both_lines(tmp_path: Path) -> None:
    doubled = RUN.replace("0.725", "0.1")
    assert faults_of(tmp_path / "runs.csv", OF_RUNS, RUN, RUN.replace("20", "21"), doubled) == (
        "4: the same direction, size, condition, seed as in line 2; keep one of them"
    )
    assert faults_of(tmp_path / "t.csv", "size,loss,size", "1,2,3") == "1: the column 'size' is there twice; keep one"


def test_a_column_that_a_table_lacks_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("size\n60\n")
    (row,) = read_csv(tmp_path / "t.csv")
    assert row.get("loss") is None
    with pytest.raises(UserError) as error:
        row["loss"]
    assert str(error.value) == f"{tmp_path}/t.csv: no column loss; summarize or publish the experiment again"


def test_rows_of_an_older_table_are_blank_where_it_has_no_column() -> None:
    assert with_columns(["size", "loss"], [{"size": 60, "gone": 1}]) == [{"size": 60, "loss": None}]


@pytest.mark.parametrize("row", [{"size": 1}, {"size": 1, "loss": 2, "more": 3}])
def test_a_row_with_other_names_is_not_written(row: dict) -> None:
    with pytest.raises(KeyError, match=r"columns and values differ by (loss|more)"):
        csv_text(["size", "loss"], [row])


def test_sizes_and_conditions_have_the_order_of_the_tables() -> None:
    assert sorted([50, "all", 500], key=size_order) == ["all", 500, 50]
    names = ["S3T-retain", "R1T", "T1T", "S2T+", "source", "S10T", "S2T", "FTall", "base"]
    ordered = sorted(names, key=condition_order)
    assert ordered[:4] == ["base", "FTall", "S2T", "S10T"] and ordered[-1] == "source"
    with pytest.raises(ValueError, match="S0T"):
        condition_order("S0T")


def test_a_run_is_named_by_its_key_and_its_labels_by_direction_and_seed() -> None:
    assert run_key({"run": "models/tiny+max_iter=7/A2B/n0300/S3T/seed2"}) == "A2B/n0300/S3T/seed2"
    assert label_key("A2B/n0300/S3T/seed2") == "label/A2B/seed2"


def test_the_engines_name_is_that_of_the_executable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAFFE", raising=False)
    assert columns.engine_name() == "caffe"
    monkeypatch.setenv("CAFFE", "/opt/bin/torchcaffe")
    assert columns.engine_name() == "torchcaffe"
