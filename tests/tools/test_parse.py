"""The verb parse: every dialect of Caffe's logs becomes the CSVs beside it; a log without a row is refused."""

import gzip
import io
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.file_stamp import stamp
from tools.caffe_log.glog import plain_text
from tools.common.errors import UserError
from tools.parse import main, parse, parse_log

LOGS = Path(__file__).parent / "caffe_log" / "logs"
SEVERAL = {"resumed", "false-restart", "joined-out-of-order", "mpi-ranks"}  # attempts or processes
ONE_ATTEMPT = sorted(path for path in LOGS.glob("*.log") if path.stem not in SEVERAL)
PREFIX = "I0228 10:00:00.000000 1 solver.cpp:1] "
TRAIN_ROW = (
    "I0228 10:00:0{n}.000000 1 solver.cpp:239] Iteration {n} (1 iter/s, 1s/1 iters), loss = {n}.5\n"
    "I0228 10:00:0{n}.000000 1 sgd_solver.cpp:112] Iteration {n}, lr = 0.1\n"
)


def csvs(folder: Path) -> tuple[str, str]:
    return (folder / "train.csv").read_text(), (folder / "test.csv").read_text()


def expected(log: Path) -> tuple[str, str]:
    return log.with_suffix(".train.csv").read_text(), log.with_suffix(".test.csv").read_text()


def mended(log: Path, tmp_path: Path, **replaced: str) -> Path:
    """A copy of a golden log with one text in place of another; the text must be there once."""
    (old, new), text = replaced.values(), log.read_text()
    assert text.count(old) == 1
    copy = tmp_path / log.name
    copy.write_text(text.replace(old, new))
    return copy


@pytest.mark.parametrize("log", sorted(LOGS.glob("*.log")), ids=lambda path: path.stem)
def test_each_dialect_gives_its_expected_csvs(log, tmp_path):
    parse(log, tmp_path)
    assert csvs(tmp_path) == expected(log)


@pytest.mark.parametrize("log", sorted(LOGS.glob("*.log")), ids=lambda path: path.stem)
def test_windows_line_ends_change_nothing(log, tmp_path):
    crlf = tmp_path / "caffe.log"
    crlf.write_bytes(log.read_bytes().replace(b"\n", b"\r\n"))
    parse(crlf, tmp_path)
    assert csvs(tmp_path) == expected(log)


@settings(max_examples=150)
@given(st.data())
def test_a_log_cut_off_at_any_byte_gives_the_first_of_its_rows_and_no_half_number(tmp_path_factory, data):
    log = data.draw(st.sampled_from(ONE_ATTEMPT))
    whole = parse_log(log)
    content = log.read_bytes()
    cut = tmp_path_factory.getbasetemp() / "cut.log"
    cut.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        part = parse_log(cut)
    except UserError:
        return  # not one row yet
    for rows, all_rows in [(part.train.rows(), whole.train.rows()), (part.test.rows(), whole.test.rows())]:
        for row, full in zip(rows, all_rows, strict=False):
            # The one thing that may be open is a rate, if the log ends before it is known.
            pending = {"LearningRate"} if row["LearningRate"] is None else set()
            printed = {name: repr(cell) for name, cell in full.items() if cell is not None and name not in pending}
            assert {name: repr(cell) for name, cell in row.items() if cell is not None} == printed
    assert len(part.train) <= len(whole.train) and len(part.test) <= len(whole.test)


@pytest.mark.parametrize("name", ["caffe.log.gz", "caffe.log"])
def test_gzip_is_read_under_any_name(name, tmp_path):
    (tmp_path / name).write_bytes(gzip.compress((LOGS / "bvlc-1.0.log").read_bytes()))
    parse(tmp_path / name, tmp_path)
    assert csvs(tmp_path) == expected(LOGS / "bvlc-1.0.log")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_other_unicode_encodings_are_read(encoding, packed, tmp_path):
    content = (LOGS / "bvlc-1.0.log").read_text().replace("\n", "\r\n").encode(encoding)
    (tmp_path / "caffe.log").write_bytes(gzip.compress(content) if packed else content)
    parse(tmp_path / "caffe.log", tmp_path)
    assert csvs(tmp_path) == expected(LOGS / "bvlc-1.0.log")


def test_big_endian_with_a_byte_order_mark_is_read(tmp_path):
    content = b"\xfe\xff" + (LOGS / "bvlc-1.0.log").read_text().encode("utf-16-be")
    (tmp_path / "caffe.log").write_bytes(content)
    parse(tmp_path / "caffe.log", tmp_path)
    assert csvs(tmp_path) == expected(LOGS / "bvlc-1.0.log")


def test_a_damaged_gzip_file_is_refused(tmp_path):
    content = gzip.compress((LOGS / "bvlc-1.0.log").read_bytes())
    (tmp_path / "caffe.log.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"caffe\.log\.gz: cannot be read: the gzip data is damaged or cut off"):
        parse(tmp_path / "caffe.log.gz", tmp_path)
    (tmp_path / "caffe.log.gz").write_bytes(content[:30] + bytes(20) + content[50:])
    with pytest.raises(UserError, match=r"caffe\.log\.gz: cannot be read: the gzip data is damaged"):
        parse(tmp_path / "caffe.log.gz", tmp_path)


@pytest.mark.parametrize("log", ["bvlc-1.0", "mpi-ranks"], ids=["read once", "read twice"])
def test_standard_input_is_read(log, tmp_path, monkeypatch, capsys):
    content = gzip.compress((LOGS / f"{log}.log").read_bytes())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    main(["-", str(tmp_path)])
    assert csvs(tmp_path) == expected(LOGS / f"{log}.log")
    assert ("2 processes wrote this log at once" in capsys.readouterr().out) == (log == "mpi-ranks")


def test_a_pipe_is_read(tmp_path):
    pipe, content = tmp_path / "pipe", (LOGS / "mpi-ranks.log").read_bytes()
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[content])
    writer.start()
    parse(pipe, tmp_path)
    writer.join()
    assert csvs(tmp_path) == expected(LOGS / "mpi-ranks.log")


def test_several_logs_and_folders_get_a_folder_each(tmp_path, capsys):
    logs = tmp_path / "logs"
    for name, log in {"a/one.log": "noise", "a/deep/x.log": "leap-day", "caffe.INFO": "bvlc-1.0"}.items():
        (logs / name).parent.mkdir(parents=True, exist_ok=True)
        (logs / name).write_bytes((LOGS / f"{log}.log").read_bytes())
    (logs / "two.log.gz").write_bytes(gzip.compress((LOGS / "resumed.log").read_bytes()))
    (logs / "a" / "note.txt").write_text("not a log")
    main(["--out", str(tmp_path / "out"), str(logs / "a"), str(logs / "two.log.gz"), str(logs / "caffe.INFO")])
    folders = {"a/one": "noise", "a/deep/x": "leap-day", "caffe.INFO": "bvlc-1.0", "two": "resumed"}
    for folder, log in folders.items():
        assert csvs(tmp_path / "out" / folder) == expected(LOGS / f"{log}.log")
    assert capsys.readouterr().out.count("train.csv: ") == 4


def test_logs_whose_short_names_are_equal_keep_their_whole_names(tmp_path):
    content = (LOGS / "noise.log").read_bytes()
    (tmp_path / "x.log").write_bytes(content)
    (tmp_path / "x.log.gz").write_bytes(gzip.compress(content))
    main(["--out", str(tmp_path / "out"), str(tmp_path)])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x.log", "x.log.gz"]


@pytest.mark.parametrize("width", range(52, 96, 3))
def test_a_log_that_a_console_wrapped_at_any_width_is_whole(width, tmp_path):
    lines = (LOGS / "colours.log").read_text()
    plain = [line for line in plain_text(lines).splitlines() if line]
    parts = [part for line in plain for part in (line[:width], line[width:]) if part]
    (tmp_path / "caffe.log").write_text("\r\n".join(parts) + "\r\n", newline="")
    parse(tmp_path / "caffe.log", tmp_path)
    assert csvs(tmp_path) == expected(LOGS / "colours.log")


def test_of_several_logs_those_that_cannot_be_read_are_named_after_the_others(tmp_path):
    (tmp_path / "a.log").write_text("nothing\n")
    (tmp_path / "b.log").write_bytes((LOGS / "noise.log").read_bytes())
    with pytest.raises(UserError, match=r"a\.log: no log of Caffe's") as refusal:
        main(["--out", str(tmp_path / "out"), str(tmp_path)])
    assert "b.log" not in str(refusal.value)
    assert csvs(tmp_path / "out" / "b") == expected(LOGS / "noise.log")
    with pytest.raises(UserError, match="no log in this folder"):
        main(["--out", str(tmp_path / "out"), str(tmp_path / "out")])


def test_a_log_of_caffe_test_is_refused_by_name(tmp_path):
    log = tmp_path / "caffe.log"
    log.write_text("".join(f"{PREFIX}Batch {n}, accuracy = 0.5\n" for n in range(3)) + f"{PREFIX}Loss: 1.5\n")
    with pytest.raises(UserError, match="a log of `caffe test`, not of a training: 3 of its 4 lines"):
        parse_log(log)


def test_displays_in_a_form_that_is_not_read_are_refused_with_the_first(tmp_path):
    log = tmp_path / "caffe.log"
    log.write_text(TRAIN_ROW.format(n=0) + "".join(f"{PREFIX}Iteration {n} <9 ms>, loss = 1\n" for n in range(1, 4)))
    with pytest.raises(UserError, match=r"3 lines are in a form that is not read, and only 1 .* `.*Iteration 1 <9 ms>"):
        parse_log(log)


def test_rows_that_are_left_out_are_told(tmp_path, capsys):
    old = "I0314 15:09:40.250000 7701 solver.cpp:315]     Test net output #0: accuracy = 0.00512\n"
    log = mended(LOGS / "2015-no-rate-shown.log", tmp_path, old=old, new="")
    log.write_text(log.read_text() + f"{PREFIX}Iteration 9")
    main([str(log), str(tmp_path)])
    said = capsys.readouterr().out
    assert "1 rows are left out" in said and "the last line has no line end" in said and "Iteration 9" in said


def test_a_last_line_without_its_end_is_read_if_a_bracket_ends_it(tmp_path):
    """`loss = 2.5 (* 1 = 2.5 loss)` is whole: no digit can be missing."""
    text = (LOGS / "bvlc-1.0.log").read_text()
    log, end = tmp_path / "caffe.log", text.rindex("loss)") + len("loss)")
    log.write_text(text[:end] + "\n")
    parse(log, tmp_path / "whole")
    log.write_text(text[:end])
    parse(log, tmp_path / "cut")
    assert csvs(tmp_path / "cut") == csvs(tmp_path / "whole")


def test_every_row_that_is_followed_by_another_survives_a_cut(tmp_path):
    log = LOGS / "2015-no-rate-shown.log"
    cut = tmp_path / "caffe.log"
    cut.write_text(log.read_text().partition("Iteration 40, loss")[0])
    part = parse_log(cut)
    assert [row["NumIters"] for row in part.train.rows()] == [0, 20]
    assert [row["NumIters"] for row in part.test.rows()] == [0, 40]


def test_a_last_line_without_its_end_is_left_out_but_for_optimization_done(tmp_path):
    log = tmp_path / "caffe.log"
    rows = TRAIN_ROW.format(n=0) + TRAIN_ROW.format(n=1)
    log.write_text(rows.rstrip("\n"))  # ends in `lr = 0.1`, which could have been 0.125
    assert parse_log(log).train.column("LearningRate") == [0.1, None]
    log.write_text(rows + "I0228 10:00:02.000000 1 solver.cpp:332] Optimization Done.")
    assert parse_log(log).finished


@settings(max_examples=60)
@given(st.data())
def test_lines_of_other_programs_change_nothing(tmp_path_factory, data):
    log = LOGS / "bvlc-1.0.log"
    lines = log.read_text().splitlines(keepends=True)
    noise = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=40).filter(lambda s: "] " not in s)
    for _ in range(data.draw(st.integers(1, 20))):
        lines.insert(data.draw(st.integers(0, len(lines))), data.draw(noise) + "\n")
    noisy = tmp_path_factory.getbasetemp() / "noisy.log"
    noisy.write_text("".join(lines), encoding="utf-8", newline="")
    parse(noisy, noisy.parent / "noisy")
    assert csvs(noisy.parent / "noisy") == expected(log)


def test_bytes_that_are_no_utf8_are_no_obstacle(tmp_path):
    log = tmp_path / "caffe.log"
    log.write_bytes(b"\xff\xfe\x00 caf\xe9\n" + (LOGS / "noise.log").read_bytes())
    parse(log, tmp_path)
    assert csvs(tmp_path) == expected(LOGS / "noise.log")


@pytest.mark.parametrize("broken", ["0.7 x", "0.7.1", "", "0,7", "None"])
def test_a_garbled_number_spoils_its_row_and_no_other(tmp_path, broken):
    old = "Test net output #1: loss = 5.2989 (* 1 = 5.2989 loss)"
    log = mended(LOGS / "2015-no-rate-shown.log", tmp_path, old=old, new=f"Test net output #1: loss = {broken}")
    parse(log, tmp_path)
    header, _, last = expected(LOGS / "2015-no-rate-shown.log")[1].splitlines()
    assert csvs(tmp_path)[1].splitlines() == [header, last]


def test_a_missing_output_line_spoils_its_row(tmp_path):
    old = "I0314 15:09:40.250000 7701 solver.cpp:315]     Test net output #0: accuracy = 0.00512\n"
    log = mended(LOGS / "2015-no-rate-shown.log", tmp_path, old=old, new="")
    assert parse_log(log).test.column("NumIters") == [40]


def test_an_interrupted_test_is_no_row(tmp_path):
    log = tmp_path / "caffe.log"
    said = ["Iteration 1, Testing net (#0)", "Test interrupted.", "Optimization stopped early."]
    log.write_text(TRAIN_ROW.format(n=0) + "".join(f"{PREFIX}{message}\n" for message in said))
    read = parse_log(log)
    assert (len(read.train), len(read.test), read.stopped_early) == (1, 0, True)


def test_a_run_folder_is_its_caffe_log_and_the_csvs_go_beside_it(tmp_path, capsys):
    (tmp_path / "caffe.log").write_bytes((LOGS / "resumed.log").read_bytes())
    main([str(tmp_path)])
    assert csvs(tmp_path) == expected(LOGS / "resumed.log")
    said = capsys.readouterr().out
    assert "train.csv: 5 rows" in said and "test.csv: 3 rows" in said and "finished at attempt 3" in said


def test_the_csvs_go_where_they_are_asked_to(tmp_path, capsys):
    main([str(LOGS / "leap-day.log"), str(tmp_path / "new" / "folder")])
    assert csvs(tmp_path / "new" / "folder") == expected(LOGS / "leap-day.log")
    assert "finished, 129601.0 s of training" in capsys.readouterr().out


def test_a_second_call_leaves_the_files_alone(tmp_path):
    parse(LOGS / "noise.log", tmp_path)
    before = stamp(tmp_path / "train.csv")
    parse(LOGS / "noise.log", tmp_path)
    assert stamp(tmp_path / "train.csv") == before


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", ["is empty", "2> caffe.log"]),
        ("\n \n", ["is empty"]),
        ("epoch,loss\n0,1.5\n", ["no log of Caffe's", "none of its 2 lines", "epoch,loss", "Iteration 0, loss"]),
        ("Iteration 0, loss = 2.3\n", ["no log of Caffe's", "Iteration 0, loss = 2.3"]),
        (f"{PREFIX}Solving x\n", ["not one complete row in 1 lines", "Solving x", "display or test_interval"]),
        (f"{PREFIX}Iteration 0, loss = 2.3\n", ["not one complete row", "Iteration 0, loss = 2.3"]),
        (
            f"[libprotobuf ERROR text.cc:288] 1:18: no field named foo\nF{PREFIX[1:]}Check failed: cannot parse\n"
            "*** Check failure stack trace: ***\n    @     0x7fbbe951b50d  google::LogMessage::Fail()\n",
            ["not one complete row", "no field named foo | F0228", "Check failed: cannot parse"],
        ),
    ],
    ids=["empty", "blank", "csv", "no prefix", "no row", "no complete row", "aborted"],
)
def test_a_log_without_a_row_is_refused_by_name_and_nothing_is_written(tmp_path, content, says):
    log = tmp_path / "some.log"
    log.write_text(content)
    with pytest.raises(UserError) as refusal:
        parse(log, tmp_path / "out")
    text = str(refusal.value)
    assert text.startswith(f"{log}: ") and "LogMessage" not in text
    assert [part for part in says if part not in text] == []
    assert not (tmp_path / "out").exists()


def test_a_log_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no such log: .*gone\.log"):
        parse_log(tmp_path / "gone.log")
    with pytest.raises(UserError, match=r"no caffe\.log in this folder"):
        parse_log(tmp_path)


def test_a_log_that_cannot_be_read_is_refused():
    with pytest.raises(UserError, match="/proc/self/mem: cannot be read: Input/output error"):
        parse_log(Path("/proc/self/mem"))


# Logs that were joined from parts


def test_lines_that_are_there_twice_count_once(tmp_path):
    log = LOGS / "bvlc-1.0.log"
    lines = log.read_text().splitlines(keepends=True)
    overlap = len(lines) // 2
    for joined in [lines * 2, [line for line in lines for _ in range(2)], lines[:-overlap] + lines[-2 * overlap :]]:
        (tmp_path / "caffe.log").write_text("".join(joined))
        parse(tmp_path / "caffe.log", tmp_path)
        assert csvs(tmp_path) == expected(log)


def test_an_attempt_whose_clock_was_set_back_comes_after_the_first(tmp_path):
    log = LOGS / "resumed.log"
    text = log.read_text()
    assert text.index("I1231 23:") == 0 and "I0102 11:" in text
    (tmp_path / "caffe.log").write_text(text.replace("I0102 11:", "I1231 21:"))
    parse(tmp_path / "caffe.log", tmp_path)
    assert csvs(tmp_path) == expected(log)
