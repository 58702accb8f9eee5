"""The verb tensorboard: Caffe's logs in, event files out, read back by TensorBoard itself."""

from pathlib import Path

import pytest

from tests.helpers.finished_runs import demo, run_of
from tools.caffe_log import LogReader
from tools.common.errors import UserError
from tools.common.files import write_atomic
from tools.tensorboard import Follower, main

pytest.importorskip("tensorboardX", reason="no tensorboardX here: make tensorboard-packages")

pytestmark = pytest.mark.usefixtures("root")


def log_text(last: int) -> str:
    """A log as BVLC Caffe writes it, up to iteration `last`: a display every 10 iterations, a test every 50."""
    lines = ["I1124 21:31:00.000000  8998 solver.cpp:289] Solving Mini"]
    for at in range(0, last + 1, 10):
        clock = f"I1124 21:31:{at // 10:02}.500000  8998"
        if at % 50 == 0:
            lines.append(f"{clock} solver.cpp:347] Iteration {at}, Testing net (#0)")
            lines.append(f"{clock} solver.cpp:414]     Test net output #0: accuracy = {0.2 + at / 500:.6g}")
            lines.append(f"{clock} solver.cpp:414]     Test net output #1: loss = {1.6 / (1 + at):.6g} (* 1 = 1 loss)")
        loss = f"{1.6 / (1 + at / 30):.6g}"
        lines.append(f"{clock} solver.cpp:239] Iteration {at} (9.87 iter/s, 1.01s/10 iters), loss = {loss}")
        lines.append(f"{clock} solver.cpp:258]     Train net output #0: loss = {loss} (* 1 = {loss} loss)")
        lines.append(f"{clock} sgd_solver.cpp:112] Iteration {at}, lr = 0.01")
    return "\n".join([*lines, f"{clock} solver.cpp:332] Optimization Done.", ""])


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag -> its (step, value)s, as TensorBoard has them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def in_the_log(text: str) -> dict[str, list[tuple[int, float]]]:
    """The same from the log, by the reader that the CSVs come from."""
    reader = LogReader()
    for line in text.splitlines():
        reader.feed(line)
    log = reader.finish()
    found = {"training/loss": [(int(r["NumIters"]), r["SmoothedLoss"]) for r in log.train.rows()]}
    for name in ("accuracy", "loss"):
        found[f"validation/{name}"] = [(int(r["NumIters"]), r[name]) for r in log.test.rows()]
    return found


def same(found: dict, wanted: dict) -> bool:
    """Whether tags, steps and values are the same; an event file holds float32."""
    return found.keys() == wanted.keys() and all(
        [step for step, _ in found[tag]] == [step for step, _ in wanted[tag]]
        and [value for _, value in found[tag]] == pytest.approx([value for _, value in wanted[tag]], rel=1e-6)
        for tag in wanted
    )


def test_a_finished_run_has_every_row_of_its_log(capsys: pytest.CaptureFixture):
    text = log_text(200)
    demo()
    write_atomic(run_of("A2B/n0010/S3T/seed0").folder / "caffe.log", text)
    main(["experiments/demo.yaml", "--once"])
    assert same(read(Path("results/demo/tensorboard/A2B/n0010/S3T/seed0")), in_the_log(text))
    assert capsys.readouterr().out.startswith("results/demo/tensorboard/: 1 runs, ")


def test_a_running_log_is_followed_and_no_row_comes_twice():
    text = log_text(200)
    half = text[: len(text) // 2]  # ends within a line
    log, folder = Path("run/caffe.log"), Path("events")
    write_atomic(log, half)
    follower = Follower(log, folder)
    first = follower.poll()
    assert first > 0 and follower.poll() == 0
    write_atomic(log, text)
    assert follower.poll() > 0 and follower.poll() == 0
    assert same(read(folder), in_the_log(text))


def test_another_attempt_begins_its_curves_anew():
    text = log_text(200)
    log, folder = Path("run/caffe.log"), Path("events")
    write_atomic(log, text)
    follower = Follower(log, folder)
    follower.poll()
    write_atomic(log, log_text(60))
    follower.poll()
    assert same(read(folder), in_the_log(log_text(60)))


def test_without_a_log_it_says_what_to_do_first():
    demo()
    with pytest.raises(UserError, match="no run has a log yet; run `python -m tools sweep experiments/demo"):
        main(["experiments/demo.yaml", "--once"])
