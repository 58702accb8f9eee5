"""The verb parse on damaged and joined logs: what is lost is left out and told, and costs no other row."""

import shutil

import pytest

from tests.tools.test_parse import LOGS, PREFIX, TRAIN_ROW, csvs, expected
from tools.common.errors import UserError
from tools.parse import main


@pytest.mark.parametrize("end", ["0.", "0.5", "0.55 (* 1 = 0.55 l"])
def test_a_last_row_that_was_cut_in_its_number_is_left_out_and_told_also_with_a_line_end(end, tmp_path, capsys):
    outputs = "{0}Iteration {1}, Testing net (#0)\n{0}Test net output #0: loss = {2}\n"
    rows = [outputs.format(PREFIX, 10, "0.75 (* 1 = 0.75 loss)"), outputs.format(PREFIX, 20, end)]
    (tmp_path / "caffe.log").write_text("".join(rows))
    main([str(tmp_path)])
    assert csvs(tmp_path)[1].splitlines()[1:] == ["10,0,,0.75,0"]
    assert "the last row is left out" in capsys.readouterr().out


@pytest.mark.parametrize("cut", ["Iteration 1, loss = 1.", "Test loss: 1.", "Test net output #0: accuracy = 1."])
def test_a_row_that_was_cut_after_the_point_of_a_number_is_left_out_and_told(cut, tmp_path, capsys):
    row = [
        "Iteration 1, Testing net (#0)",
        "Test loss: 1.5",
        "Test net output #0: accuracy = 1",
        "Iteration 1, loss = 1.5",
    ]
    messages = [cut if message.startswith(cut[:-3]) else message for message in row]
    assert messages != row
    (tmp_path / "caffe.log").write_text(
        "".join(f"{PREFIX}{message}\n" for message in [*messages, "Iteration 2, loss = 1"])
    )
    main([str(tmp_path)])
    assert sum(text.count("\n1,") for text in csvs(tmp_path)) == 1
    assert "1 rows are left out" in capsys.readouterr().out


@pytest.mark.parametrize("line", ["", "Iteration 1, lr = 0.05 x", "Iteration 1, lr = 0.", "Iteration 1, lr ="])
def test_a_rate_that_is_lost_is_told_and_not_that_of_another_row(line, tmp_path, capsys):
    log = "".join(TRAIN_ROW.format(n=n) for n in range(3))
    old = f"{log.splitlines()[3]}\n"
    (tmp_path / "caffe.log").write_text(log.replace(old, f"{PREFIX}{line}\n" if line else ""))
    main([str(tmp_path)])
    assert [row.split(",")[2] for row in csvs(tmp_path)[0].splitlines()] == ["LearningRate", "0.1", "", "0.1"]
    said = capsys.readouterr().out
    assert "1 rows have no learning rate" in said and "left out" not in said


def test_a_finished_training_before_another_in_one_log_is_told(tmp_path, capsys):
    start, end = (f"{PREFIX}{text}\n" for text in ("Initializing solver from parameters: ", "Optimization Done."))
    rows = [TRAIN_ROW.format(n=n) for n in range(3)]
    (tmp_path / "caffe.log").write_text(start + "".join(rows) + end + (start + rows[0]).replace(" 10:", " 11:"))
    main([str(tmp_path)])
    assert len(csvs(tmp_path)[0].splitlines()) == 2
    assert "3 rows of a training that had finished are left out" in capsys.readouterr().out


def test_a_lost_line_end_costs_the_row_before_it_and_is_told(tmp_path, capsys):
    """As in 2014: the rate comes first."""
    lines = [f"{PREFIX}Iteration {n}, {key}\n" for n in range(3) for key in ("lr = 0.1", "loss = 2.5")]
    (tmp_path / "caffe.log").write_text("".join([*lines[:3], lines[3].rstrip(), *lines[4:]]))
    main([str(tmp_path)])
    assert [row.split(",")[0] for row in csvs(tmp_path)[0].splitlines()] == ["NumIters", "0", "2"]
    said = capsys.readouterr().out
    assert "1 rows are left out" in said and "rate" not in said


def test_of_ranks_with_one_process_id_the_rows_of_one_are_kept(tmp_path, capsys):
    lines = (LOGS / "bvlc-1.0.log").read_text().splitlines()
    (tmp_path / "caffe.log").write_text("".join(f"{rank}: {line}\n" for line in lines for rank in (0, 1)))
    main([str(tmp_path)])
    assert csvs(tmp_path) == expected(LOGS / "bvlc-1.0.log")
    said = capsys.readouterr().out
    assert "2 processes wrote this log at once" in said and "left out" not in said


DISPLAY = (
    "I0228 10:00:0{n}.000000 1 solver.cpp:239] Iteration {n}, loss = {n}.5\n"
    "I0228 10:00:0{n}.000000 1 solver.cpp:258]     Train net output #0: loss = {n}.5 (* 1 = {n}.5 loss)\n"
    "I0228 10:00:0{n}.000000 1 sgd_solver.cpp:112] Iteration {n}, lr = 0.1\n"
)
A_TEST = (
    "I0228 10:00:0{n}.000000 1 solver.cpp:347] Iteration {n}, Testing net (#0)\n"
    "I0228 10:00:0{n}.500000 1 solver.cpp:414]     Test net output #0: accuracy = 0.5\n"
)


@pytest.mark.parametrize("part", [DISPLAY, A_TEST, A_TEST + DISPLAY, DISPLAY + A_TEST])
@pytest.mark.parametrize("twice", [1, 3, 5])
def test_one_display_or_test_in_which_joined_logs_overlap_counts_once(part, twice, tmp_path, capsys):
    parts = [part.format(n=n) for n in range(6)]
    for name, log in (("once", parts), ("twice", [*parts[: twice + 1], *parts[twice:]])):
        (tmp_path / f"{name}.log").write_text("".join(log))
        main([str(tmp_path / f"{name}.log"), str(tmp_path / name)])
    assert csvs(tmp_path / "twice") == csvs(tmp_path / "once")
    assert "several solvers" not in capsys.readouterr().out


# What is told of several logs, and of places that are taken


@pytest.mark.parametrize("missing", ["gone.log", "empty"])
def test_of_several_logs_those_that_are_not_there_are_named_after_the_others(missing, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments in ([LOGS / "noise.log", tmp_path / missing], [tmp_path / missing, LOGS / "noise.log"]):
        with pytest.raises(UserError, match=missing):
            main(["--out", str(tmp_path / "out"), *map(str, arguments)])
        assert csvs(tmp_path / "out" / "noise") == expected(LOGS / "noise.log")
        shutil.rmtree(tmp_path / "out")
    with pytest.raises(UserError, match=missing):
        main(["--out", str(tmp_path / "out"), str(tmp_path / missing)])


def test_a_folder_in_the_place_of_a_table_is_told_before_anything_is_written(tmp_path):
    (tmp_path / "test.csv").mkdir()
    with pytest.raises(UserError, match=r"test\.csv: is a folder, and a table goes there; move it away"):
        main([str(LOGS / "noise.log"), str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["test.csv"]
