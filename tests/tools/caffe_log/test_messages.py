"""Messages of a solver: which are read, which are told, and which are the end of another line."""

import pytest

from tools.caffe_log.messages import DISPLAY, ITERATION, RATE, is_cut_off, last_name, lost_blank

PREFIX = "I0228 10:00:00.000000 1 solver.cpp:239] "
WHOLE = "Iteration 20 (5 iter/s, 4s/20 iters), loss = 2.3"


@pytest.mark.parametrize("message", [WHOLE, "Iteration 0, lr = 0.1", "Iteration 0, lr = 0.1, momentum = 0.9"])
def test_a_display_is_read(message):
    assert ITERATION.match(message) and DISPLAY.match(message)


@pytest.mark.parametrize("length", range(len("Iteration 2"), len("Iteration 20 (5 iter/s, 4s/20 iters), loss =") + 1))
def test_a_display_that_is_cut_before_its_number_is_not_read_but_told(length):
    assert not ITERATION.match(WHOLE[:length]) and DISPLAY.match(WHOLE[:length])


@pytest.mark.parametrize(
    "message", ["Iteration: 1 forward-backward time: 5 ms.", "Iterations 20", "Iteration 20 took 3 s"]
)
def test_another_message_is_neither(message):
    assert not ITERATION.match(message) and not DISPLAY.match(message)


def test_the_rest_of_a_line_that_was_cut_anywhere_after_its_iteration_is_known():
    for length in range(len("Iteration 20 ("), len(WHOLE)):
        assert is_cut_off(PREFIX + WHOLE[:length] + "\n", WHOLE[length:] + "\n")
    assert not is_cut_off(PREFIX + WHOLE + "\n", "Killed\n")


@pytest.mark.parametrize(
    ("number", "rest", "goes_on"), [("0.75", "6303", True), ("0.75", "0", False), ("3", "e", False)]
)
def test_the_rest_of_a_number_makes_a_number_as_c_prints_it(number: str, rest: str, goes_on: bool):
    assert is_cut_off(f"{PREFIX}    Test net output #0: accuracy = {number}\n", f"{rest}\n") == goes_on


def test_a_blank_is_lost_where_only_with_it_the_line_is_read():
    for line, rest in [
        ("Test net output #0: accuracy =", "0.5"),
        ("Iteration 20, Testing", "net (#0)"),
        ("Train net output #0: loss = 2.5 (* 1 = 2.5", "loss)"),
    ]:
        assert lost_blank(PREFIX + line, rest) == " " and lost_blank(PREFIX + line, f" {rest}") == ""
    assert lost_blank(f"{PREFIX}Iteration 20, lr = 0", ".1") == ""


def test_an_lr_line_is_known_without_its_number():
    assert all(RATE.match(f"Iteration 20{text}\r\n") for text in (", lr", ", lr =", ", lr = 0.1 x", " (9 s), lr = "))
    assert not any(RATE.match(f"Iteration 20{text}\n") for text in (", l", ", loss = 2, lr = 0.1", ", Testing net"))


def test_the_name_of_a_file_has_no_folders():
    assert (
        last_name("Restoring from C:\\nets\\a.solverstate\n") == last_name("from /x y/a.solverstate") == "a.solverstate"
    )
