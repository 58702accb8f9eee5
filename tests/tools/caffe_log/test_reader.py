"""Rows of a log as they come, several attempts merged, and logs of real Caffe."""

import math
import signal
import subprocess
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.caffe_log import Log, LogReader
from tools.parse import parse_log

LOGS = Path(__file__).parent / "logs"


def read(text: str) -> Log:
    reader = LogReader()
    for line in text.splitlines():
        reader.feed(line)
    return reader.finish()


def events(text: str) -> list:
    reader = LogReader()
    return [event for line in text.splitlines() if (event := reader.feed(line))]


# Rows as they come


def test_each_row_is_told_of_when_it_is_complete():
    told = events((LOGS / "2015-no-rate-shown.log").read_text())
    assert [(event.kind, event.iteration, event.loss) for event in told if event.kind == "train"] == [
        ("train", 0, 5.31028),
        ("train", 20, 5.29817),
        ("train", 40, 5.2711),
        ("train", 60, 5.26002),
    ]
    first = told[0]
    assert (first.kind, first.iteration, first.net, first.seconds) == ("test", 0, 0, 10.25)
    assert first.outputs == {"accuracy": 0.00512, "loss": 5.2989} and first.loss is None


@pytest.mark.parametrize("log", ["bvlc-1.0", "2013-test-score", "nan-and-inf", "same-names"])
def test_what_is_told_line_by_line_is_what_the_tables_hold(log):
    told = events((LOGS / f"{log}.log").read_text())
    whole = parse_log(LOGS / f"{log}.log")
    for kind, table in [("train", whole.train), ("test", whole.test)]:
        for event, row in zip([event for event in told if event.kind == kind], table.rows(), strict=True):
            assert (event.iteration, event.seconds) == (row["NumIters"], row["Seconds"])
            assert {name: repr(row[name]) for name in event.outputs} == {n: repr(v) for n, v in event.outputs.items()}


@pytest.mark.parametrize("first", ["900", "-3.2e+38", "nan", "-nan", "inf", "-inf"])
def test_the_rate_leaves_out_an_attempts_first_display_and_lapses_that_the_timer_cannot_see(first: str):
    """BVLC Caffe's first iter/s is garbage, and `(10 iter/s, 0s/10 iters)` is 10 iterations over an assumed second."""
    shown = [f"{first} iter/s, 1", "-1.6e+38 iter/s, 1", "30 iter/s, 2", "10 iter/s, 0", "40 iter/s, 2", "50 iter/s, 2"]
    text = "".join(
        f"I0228 10:00:0{n}.000000 1 solver.cpp:239] Iteration {n} ({rate}s/10 iters), loss = 1\n"
        f"I0228 10:00:0{n}.000000 1 sgd_solver.cpp:112] Iteration {n}, lr = 1\n"
        for n, rate in enumerate(shown)
    )
    assert list(read(text).rates) == [30, 40, 50]
    assert read(text).iters_per_s == 40
    assert [event.iters_per_s for event in events(text) if event.iters_per_s > 0] == [30, 40, 50]


def test_without_a_displayed_rate_the_time_between_rows_gives_it():
    assert parse_log(LOGS / "2013-test-score.log").iters_per_s == pytest.approx(40)
    assert math.isnan(parse_log(LOGS / "one-test-only.log").iters_per_s)


# Several attempts


def attempt(start: int, end: int, base: datetime, header: bool, finished: bool) -> tuple[str, dict[int, int]]:
    """A log that displays every second iteration from `start` on, and what it displays: a second an iteration."""
    rows, lines = {}, []

    def say(seconds: float, what: str) -> None:
        lines.append(f"I{base + timedelta(seconds=seconds):%m%d %H:%M:%S.%f} 1 solver.cpp:1] {what}\n")

    if header:
        say(0, "Initializing solver from parameters: ")
        if start:
            say(1, "Restoring previous solver status from x.solverstate")
        say(3, "Solving net")
    for iteration in range(start + start % 2, end + 1, 2):
        rows[iteration] = iteration + base.minute * 1000
        say(3 + iteration - start, f"Iteration {iteration} (1 iter/s, 2s/2 iters), loss = {rows[iteration]}")
        say(3 + iteration - start, f"Iteration {iteration}, lr = 0.1")
    if finished:
        say(3 + end - start, "Optimization Done.")
    return "".join(lines), rows


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), min_size=1, max_size=6))
def test_rows_of_a_later_attempt_replace_the_earlier_ones_from_its_first_iteration_on(spans):
    text, merged = "", {}
    for minute, (start, length) in enumerate(spans):
        start = min(start, max(merged, default=start))  # no later than a snapshot of the attempt before it
        lines, rows = attempt(start, start + length, datetime(2023, 5, 1, 0, minute), True, False)
        text += lines
        if rows:
            merged = {n: loss for n, loss in merged.items() if n < min(rows)} | rows
    log = read(text)
    assert dict(zip(log.train.column("NumIters"), log.train.column("SmoothedLoss"), strict=True)) == merged
    assert log.attempts == len(spans)
    assert log.train.column("NumIters") == sorted(merged)
    assert log.train.column("Seconds") == sorted(log.train.column("Seconds"))


@pytest.mark.parametrize(
    ("says", "kept"),
    [
        ([], False),
        (["Resuming from x.solverstate"], True),
        (["SGDSolver: restoring history"], True),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_an_attempt_that_resumes_nothing_keeps_no_row_of_another_wherever_it_displays_first(says, kept, finished):
    first, _ = attempt(0, 10, datetime(2023, 5, 1, 0, 1), True, finished)
    second, rows = attempt(6, 12, datetime(2023, 5, 1, 0, 2), False, False)
    header = ["Initializing solver from parameters: ", *says, "Solving net"]
    log = read(first + "".join(f"I0501 00:01:30.000000 1 solver.cpp:1] {line}\n" for line in header) + second)
    assert log.train.column("NumIters") == ([0, 2, 4, *rows] if kept else list(rows))
    assert log.lost_rows == (6 if finished and not kept else 0)


def test_iterations_that_go_back_are_another_attempt_even_without_a_header():
    first, _ = attempt(0, 10, datetime(2023, 5, 1, 0, 1), False, False)
    second, rows = attempt(4, 12, datetime(2023, 5, 1, 0, 2), False, True)
    log = read(first + second)
    assert (log.attempts, log.finished) == (2, True)
    assert log.train.column("NumIters") == [0, 2, 4, 6, 8, 10, 12]
    assert log.train.column("SmoothedLoss")[2:] == list(rows.values())
    assert log.train.column("Seconds") == [0, 2, 10, 12, 14, 16, 18]  # 10 s were trained before; the pause is none


def test_seconds_are_the_sum_of_all_training_and_of_no_pause_between():
    log = parse_log(LOGS / "resumed.log")
    assert log.seconds == 8 + 6
    assert log.attempts == 3


def test_facts_are_the_last_attempts():
    done, _ = attempt(0, 4, datetime(2023, 5, 1, 0, 1), True, True)
    cut, _ = attempt(4, 8, datetime(2023, 5, 1, 0, 2), True, False)
    abort = "F0501 00:03:00.000000 1 x.cpp:1] Check failed: disk\n"
    assert (read(done).finished, read(done + cut).finished) == (True, False)
    assert read(cut + abort).fatal[-1] == abort.strip()
    assert read(cut + abort + done).fatal == []
    assert read(abort + done).fatal == []  # the engine did not even come to its solver


@pytest.mark.parametrize(
    "crash",
    [
        "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc",
        "*** SIGTERM (@0x308d) received by PID 12430 (TID 0x7fc524d34d00) from PID 12429; stack trace: ***",
    ],
)
def test_a_crash_without_a_fatal_message_is_kept_too(crash):
    cut, _ = attempt(0, 2, datetime(2023, 5, 1, 0, 1), True, False)
    fatal = read(f"{cut}{crash}\n    @     0x7fc53083d8e7 caffe::Net<>::Forward()\n").fatal
    said = [line.strip() for line in crash.splitlines()]
    assert fatal[-len(said) :] == said
    assert "Iteration 2, lr = 0.1" in fatal[-len(said) - 1]


def test_a_solver_that_starts_again_is_another_attempt():
    lines = ["Solving net", "Iteration 0, loss = 4", "Iteration 0, lr = 1"]
    again = ["Solving net", "Iteration 9, loss = 3", "Iteration 9, lr = 1"]
    text = [f"I0501 00:00:0{n}.000000 1 solver.cpp:1] {line}" for n, line in enumerate(lines)]
    text += [f"I0501 07:00:0{n}.000000 1 solver.cpp:1] {line}" for n, line in enumerate(again)]
    log = read("\n".join(text))
    assert log.attempts == 2
    assert log.train.column("Seconds") == [1, 2 + 1]


def test_a_run_that_goes_on_after_its_last_display_has_outputs_where_that_had_none():
    display = "Iteration {n} (9 iter/s, 1s/9 iters), loss = 2", "Train net output #0: loss = 2", "Iteration {n}, lr = 1"
    first = ["Solving net", *(line.format(n=0) for line in display), "Iteration 9, loss = 1", "Optimization Done."]
    second = ["Solving net", *(line.format(n=9) for line in display)]
    text = "\n".join(f"I0501 00:00:00.000000 1 solver.cpp:1] {line}" for line in first)
    more = "\n".join(f"I0501 00:00:00.000000 1 solver.cpp:1] {line}" for line in second)
    assert read(text).train.column("loss") == [2, None]
    assert read(f"{text}\n{more}").train.column("loss") == [2, 2]


def test_layers_are_ignored_in_the_attempt_that_copies_and_a_resume_keeps_them():
    def said(*lines: str) -> str:
        lines = "Initializing solver from parameters: ", *lines, "Solving net"
        return "".join(f"I0501 00:00:00.000000 1 solver.cpp:1] {line}\n" for line in lines)

    several = said("Finetuning from a", "Ignoring source layer fc8", "Finetuning from b", "Ignoring source layer fc7")
    assert read(several).ignored_layers == ["fc8", "fc7"]
    assert read(several + said("Resuming from c")).ignored_layers == ["fc8", "fc7"]
    assert read(several + said("Finetuning from d", "Ignoring source layer fc6")).ignored_layers == ["fc6"]


# Real Caffe

NET = """
name: "tiny"
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 8 dim: 4 } shape { dim: 8 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy" top: "per_class"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" loss_weight: 0.5 }
"""


SOLVER = """
net: "net.prototxt" test_iter: 2 test_iter: 1 test_interval: 20 test_compute_loss: true
base_lr: 0.1 lr_policy: "multistep" stepvalue: 20 stepvalue: 30 gamma: 0.1 momentum: 0.9
display: 10 max_iter: 40 snapshot: 20 snapshot_prefix: "tiny" random_seed: 1 solver_mode: CPU
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, caffe) -> Path:
    """A folder with a tiny net, trained by real Caffe: its log, its snapshots."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "net.prototxt").write_text(NET)
    (folder / "solver.prototxt").write_text(SOLVER)
    train(caffe, folder, folder / "caffe.log")
    return folder


def train(caffe: Path, folder: Path, log: Path, *arguments: str, mode: str = "w") -> int:
    command = [caffe, "train", "--solver=solver.prototxt", *arguments]
    with open(log, mode) as out:
        return subprocess.run(command, cwd=folder, stdout=out, stderr=out, check=False).returncode


def test_real_caffe_every_display_and_test_is_a_row(tiny):
    log = parse_log(tiny / "caffe.log")
    train, test = list(log.train.rows()), list(log.test.rows())
    assert log.train.columns == ["NumIters", "Seconds", "LearningRate", "loss", "SmoothedLoss"]
    assert [row["NumIters"] for row in train] == [0, 10, 20, 30, 40]
    assert [row["LearningRate"] for row in train] == [0.1, 0.1, 0.01, 0.001, 0.001]
    assert [row["loss"] is None for row in train] == [False] * 4 + [True]  # the last display has no outputs
    for row in train[:-1]:
        assert row["SmoothedLoss"] == pytest.approx(0.5 * row["loss"], rel=1e-5)
    names = ["accuracy", "loss", "per_class[0]", "per_class[1]", "per_class[2]", "TestLoss", "TestNet"]
    assert log.test.columns == ["NumIters", "Seconds", "LearningRate", *names]
    assert [(row["NumIters"], row["TestNet"]) for row in test] == [(n, net) for n in (0, 20, 40) for net in (0, 1)]
    assert [row["LearningRate"] for row in test] == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    for row in test:
        assert row["TestLoss"] == pytest.approx(0.5 * row["loss"], rel=1e-5)
        assert row["per_class[1]"] == row["accuracy"]  # every label is 1
    assert (log.finished, log.attempts, log.stopped_early, log.fatal) == (True, 1, False, [])
    assert 0 < train[-1]["Seconds"] <= log.seconds < 60


def test_real_caffe_resumed_into_the_same_log(tiny, caffe, tmp_path):
    log = tmp_path / "caffe.log"
    first = (tiny / "caffe.log").read_text()
    log.write_text(first[: first.index("Iteration 30, lr") + 9])  # as a kill leaves it
    assert train(caffe, tiny, log, "--snapshot=tiny_iter_20.solverstate", mode="a") == 0
    alone = tmp_path / "alone.log"
    alone.write_text(log.read_text()[first.index("Iteration 30, lr") + 9 :])
    both, second = parse_log(log), parse_log(alone)
    assert (both.attempts, both.finished) == (2, True)
    assert both.train.column("NumIters") == [0, 10, 20, 30, 40]
    assert both.train.column("SmoothedLoss")[2:] == second.train.column("SmoothedLoss")
    assert both.test.column("accuracy")[2:] == second.test.column("accuracy")
    assert both.ignored_layers == []


def test_real_caffe_resumed_from_its_last_snapshot_has_the_rates_of_a_run_in_one_piece(tiny, caffe, tmp_path):
    """It prints no rate: no iteration is left to do."""
    log, first = tmp_path / "caffe.log", (tiny / "caffe.log").read_text()
    end = first.index("\n", first.rindex("Snapshotting solver state")) + 1
    log.write_text(first[:end])  # as a kill leaves it
    assert train(caffe, tiny, log, "--snapshot=tiny_iter_40.solverstate", mode="a") == 0
    both, alone = parse_log(log), parse_log(tiny / "caffe.log")
    assert (both.attempts, both.finished) == (2, True)
    for found, right in ((both.train, alone.train), (both.test, alone.test)):
        assert found.column("NumIters") == right.column("NumIters")
        assert found.column("LearningRate") == right.column("LearningRate")
        assert None not in found.column("LearningRate")


def test_real_caffe_names_the_layers_that_the_train_net_did_not_take(tiny, caffe, tmp_path):
    """A test net ignores what the train net does, and says so again; a layer of the train net only is no news."""
    renamed = NET.replace('name: "ip2"', 'name: "ip2_T"')
    (tmp_path / "net.prototxt").write_text(renamed.replace('name: "loss"', 'name: "loss" include { phase: TRAIN }'))
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    assert train(caffe, tmp_path, tmp_path / "caffe.log", f"--weights={tiny}/tiny_iter_40.caffemodel") == 0
    text = (tmp_path / "caffe.log").read_text()
    assert text.count("Ignoring source layer ip2\n") == 3 and "Ignoring source layer loss\n" in text
    assert parse_log(tmp_path / "caffe.log").ignored_layers == ["ip2"]


def test_real_caffe_stopped_by_a_signal(caffe, tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    endless = SOLVER.replace("max_iter: 40", "max_iter: 2000000000").replace("snapshot: 20", "snapshot: 0")
    quiet = endless.replace("display: 10", "display: 1000").replace("test_interval: 20", "test_interval: 1000000")
    (tmp_path / "solver.prototxt").write_text(quiet)
    log = tmp_path / "caffe.log"
    with open(log, "w") as out:
        process = subprocess.Popen([caffe, "train", "--solver=solver.prototxt"], cwd=tmp_path, stderr=out)
    give_up = time.monotonic() + 120
    while "Iteration 1000," not in log.read_text():
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 0
    read = parse_log(log)
    assert "Optimization Done." in log.read_text()
    assert (read.stopped_early, read.finished) == (True, False)


def test_real_caffe_that_aborts_leaves_its_last_messages(tiny, caffe, tmp_path):
    wider = NET.replace("num_output: 5", "num_output: 6")
    (tmp_path / "net.prototxt").write_text(wider)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    code = train(caffe, tmp_path, tmp_path / "caffe.log", f"--weights={tiny}/tiny_iter_40.caffemodel")
    log = read((tmp_path / "caffe.log").read_text())
    assert code != 0 and not log.finished
    assert "Cannot copy param 0 weights from layer 'ip1'" in log.fatal[-1]
    assert "Finetuning from" in log.fatal[-2]
    assert not [line for line in log.fatal + log.tail if "0x" in line]


# Lines between a row's lines, and lines that are missing

PREFIX = "I0501 10:00:00.000000 {} solver.cpp:1] "
WORKERS = """\
1] Iteration 0, loss = 4
1] Train net output #0: loss = 4 (* 1 = 4 loss)
1] Iteration 0, lr = 0.2
1] Iteration 10, loss = 3
7] Iteration 10, lr = 0.1
1] Train net output #0: loss = 3 (* 1 = 3 loss)
1] Iteration 10, lr = 0.1
"""
SIGHUP = """\
1] Iteration 10, Testing net (#0)
1] Snapshotting to binary proto file x.caffemodel
1] Snapshotting solver state to binary proto file x.solverstate
1] Test net output #0: accuracy = 0.5
1] Test net output #1: loss = 2 (* 1 = 2 loss)
1] Iteration 10, loss = 3
"""


def log_of(text: str) -> Log:
    """Each line is a thread and its message."""
    parts = [line.split("] ", 1) for line in text.splitlines()]
    return read("".join(f"{PREFIX.format(thread)}{message}\n" for thread, message in parts))


def test_a_rate_of_another_gpu_does_not_end_the_row_of_the_first():
    log = log_of(WORKERS)
    assert log.train.column("loss") == [4, 3] and log.train.column("LearningRate") == [0.2, 0.1]


def test_a_snapshot_that_a_signal_asks_for_within_a_test_does_not_end_its_row():
    log = log_of(SIGHUP)
    assert log.test.column("accuracy") == [0.5] and log.test.column("loss") == [2] and log.garbled_rows == 0


@pytest.mark.parametrize("lost", ["Iteration 10, loss = 3", "Iteration 10, Testing net (#0)"])
@pytest.mark.parametrize("left", ["", "Iteration 1", "Iteration 10 (5 iter/s, 2s", "Iteration 10,"])
def test_a_row_whose_first_line_is_missing_or_cut_is_counted(lost, left):
    text = WORKERS.replace("7] Iteration 10, lr = 0.1\n", "") + SIGHUP.replace(
        "Iteration 10, loss = 3", "Optimization Done."
    )
    log = log_of(text.replace(f"1] {lost}\n", f"1] {left}\n" if left else ""))
    assert log.garbled_rows + log.unread_count == 1 and len(log.train) + len(log.test) == 2
