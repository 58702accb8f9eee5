"""With n images a class: which condition to use, and what it gains, from measured runs.

    python -m tools advise experiments/tiny.yaml 120 [--from docs/results/tiny]

Between two measured sizes accuracies are interpolated along log2(size), within each seed; a size outside the measured
ones is refused. The condition with the best mean is advised. All means are of the same seeds and directions, lest an
easy split count for the one condition that was measured on it; a condition with less than half of base's is not
compared. Its gains over base and FTall are estimated by seeds, or with one seed by images (tools/stats/intervals.py).
As the best of several is picked from the same runs that then measure it, its gain is flattered; the interval is that of
a comparison named beforehand, with the level shared among the conditions that it was picked from (Bonferroni), which
bounds this.
"""

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from tools import cli
from tools.common.errors import UserError
from tools.protocol.experiment import load
from tools.results.columns import Row, condition_order, size_order
from tools.results.tables import Tables, tables_of


@dataclass(frozen=True)
class Advice:
    condition: str
    accuracy: float
    gains: dict[str, tuple[float, float, float]]  # over base, FTall: effect, low, high; the last two may be NaN
    others: list[str]  # conditions that no interval tells from the best
    unit: str  # seeds, images, or ``
    seeds: int
    runs: list[str]  # keys of the runs behind it


def advise(tables: Tables, n: int) -> Advice:
    """Raises UserError where n lies outside the measured sizes, or base was not measured there."""
    from tools.stats.intervals import Measurements

    at = _interpolation([size for size in tables.sizes if size != "all"], n, tables.folder)
    conditions, places = _compared(tables.runs, set(at))
    shared = [row for row in tables.runs if (row["seed"], row["direction"]) in places]
    measured = Measurements(shared, tables.predictions)
    found = {c: measured.estimate({(size, c): weight for size, weight in at.items()}) for c in conditions}
    found = {condition: estimate for condition, estimate in found.items() if estimate}
    if "base" not in found or len(found) < 2:
        raise UserError(f"{tables.folder}: base and another condition are needed at {_words(at)} images a class")
    best = max(found, key=lambda condition: found[condition].effect)
    level = 1 - 0.05 / (len(found) - 1)
    gains, others, runs = {}, [], set(found[best].runs)
    for condition in found:
        if condition == best:
            continue
        weights = {(s, best): w for s, w in at.items()} | {(s, condition): -w for s, w in at.items()}
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
    estimate = found[best]
    return Advice(best, estimate.effect, gains, others, estimate.unit, estimate.seeds, behind)


def _compared(rows: list[Row], sizes: set[int]) -> tuple[list[str], set[tuple[int, str]]]:
    """The conditions to choose from, and the seeds and directions in which all have an ok run at all `sizes`."""
    places: dict[str, dict[int, set]] = defaultdict(lambda: {size: set() for size in sizes})
    for row in rows:
        if row["size"] in sizes and row["status"] == "ok" and row["condition"] != "source":
            places[row["condition"]][row["size"]].add((row["seed"], row["direction"]))
    of = {condition: set.intersection(*by_size.values()) for condition, by_size in places.items()}
    base = of.get("base", set())
    of = {condition: places & base for condition, places in of.items() if len(places & base) * 2 >= max(len(base), 1)}
    return sorted(of, key=condition_order), set.intersection(base, *of.values())


def _interpolation(sizes: list[int], n: int, folder: Path) -> dict[int, float]:
    """Measured size -> its weight at n images a class: linear in log2(size) between the two nearest."""
    sizes = sorted(sizes)
    if not sizes or not sizes[0] <= n <= sizes[-1]:
        span = f"{sizes[0]} to {sizes[-1]}" if sizes else "no sizes"
        raise UserError(
            f"{n} images a class: {folder} has measured {span} images a class, and nothing is known beyond; give a "
            "number between, or sweep with sizes=[...] around it"
        )
    if n in sizes:
        return {n: 1.0}
    below, above = max(s for s in sizes if s < n), min(s for s in sizes if s > n)
    share = math.log2(n / below) / math.log2(above / below)
    return {below: 1 - share, above: share}


def _words(sizes: dict[int, float]) -> str:
    return " and ".join(str(size) for size in sorted(sizes, key=size_order, reverse=True))


def report(advice: Advice, n: int, tables: Tables) -> str:
    at = _interpolation([size for size in tables.sizes if size != "all"], n, tables.folder)
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
    parser.add_argument(
        "--from", dest="tables", type=Path, metavar="FOLDER", help="tables elsewhere: docs/results/tiny"
    )
    given = parser.parse_args(argv)
    tables = tables_of(load(given.experiment, given.set), given.tables)
    print(report(advise(tables, given.n), given.n, tables))
