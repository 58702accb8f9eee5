"""The prefix of glog's lines, and time without a year."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.caffe_log.glog import Clock, days_between, glued_before, last_prefix, process_of

# Time without a year


@settings(max_examples=300)
@given(
    st.datetimes(datetime(1999, 1, 1), datetime(2101, 1, 1)),
    st.lists(st.floats(0, 23.9), min_size=1, max_size=40),
    st.sampled_from(["%m%d", "%Y%m%d"]),
)
def test_elapsed_time_is_right_in_every_year_if_no_day_passes_without_a_line(begin, steps, date_format):
    clock, now = Clock(), begin
    clock.set_second(begin.strftime(f"{date_format} %H:%M:%S"))
    clock.restart(f"{begin:%f}")
    for hours in steps:
        now += timedelta(hours=hours)
        clock.set_second(now.strftime(f"{date_format} %H:%M:%S"))
    assert timedelta(microseconds=clock.read(f"{now:%f}")) == now - begin


@pytest.mark.parametrize(
    ("before", "after", "days"),
    [
        ("0228", "0301", 1),  # a common year: no line of 29 February
        ("0228", "0229", 1),
        ("0229", "0301", 1),
        ("1231", "0101", 1),
        ("0101", "1231", -1),  # two threads at midnight, out of order
        ("0115", "0315", 59),
        ("20240228", "20240301", 2),
        ("20230228", "20230301", 1),
        ("20231231", "20250101", 367),
    ],
)
def test_days_between_two_dates(before, after, days):
    assert days_between(before, after) == days


def test_a_clock_that_is_set_back_takes_no_time_away():
    clock = Clock()
    for second in ["1027 02:59:59", "1027 02:00:00", "1027 02:00:05"]:
        clock.set_second(second)
        clock.read("000000")
    assert clock.read("000000") == 5_000_000


def test_pairs_of_times_are_read_as_one_by_one():
    """Also over the change of a minute and of a day, and where the clock was set back."""
    minutes, seconds = ["1027 02:59", "1027 03:00", "1028 00:00", "1028 00:00"], [59, 0, 7, 2]
    firsts, lasts = [0, 5, 999_999, 0], [10, 2, 999_999, 1]
    one_by_one, lapses = Clock(), []
    for minute, second, first, last in zip(minutes, seconds, firsts, lasts, strict=True):
        one_by_one.set_second(f"{minute}:{second:02}")
        lapses.append(one_by_one.read(f"{first:06}"))
        one_by_one.read(f"{last:06}")
    at_once = Clock()
    assert at_once.read_pairs(minutes, seconds, firsts, lasts) == lapses
    assert vars(at_once) == vars(one_by_one)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("I0228 10:00:00.123456  1234 solver.cpp:218] Iteration 20", "Iteration"),
        ("I20240228 10:00:00.123456 1234 solver.cpp:218]     Test net output", "Test"),
        ("I0228 10:00:00.123456\xa0 1234\xa0solver.cpp:218]\xa0 Iteration 20", "Iteration"),
        ("[1,0]<stderr>:W0228 10:00:00.123456 0x7fff72 solver.py:21] Snapshotting", "Snapshotting"),
        ("I0228 10:00:00.123456 12 solver.cpp:239] Iteration 2I0228 10:00:09.000000 13 caffe.cpp:1] Use CPU.", "Use"),
        ("I0228 10:00:00.1I0228 10:00:09.000000 13 caffe.cpp:1] Use CPU.", "Use"),
        ("I0228 10:00:00.123456 12 net.cpp:593]     [Forward] Layer ip", ""),
        ("I0228 10:00:00.123456 12 net.cpp:593] RestartingI0228 10:00:09.000000 13 caffe.cpp:1] Use CPU.", "Use"),
        ("I1340 10:00:00.123456 12 net.cpp:593] Iteration", None),
        ("Iteration 20, loss = 1", None),
        ("", None),
    ],
)
def test_the_last_prefix_of_a_line_counts(line, word):
    prefix = last_prefix(line)
    assert (prefix and prefix[4]) == word


@pytest.mark.parametrize(
    ("before", "tag"),
    [
        ("", ""),
        ("[1,0]<stderr>:", "[1,0]<stderr>"),
        ("caffe_1  | ", "caffe_1  |"),
        (" 0: ", "0:"),
        ("node-1: ", "node-1:"),
        ("[pod/caffe-0/caffe] ", "[pod/caffe-0/caffe]"),
        ("[pod/caffe-0/caffe] 2024-02-28T10:00:00.123Z ", "[pod/caffe-0/caffe]"),
        ("[prterun-node-99@1,0]<stderr>: ", "[prterun-node-99@1,0]<stderr>"),
        ("caffe-7d4b9-x2k caffe ", "caffe-7d4b9-x2k caffe"),
        ("Feb 28 10:00:00 node-1 caffe[12]: ", "node-1 caffe[12]:"),
        ("2024-02-28T10:00:00+0000 node-1 caffe[12]: ", "node-1 caffe[12]:"),
        ("45%|####     | ", ""),
        ("10:00:00: ", ""),
        ("12:", ""),  # grep -n
        ("[10:00:00] ", ""),
        ("Loading data done. ", ""),
    ],
)
def test_the_tag_before_a_line_tells_processes_with_one_id_apart(before, tag):
    line = f"{before}I0228 10:00:00.123456  1234 solver.cpp:218] Iteration 20"
    assert process_of(line, last_prefix(line)) == (tag, "1234")


@pytest.mark.parametrize(
    ("message", "process", "left"),
    [
        ("Iteration 20, loss = 2.5", 12, "Iteration 20, loss = "),
        ("Iteration 20, lr = 0.1", 12, "Iteration 20, lr = "),
        ("Train net output #0: loss = 2.5 (* 1 = 2.5 loss)", 12, "Train net output #0: loss = 2.5 (* 1 = 2.5 loss)"),
        ("Iteration 20, loss = 2.5", 13, None),  # another attempt: the line was cut when Caffe was killed
    ],
)
@pytest.mark.parametrize("tag", ["", "0: "])
def test_what_lost_its_line_end_is_left_without_the_number_at_its_end(message, process, left, tag):
    prefix = f"{tag}I0228 10:00:00.123456 12 solver.cpp:239] "
    line = f"{prefix}{message}I0228 10:00:09.000000 {process} caffe.cpp:1] Use CPU."
    assert glued_before(line, last_prefix(line)) == (prefix + left if left else "")
    assert glued_before(prefix, last_prefix(prefix)) == ""
