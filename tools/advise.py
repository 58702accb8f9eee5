"""With n images a class: which condition to use, and what it gains, from measured runs.

    python -m tools advise experiments/demo.yaml 30 --from docs/results/demo

Between two measured sizes, accuracies are interpolated along log2(size), within each seed. A size outside the measured
ones is refused. The condition with the best mean is advised. All means are of the same seeds and directions, so that an
easy split cannot favour a condition that was measured only on it; a condition with less than half of base's runs is not
compared. Its gains over base and FTall are estimated over seeds, or with one seed over images
(tools/stats/intervals.py). The best condition is chosen by the same runs that measure its gain, so the gain
looks larger than it is. The interval allows for this: its error level is divided by the number of conditions that the
best one was chosen from (Bonferroni).
"""

import math
from collections import defaultdict
from dataclasses import dataclass

from tools import cli
from tools.common.errors import UserError
from tools.protocol.conditions import SOURCE
from tools.protocol.experiment import load
from tools.results.columns import Row, condition_order, size_order
from tools.results.tables import Tables, tables_of
from tools.stats.intervals import Cell, Measurements


@dataclass(frozen=True)
class Advice:
    condition: str
    accuracy: float
    gains: dict[str, tuple[float, float, float]]  # over base, FTall: effect, low, high; the last two may be NaN
    others: list[str]  # conditions whose interval does not show a difference from the best
    unit: str  # seeds, images, or ``
    seeds: int
    runs: list[str]  # keys of the runs that the advice is based on


def advise(tables: Tables, n: int) -> Advice:
    """Raises UserError if n is outside the measured sizes, or base was not measured there."""
    at = _interpolation(tables, n)
    conditions, places = _compared(tables.runs, set(at))
    shared = [row for row in tables.runs if (row["seed"], row["direction"]) in places]
    measured = Measurements(shared, tables.predictions)
    estimates = {c: e for c in conditions if (e := measured.estimate({(size, c): w for size, w in at.items()}))}
    if "base" not in estimates or len(estimates) < 2:
        raise UserError(f"{tables.folder}: base and another condition are needed at {_words(at)} images a class")
    best = max(estimates, key=lambda condition: estimates[condition].effect)
    level = 1 - 0.05 / (len(estimates) - 1)
    gains, others, runs = {}, [], set(estimates[best].runs)
    for condition in estimates:
        if condition == best:
            continue
        weights: dict[Cell, float] = {(size, best): weight for size, weight in at.items()}
        weights |= {(size, condition): -weight for size, weight in at.items()}
        gain = measured.estimate(weights)
        if gain is None:
            continue
        low, high = gain.interval_at(level)
        if not low > 0:
            others.append(condition)
        if condition in ("base", "FTall"):
            gains[condition] = (gain.effect, low, high)
            runs |= gain.runs
    keys = {(row["size"], row["condition"], row["seed"], row["direction"]): row["run"] for row in tables.runs}
    behind = sorted(keys[(*cell, *place)] for cell, place in runs)
    estimate = estimates[best]
    return Advice(best, estimate.effect, gains, others, estimate.unit, estimate.seeds, behind)


def _compared(rows: list[Row], sizes: set[int]) -> tuple[list[str], set[tuple[int, str]]]:
    """The conditions to choose from, and the seeds and directions in which all have an ok run at all `sizes`."""
    places: dict[str, dict[int, set[tuple[int, str]]]] = defaultdict(lambda: {size: set() for size in sizes})
    for row in rows:
        if row["size"] in sizes and row["status"] == "ok" and row["condition"] != SOURCE:
            places[row["condition"]][row["size"]].add((row["seed"], row["direction"]))
    of = {condition: set.intersection(*by_size.values()) for condition, by_size in places.items()}
    base = of.get("base", set())
    of = {condition: places & base for condition, places in of.items() if len(places & base) * 2 >= max(len(base), 1)}
    return sorted(of, key=condition_order), set.intersection(base, *of.values())


def _interpolation(tables: Tables, n: int) -> dict[int, float]:
    """Measurements size -> its weight at n images a class: linear in log2(size) between the two nearest."""
    sizes = sorted(size for size in tables.sizes if isinstance(size, int))
    if not sizes or not sizes[0] <= n <= sizes[-1]:
        span = f"{sizes[0]} to {sizes[-1]} images a class" if sizes else "no size in images a class"
        raise UserError(
            f"{n} images a class: {tables.folder} has measured {span}, and nothing is known beyond; give a number "
            "between, or sweep with sizes=[...] around it"
        )
    if n in sizes:
        return {n: 1.0}
    below, above = max(s for s in sizes if s < n), min(s for s in sizes if s > n)
    share = math.log2(n / below) / math.log2(above / below)
    return {below: 1 - share, above: share}


def _words(sizes: dict[int, float]) -> str:
    return " and ".join(str(size) for size in sorted(sizes, key=size_order, reverse=True))


def report(advice: Advice, n: int, tables: Tables) -> str:
    at = _interpolation(tables, n)
    how = f"measured at {n}" if n in at else f"interpolated between {_words(at)} along log2(size)"
    lines = [f"{n} images a class ({tables.dataset}): {advice.condition}, accuracy {advice.accuracy:.4f}, {how}"]
    for name, (effect, low, high) in advice.gains.items():
        interval = f" [{100 * low:+.1f}, {100 * high:+.1f}]" if math.isfinite(low) else " (no interval: one seed)"
        lines.append(f"  gain over {name}: {100 * effect:+.1f} points{interval}")
    if advice.others:
        lines.append(f"  not told apart from it: {', '.join(advice.others)}")
    if advice.unit != "seeds":
        lines.append(
            "  One seed: true of these nets; another split, draw or start may give another answer. Run more seeds."
        )
    lines.append(f"  from {len(advice.runs)} runs, {advice.seeds} seed{'s' * (advice.seeds != 1)}:")
    return "\n".join([*lines, *(f"    {run}" for run in advice.runs)])


def main(argv: list[str]) -> None:
    parser = cli.parser("advise", __doc__)
    parser.add_argument("n", type=int, help="images a class that you have")
    cli.add_from(parser)
    given = parser.parse_args(argv)
    tables = tables_of(load(given.experiment, given.set), given.tables)
    print(report(advise(tables, given.n), given.n, tables))
