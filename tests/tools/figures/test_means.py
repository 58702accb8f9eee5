"""What the figures of means share: the span of a bar, and the line that says what a point and its bar are."""

import pytest
from matplotlib.axes import Axes

from tests.helpers.finished_runs import demo
from tools.figures import means, style
from tools.figures.style import new_figure

pytestmark = pytest.mark.usefixtures("root")

BOTH = {"accuracy": 0.5, "sd": 0.02, "low": 0.45, "high": 0.56}
SD = {"accuracy": 0.5, "sd": 0.02, "low": None, "high": None}
NEITHER = {"accuracy": 0.5, "sd": None, "low": None, "high": None}


def test_a_bar_spans_the_interval_else_the_standard_deviation() -> None:
    assert means.interval(BOTH) == (0.45, 0.56)
    assert means.interval(SD) == pytest.approx((0.48, 0.52))
    assert means.interval(NEITHER) is None


@pytest.mark.parametrize(("rows", "bars"), [([BOTH, SD, NEITHER], 1), ([SD, SD, NEITHER], 2), ([NEITHER], 0)])
def test_intervals_and_standard_deviations_are_never_mixed(
    rows: list[dict], bars: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[float] = []
    monkeypatch.setattr(Axes, "vlines", lambda self, x, low, high, **look: drawn.append(x))
    means.draw_bars(new_figure(3).subplots(), [0.0, 1.0, 2.0][: len(rows)], rows, "black")
    assert len(drawn) == bars


def test_a_size_is_named_for_a_legend() -> None:
    assert [style.size_label(size) for size in ("all", 1, 6000)] == [
        "all images",
        "1 image a class",
        "6,000 images a class",
    ]


FACTS = {
    "one run": (
        [BOTH | {"n": 1, "interval": "images"}],
        1,
        "one run a point (1 direction, 1 seed); bar: 95 % interval, images only",
    ),
    "runs": (
        [BOTH | {"n": 6, "interval": "seeds"}],
        3,
        "mean of 6 runs a point (2 directions, 3 seeds); bar: 95 % interval",
    ),
    "deviation": ([SD | {"n": 2}], 1, "mean of 2 runs a point (2 directions, 1 seed); bar: ± sd"),
    "nothing": ([NEITHER | {"n": 2}], 1, "mean of 2 runs a point (2 directions, 1 seed)"),
}


@pytest.mark.parametrize(("shown", "seeds", "text"), FACTS.values(), ids=FACTS)
def test_the_line_of_facts_says_what_a_point_and_its_bar_are(shown: list[dict], seeds: int, text: str) -> None:
    shown = [row | {"size": 60, "condition": "base"} for row in shown]
    directions = ["A2B", "B2A"][: max(1, min(2, shown[0]["n"]))]
    runs = [
        {"size": 60, "condition": "base", "status": "ok", "seed": seed, "direction": direction, "iters": 300}
        for seed in range(seeds)
        for direction in directions
    ]
    flagged = [runs[0] | {"status": "stuck", "iters": 900}]
    assert means.facts(demo(), runs + flagged, shown) == f"mini, 300 iterations; {text}"
