"""Many lines given at once are read as they are one by one, whatever has happened to the log."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.caffe_log import Log, LogReader
from tools.caffe_log.displays import LINES, Displays, Form, OneTest, Outputs

LOGS = Path(__file__).parent / "logs"
THREAD = "12345"
SOLVING = f"I0228 10:00:00.000000 {THREAD} solver.cpp:289] Solving AlexNet\n"
START = f"I0228 10:00:00.000000 {THREAD} solver.cpp:48] Initializing solver from parameters:\n"
RESUMING = f"I0228 10:00:00.000000 {THREAD} sgd_solver.cpp:372] Resuming from x/snapshot_iter_40.solverstate\n"


def display(iteration: int, outputs: tuple[str, ...] = ("accuracy", "loss"), seconds: float | None = None) -> str:
    seconds = iteration / 3 if seconds is None else seconds
    prefix = f"I0228 10:{int(seconds) // 60:02}:{seconds % 60:09.6f} {THREAD} "
    lines = [f"solver.cpp:239] Iteration {iteration} (4.87 iter/s, 4.1s/20 iters), loss = {2 / (1 + iteration):.6g}"]
    lines += [
        f"solver.cpp:258]     Train net output #{n}: {name} = 0.{iteration} (* 1 = 0.5 loss)"
        for n, name in enumerate(outputs)
    ]
    lines.append(f"sgd_solver.cpp:112] Iteration {iteration}, lr = {0.01 / (1 + iteration // 100):g}")
    return "".join(f"{prefix}{line}\n" for line in lines)


def a_test(iteration: int) -> str:
    def prefix(seconds: float) -> str:
        return f"I0228 10:{int(seconds) // 60:02}:{seconds % 60:09.6f} {THREAD} solver.cpp:"

    return (
        f"{prefix(iteration / 3 - 5 * (iteration > 100))}347] Iteration {iteration}, Testing net (#0)\n"
        f"{prefix(iteration / 3)}414]     Test net output #0: accuracy = 0.{iteration}\n"
    )


TODAYS = SOLVING + "".join((a_test(n) if n % 60 == 0 else "") + display(n) for n in range(0, 400, 20))
RESUMED = TODAYS + START + RESUMING + SOLVING + "".join(map(display, range(100, 300, 20)))
OTHER_OUTPUTS = TODAYS + START + SOLVING + "".join(display(n, ("loss",)) for n in range(0, 200, 20)) + display(200)
SAME_NAMES = SOLVING + "".join(display(n, ("acc", "acc", "Seconds")) for n in range(0, 200, 20))
MADE = [TODAYS, RESUMED, OTHER_OUTPUTS, SAME_NAMES]
GOLDEN = [path.read_text() for path in sorted(LOGS.glob("*.log"))]


def by_lines(text: str) -> Log:
    reader = LogReader()
    for line in LINES.findall(text):
        reader.feed(line)
    return reader.finish()


def by_pieces(text: str, lines: int) -> Log:
    """`lines` of the text at once."""
    reader, all_lines = LogReader(), LINES.findall(text)
    for start in range(0, len(all_lines), lines):
        reader.feed_text("".join(all_lines[start : start + lines]))
    return reader.finish()


def content(log: Log) -> dict[str, object]:
    """Everything that a log holds, as text where nan is among it."""
    columns = {(table, name): repr(getattr(log, table).column(name)) for table in ("train", "test")
               for name in getattr(log, table).columns}  # fmt: skip
    rest = {name: repr(value) for name, value in vars(log).items() if name not in ("train", "test")}
    return {**columns, **rest, "train": log.train.csv(), "test": log.test.csv()}


@pytest.mark.parametrize("lines", [1, 5, 21, 1000])
@pytest.mark.parametrize("text", MADE, ids=["today's", "resumed", "other outputs", "same names"])
def test_any_number_of_lines_at_once_gives_the_same(text: str, lines: int):
    assert content(by_pieces(text, lines)) == content(by_lines(text))


def test_displays_and_tests_are_found_and_all_else_is_left_in_lines():
    form = Form(THREAD, Outputs(("accuracy", "loss"), (True, True)), Outputs(("accuracy",), (False,)))
    found = list(form.parts(TODAYS))
    assert "".join(text for texts, _ in found for text in texts) == TODAYS
    assert [part.iterations for _, part in found if isinstance(part, Displays)] == [
        [n, n + 20, n + 40][: (400 - n) // 20] for n in range(0, 400, 60)
    ]
    assert [part.iterations[0] for _, part in found if isinstance(part, OneTest)] == list(range(0, 400, 60))
    assert [texts for texts, part in found if part is None] == [[SOLVING]]
    assert all(part is None for _, part in form._replace(thread="1234").parts(TODAYS))
    assert not any(
        isinstance(part, Displays) for _, part in form._replace(train=Outputs(("loss",), (True,))).parts(TODAYS)
    )
    assert not any(isinstance(part, OneTest) for _, part in form._replace(test=Outputs()).parts(TODAYS))


@pytest.mark.parametrize("cut", ["0.20", "0. (* 1 = 0.5 loss)", "1e-0 (* 1 = 0.5 loss)", "1e-00 (* 1 = 0.5 loss)"])
def test_a_display_with_a_number_that_was_cut_is_left_in_lines(cut: str):
    """`0.20` shows it only by the weight that should follow."""
    form = Form(THREAD, Outputs(("loss",), (True,)), Outputs())
    text = display(0, ("loss",)) + display(20, ("loss",))
    for log, found in ((text, [[0, 20]]), (text.replace("0.20 (* 1 = 0.5 loss)", cut), [[0]])):
        assert [part.iterations for _, part in form.parts(log) if isinstance(part, Displays)] == found


ODD = ["\n", "\r", " ", "] ", "-", "nan", "inf", "1", "9", ".", "e", "(", ")", "\x1b[31m", "\\", "\u2028", "I", "[1] "]


@st.composite
def damaged_logs(draw: st.DrawFn) -> str:
    """A log whose lines were lost, doubled, exchanged, cut, or written with other characters."""
    lines = LINES.findall(draw(st.sampled_from(MADE * 4 + GOLDEN)))
    for _ in range(draw(st.integers(0, 6))):
        at, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        match draw(st.sampled_from(["lose", "double", "exchange", "move back", "write", "cut", "windows"])):
            case "lose" if len(lines) > 1:
                del lines[at]
            case "double":
                lines.insert(other, lines[at])
            case "exchange":
                lines[at], lines[other] = lines[other], lines[at]
            case "move back":
                lines[at:at] = lines[min(at, other) : max(at, other)]
            case "write":
                place = draw(st.integers(0, len(lines[at])))
                kept = draw(st.integers(place, min(place + 3, len(lines[at]))))
                lines[at] = lines[at][:place] + draw(st.sampled_from(ODD)) + lines[at][kept:]
            case "cut":
                lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
            case "windows":
                lines[at:] = [line.replace("\n", "\r\n") for line in lines[at:]]
    return "".join(lines)


@settings(max_examples=400)
@given(damaged_logs(), st.integers(1, 40))
def test_a_damaged_log_is_read_as_line_by_line(text: str, lines: int):
    text = "".join(LINES.findall(text))  # whole lines
    assert content(by_pieces(text, lines)) == content(by_lines(text))
