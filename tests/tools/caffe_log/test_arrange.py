"""The lines of several processes and attempts in order, and wrapped lines in one piece."""

from tools.caffe_log.arrange import arranged, rejoined


def said(second: int, message: str, process: int = 1, tag: str = "") -> str:
    return f"{tag}I0501 10:00:{second:02}.000000 {process} solver.cpp:1] {message}\n"


def training(second: int, first: int, process: int, tag: str = "") -> list[str]:
    messages = ["Initializing solver from parameters: ", f"Iteration {first}, loss = 2", f"Iteration {first}, lr = 1"]
    return [said(second + n, message, process, tag) for n, message in enumerate(messages)]


def in_turns(*logs: list[str]) -> list[str]:
    return [line for lines in zip(*logs, strict=True) for line in lines]


def test_of_ranks_the_first_stays_with_the_lines_of_its_other_threads():
    first, second = training(0, 0, 100), training(0, 0, 200)
    other = said(1, "Waiting for data", 7)
    assert arranged([*in_turns(first, second), other]) == ([*first, other], 2)


def test_containers_with_the_same_process_id_are_told_apart_by_their_tags():
    first, second = training(0, 0, 1, "caffe_1 | "), training(0, 0, 1, "caffe_2 | ")
    assert arranged(in_turns(first, second)) == (first, 2)


def test_the_process_with_the_most_rows_stays():
    first, second = training(0, 0, 100), training(0, 0, 200)
    more = said(5, "Iteration 9, loss = 1", 200)
    assert arranged([*in_turns(first, second), more]) == ([*second, more], 2)


def test_an_attempt_that_starts_while_the_one_before_still_writes_comes_after_it():
    first, second = training(0, 0, 100), training(5, 20, 200)
    late = said(6, "Iteration 30, loss = 1", 100)
    assert arranged([*first, second[0], late, *second[1:]]) == ([*first, late, *second], 1)


def test_attempts_come_in_the_order_of_their_times_also_of_one_process_id():
    first, second = training(0, 0, 1), training(20, 20, 1)
    assert arranged([*second, *first]) == ([*first, *second], 1)
    assert arranged([*first, *second]) == ([*first, *second], 1)


def test_attempts_without_a_header_are_told_apart_by_iteration_and_time():
    first, second = training(0, 0, 1)[1:], training(20, 20, 1)[1:]
    assert arranged([*second, *first]) == ([*first, *second], 1)
    clock_set_back = [said(30, "Iteration 40, loss = 1"), said(10, "Iteration 50, loss = 1")]
    assert arranged([*second, *clock_set_back]) == ([*second, *clock_set_back], 1)


def test_a_line_out_of_its_place_does_not_cut_an_attempt():
    log = training(0, 0, 1)
    later = said(3, "Iteration 0, lr = 1")
    assert arranged([later, *log]) == ([later, *log], 1)


def test_lines_of_one_process_in_disorder_stay_in_the_order_of_the_file():
    first, second = [said(20, "Iteration 40, loss = 1")], [*training(0, 0, 1), said(30, "Iteration 50, loss = 1")]
    assert arranged([*first, *second]) == ([*first, *second], 1)


def test_rates_of_other_threads_are_left_out_only_if_the_solver_tells_its_own():
    log, other = training(0, 0, 1), said(9, "Iteration 0, lr = 1", 2)
    assert arranged([*log, other]) == (log, 1)
    assert arranged([*log[:2], other]) == ([*log[:2], other], 1)


def test_a_log_without_a_solver_stays_as_it_is():
    assert arranged(["a\n", "b\n"]) == (["a\n", "b\n"], 1)


def test_wrapped_lines_are_in_one_piece_again():
    output = said(0, "    Test net output #0: accuracy = 0.125 (* 1 = 0.125 loss)")
    lines = [output, output, said(1, "Optimization Done.")]
    for width in range(50, 100):
        wrapped = [part for line in lines for part in (line[:-1][:width], line[:-1][width:]) if part]
        assert list(rejoined(f"{part}\r\n" for part in wrapped)) == lines


def test_a_blank_that_is_lost_at_the_cut_is_put_back():
    value, trimmed = said(0, "    Test net output #0: accuracy = 0.125"), said(0, "     Test net output #0: top = 0.5")
    width = value.index("0.125") + 2
    assert trimmed.index(" 0.5") < width - 1
    trimmed = trimmed.replace("top", "t" * (width - 1 - trimmed.index(" 0.5") + 3))
    wrapped = [value[:width], value[width:], value[:width], value[width:], trimmed[: width - 1], trimmed[width:]]
    assert list(rejoined(f"{part}\n" for part in wrapped)) == [f"{line.strip()}\n" for line in (value, value, trimmed)]


def wrapped(lines: list[str], width: int) -> list[str]:
    """Rows of a console that leaves out a blank at their end."""
    parts = [part for line in lines for part in (line.rstrip()[:width], line.rstrip()[width:]) if part]
    return [f"{part.removesuffix(' ')}\n" for part in parts]


def test_lines_of_which_most_lost_a_blank_at_the_cut_are_whole_again():
    accuracy, loss = (
        said(0, f"    Test net output #{n}") for n in ("0: accuracy = 0.95", "1: loss = 1 (* 1 = 1 loss)")
    )
    width = accuracy.index("0.95")
    assert loss[width - 1] != " "
    lines = [accuracy, accuracy, accuracy, loss]
    assert list(rejoined(wrapped(lines, width))) == lines
    assert list(rejoined(wrapped([accuracy] * 2, width))) == [accuracy] * 2  # the width cannot be seen, the words can


def test_if_the_width_cannot_be_told_a_number_that_goes_on_in_the_next_row_is_taken_away():
    value, longer = (
        said(0, "    Test net output #0: accuracy = 0.756303"),
        said(0, "a message that no console cut " * 3),
    )
    rows = [f"{value[:-4]}\n", "303\n"] * 2
    assert list(rejoined([*rows, longer])) == [f"{value[: value.index('=') + 1]}\n", "303\n"] * 2 + [longer]
    once = [*rows[:2], longer]
    assert list(rejoined(once)) == once
    of_a_layer = [said(0, "Iteration 20, lr = 0.1"), "12\n", said(0, "Iteration 40, lr = 0.1"), "13\n", longer]
    assert list(rejoined(of_a_layer)) == of_a_layer


def test_of_ranks_with_as_many_rows_the_one_with_the_outputs_stays():
    silent, speaks = training(0, 0, 100), training(0, 0, 200)
    output = said(2, "    Test net output #0: accuracy = 0.5", 200)
    assert arranged([*in_turns(silent, speaks), output]) == ([*speaks, output], 2)


def test_a_resumed_attempt_whose_clock_is_behind_stays_after_the_first():
    first, resumed = training(30, 0, 1), training(0, 20, 2)
    assert arranged([*first, *resumed]) == ([*first, *resumed], 1)


def test_a_line_that_is_there_twice_is_kept_once():
    log = training(0, 0, 1)
    assert arranged([*log, *log[1:], "no prefix\n", "no prefix\n"]) == ([*log, "no prefix\n", "no prefix\n"], 1)
