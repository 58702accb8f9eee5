"""With n images a class: which condition to use, and what it gains. For an accuracy: how many images it takes.

    python -m tools advise experiments/demo.yaml 30 --from docs/results/demo
    python -m tools advise experiments/demo.yaml --target 0.85 --from docs/results/demo

With a number of images: between two measured sizes, accuracies are interpolated along log2(size), within each seed. A
size outside those that base and another condition share is refused. The condition with the best mean is advised. All
means are of the same seeds and directions, so that an easy split cannot favour a condition that was measured only on
it. A condition with which at most half of the seeds would remain is not compared. It is named, and so are seeds that
are left out. The gains over base and FTall, and what each other condition would cost, are estimated over seeds, or with
one seed over images (tools/stats/intervals.py). The best condition is chosen by the same runs that measure its gain, so
the gain looks larger than it is. The interval allows for this: its error level is divided by the number of conditions
that the best one was chosen from (Bonferroni).

With --target: for each condition the images a class at which its mean accuracy reaches the target, and which condition
needs the fewest. A power law a + b n^-c and an exponential a + b exp(-n/d) are fitted to the mean errors at the
measured sizes; the 95 % interval covers both, and is a bootstrap over seeds, or with one seed over images
(tools/stats/images_needed.py). With three sizes c is 0.5. A condition is refused if its accuracy falls with more images
by more than noise explains, or with fewer than three sizes; it may need fewer images than those that are answered. A
number outside the measured sizes is extrapolated, and marked. The exit status is 0 while one condition is answered.

Both warn where nets were still learning when their training ended, or past their best (as summary.csv has it), and
where base+ is missing: base with as many iterations as a transferred net and its source net have together.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

from tools import cli
from tools.common.errors import UserError
from tools.protocol.conditions import SOURCE, Condition
from tools.protocol.experiment import load
from tools.results.columns import CURVES, Row, condition_order, run_key, size_order
from tools.results.tables import Tables, note_changed_tables, tables_of
from tools.stats.images_needed import FAR, Answer, Needed, images_needed
from tools.stats.intervals import Cell, Measurements, Replicate
from tools.stats.learning_curve import EXPONENTIAL, HELD_C, LEAST_SIZES, POWER
from tools.stats.learning_state import LEARNING, PAST_BEST, learning_state, validation_curves

MATCHED = "base+"
_MATCHED_IS = "base with twice the iterations, as many as a transferred net and its source net have together"
_NO_MATCHED = f"budget: {MATCHED} ({_MATCHED_IS}) was not run, so longer training may explain a lead over base"


@dataclass(frozen=True)
class Advice:
    condition: str
    accuracy: float
    gains: dict[str, tuple[float, float, float]]  # over base, FTall: effect, low, high; the last two may be NaN
    costs: dict[str, tuple[float, float, float]]  # of each other condition: best minus it; the least first
    others: list[str]  # conditions whose interval does not show a difference from the best
    unit: str  # seeds, images, or ``
    seeds: list[int]
    directions: Sequence[str]
    not_compared: dict[str, int]  # condition -> its number of seeds, too few
    runs: list[str]  # keys of the runs that the advice is based on


def advise(tables: Tables, n: int) -> Advice:
    """Raises UserError if n is outside the sizes that base and another condition share, or no seed has both there."""
    at = _interpolation(tables, n)
    conditions, places, not_compared = _compared(tables.runs, set(at))
    if not places:
        raise UserError(
            f"{tables.folder}: no seed has all runs of base and another condition at {_words(at)} images a class; "
            "sweep them with the same seeds"
        )
    shared = [row for row in tables.runs if (row["seed"], row["direction"]) in places]
    measured = Measurements(shared, tables.predictions)
    estimates = {c: e for c in conditions if (e := measured.estimate({(size, c): w for size, w in at.items()}))}
    best = max(estimates, key=lambda condition: estimates[condition].effect)
    level = 1 - 0.05 / (len(estimates) - 1)
    costs, others, runs = {}, [], set(estimates[best].runs)
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
        costs[condition] = (gain.effect, low, high)
        if condition in ("base", "FTall"):
            runs |= gain.runs
    keys = {(row["size"], row["condition"], row["seed"], row["direction"]): row["run"] for row in tables.runs}
    behind = sorted(keys[(*cell, *place)] for cell, place in runs)
    estimate = estimates[best]
    gains = {condition: cost for condition, cost in costs.items() if condition in ("base", "FTall")}
    costs = dict(sorted(costs.items(), key=lambda item: item[1][0]))
    seeds, directions = sorted({seed for seed, _ in places}), sorted({direction for _, direction in places})
    return Advice(best, estimate.effect, gains, costs, others, estimate.unit, seeds, directions, not_compared, behind)


def _compared(rows: list[Row], sizes: set[int]) -> tuple[list[str], set[Replicate], dict[str, int]]:
    """The conditions to choose from, the seeds and directions that all of them have, and the others' number of seeds.

    The conditions with the most seeds come first. The next one is compared if more than half of the seeds remain with
    it. A seed counts if it has all directions, or, where less than two seeds have, the direction with the most runs.
    """
    places = _places(rows, sizes)
    runs = Counter(direction for found in places.values() for _, direction in found)
    directions = list(runs)
    seeds = _seeds_with(directions, places)
    if runs and max(map(len, seeds.values())) < 2:
        most = [direction for direction, _ in runs.most_common(1)]
        alone = _seeds_with(most, places)
        if max(map(len, alone.values())) > max(map(len, seeds.values())):
            directions, seeds = most, alone
    ordered = sorted(seeds, key=lambda condition: (-len(seeds[condition]), condition_order(condition)))
    compared, shared = ["base"], set.union(set(), *seeds.values())
    for condition in ordered:
        if 2 * len(shared & seeds[condition]) > len(seeds[ordered[0]]):
            compared.append(condition)
            shared &= seeds[condition]
    not_compared = {c: len(seeds[c]) for c in sorted(seeds, key=condition_order) if c not in compared}
    return sorted(compared, key=condition_order), {(s, d) for s in shared for d in directions}, not_compared


def _seeds_with(directions: Sequence[str], places: dict[str, set[Replicate]]) -> dict[str, set[int]]:
    """Condition -> the seeds that have all these directions."""
    return {
        condition: {seed for seed, _ in found if all((seed, direction) in found for direction in directions)}
        for condition, found in places.items()
    }


def _places(rows: list[Row], sizes: set[int]) -> dict[str, set[Replicate]]:
    """Condition, other than base -> the seeds and directions in which it and base have an ok run at all `sizes`."""
    places: dict[str, dict[int, set[Replicate]]] = defaultdict(lambda: {size: set() for size in sizes})
    for row in rows:
        if row["size"] in sizes and row["condition"] != SOURCE:
            found = places[row["condition"]][row["size"]]
            if row["status"] == "ok":
                found.add((row["seed"], row["direction"]))
    of = {condition: set.intersection(*by_size.values()) for condition, by_size in places.items()}
    base = of.pop("base", set())
    return {condition: found & base for condition, found in of.items()}


def _interpolation(tables: Tables, n: int) -> dict[int, float]:
    """Measurements size -> its weight at n images a class: linear in log2(size) between the two nearest."""
    measured = [size for size in tables.sizes if isinstance(size, int)]
    sizes = sorted(size for size in measured if any(_places(tables.runs, {size}).values()))
    if not sizes or not sizes[0] <= n <= sizes[-1]:
        span = f"{sizes[0]} to {sizes[-1]} images a class" if sizes else "no size in images a class"
        raise UserError(
            f"{n} images a class: {tables.folder} has measured base and another condition at {span}, and nothing is "
            "known beyond; give a number between, or sweep with sizes=[...] around it"
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
    lines.append("  what another choice would cost, in points of accuracy:")
    costs = [
        [condition, f"{100 * effect:.1f}", f"[{100 * low:.1f}, {100 * high:.1f}]" if math.isfinite(low) else ""]
        for condition, (effect, low, high) in advice.costs.items()
    ]
    lines += [f"    {line}" for line in _table(costs).splitlines()]
    if Condition.of_run(advice.condition).origin and MATCHED not in advice.costs:
        lines.append(f"  {_NO_MATCHED}")
    names = sorted({advice.condition, *advice.gains}, key=condition_order)
    lines += [f"  {warning}" for warning in _at_end(tables, [(size, name) for name in names for size in at])]
    if advice.unit != "seeds":
        lines.append(
            "  One seed: true of these nets; another split, draw or start may give another answer. Run more seeds."
        )
    too_few: dict[int, list[str]] = defaultdict(list)
    for condition, count in advice.not_compared.items():
        too_few[count].append(condition)
    for count, names in too_few.items():
        has = f"{count} of {len(tables.seeds)} seeds"
        lines.append(f"  not compared, as with it at most half of the seeds would remain: {', '.join(names)} ({has})")
    lacking = [str(seed) for seed in tables.seeds if seed not in advice.seeds]
    without = f"; seed {', '.join(lacking)} left out, as it lacks runs" if lacking else ""
    if others := sorted({row["direction"] for row in tables.runs} - {*advice.directions}):
        without += f"; {', '.join(others)} left out, as less than two seeds have all runs of both directions"
    lines.append(f"  from {len(advice.runs)} runs, {len(advice.seeds)} seed{'s' * (len(advice.seeds) != 1)}{without}:")
    return "\n".join([*lines, *(f"    {run}" for run in advice.runs)])


def _at_end(tables: Tables, cells: list[Cell]) -> list[str]:
    """Warnings where the nets of a cell were still learning when their training ended, or past their best."""
    try:
        curves = validation_curves(tables.curves)
    except UserError:
        return [f"no {CURVES} in {tables.folder}, so it is unknown whether nets were still learning at their end"]
    of_cells = defaultdict(list)
    for row in tables.runs:
        if row["status"] == "ok" and run_key(row) in curves:
            of_cells[row["size"], row["condition"]].append(curves[run_key(row)])
    warnings = []
    for state, meaning in ((LEARNING, "still learning"), (PAST_BEST, "past their best")):
        sizes: dict[str, list[str]] = defaultdict(list)
        for size, condition in cells:
            if learning_state(of_cells[size, condition]) == state:
                sizes[condition].append(str(size))
        conditions: dict[str, list[str]] = defaultdict(list)
        for condition, of in sizes.items():
            conditions[", ".join(of)].append(condition)
        names = "; ".join(f"{', '.join(names)} at {of}" for of, names in conditions.items())
        if names:
            warnings.append(f"{meaning} when training ended, so another length may change the answer: {names}")
    return warnings


def target_report(answer: Answer, target: float, tables: Tables) -> str:
    """The answer in one sentence, a table of the conditions, and what a reader must know to trust it."""
    first = answer.needed[0]
    than = f"more than {first.condition}" if math.isfinite(first.images) else ""
    rows = [["condition", "images a class", "95 % interval", "exponential", than, "foretelling error"]]
    for needed in answer.needed:
        images = _count(needed.images, needed) + ("*" if _is_outside(needed) else "")
        more = "" if needed is first or not than else _more(answer.later(needed.condition, first.condition))
        off = " / ".join("-" if points is None else _signed(100 * points, 1) for points in needed.foretold)
        exponential = _count(needed.by_exponential, needed)
        rows.append([needed.condition, images, _span(needed.interval, needed), exponential, more, off])
    reasons: dict[str, list[str]] = defaultdict(list)
    for condition, reason in answer.refused.items():
        reasons[reason].append(condition)
    notes = [f"no answer for {', '.join(conditions)}: {reason}" for reason, conditions in reasons.items()]
    notes += _notes(answer, target, tables)
    return "\n".join([_answer(answer, target), "", _table(rows), "", *(f"  {note}" for note in notes)])


def _answer(answer: Answer, target: float) -> str:
    reached = math.isfinite(answer.needed[0].images)
    text = _reached(answer, target) if reached else _not_reached(answer, target)
    if refused := ", ".join(sorted(answer.refused, key=condition_order)):
        text += f" No answer for {refused} (see below), which may {'need fewer' if reached else 'reach it'}."
    return text


def _not_reached(answer: Answer, target: float) -> str:
    first, others = answer.needed[0], answer.needed[1:]
    who = f"{', '.join(needed.condition for needed in answer.needed)} {'do' if others else 'does'} not reach"
    who = who if answer.refused else "no condition reaches"
    most = f"{FAR * first.sizes[-1]:,} images a class, {FAR} times the largest size"
    text = f"By its fitted curve, {who} an accuracy of {target:g} within {most}."
    able = [needed.condition for needed in answer.needed if math.isfinite(needed.interval[0])]
    return f"{text} The interval does not exclude it for {', '.join(able)}." if able else text


def _reached(answer: Answer, target: float) -> str:
    first, others = answer.needed[0], answer.needed[1:]
    interval = f"95 % interval: {_span(first.interval, first)}" if answer.unit else "no interval"
    text = f"To reach an accuracy of {target:g}, {first.condition} needs "
    about = f"{'about ' if first.images >= 1 else ''}{_count(first.images, first)}"
    if others and not answer.refused:
        text += f"the fewest images: {about} a class ({interval})."
    else:
        fewer = f", the least of the {len(answer.needed)} conditions with an answer" if others else ""
        text += f"{about} image{'s' * (first.images >= 1.5)} a class ({interval}){fewer}."
    near = [other.condition for other in others if not answer.later(other.condition, first.condition)[1] > 0]
    if near and answer.unit:
        text += f" Not told apart from it: {', '.join(near)}."
    if first.images < first.sizes[0]:
        enough = f"By its curve the smallest size, {first.sizes[0]} a class, is more than enough"
        return f"{text} {enough}; a number below it is extrapolated."
    if first.images > first.sizes[-1]:
        text += f" Measured are {first.sizes[0]} to {first.sizes[-1]}, so this is extrapolated."
    return text


def _notes(answer: Answer, target: float, tables: Tables) -> list[str]:
    sizes = sorted({size for needed in answer.needed for size in needed.sizes})
    notes = [
        f"images a class: where {POWER.formula}, fitted to the mean errors at {', '.join(map(str, sizes))} images a "
        f"class of {tables.dataset}, falls to {1 - target:g}; exponential: the same of {EXPONENTIAL.formula}"
    ]
    if held := [needed.condition for needed in answer.needed if len(needed.sizes) == LEAST_SIZES]:
        notes.append(f"three sizes do not determine the curve, so c is held at {HELD_C}: {', '.join(held)}")
    if outside := [needed.condition for needed in answer.needed if _is_outside(needed)]:
        notes.append(f"* outside the measured sizes, so extrapolated: {', '.join(outside)}")
    if any(math.isinf(end) for needed in answer.needed for end in (needed.images, *needed.interval)):
        notes.append(f"over ..., no limit, no lower limit: not within {FAR} times the largest size, or never")
    if dips := [needed.condition for needed in answer.needed if needed.dips]:
        notes.append(f"accuracy falls between two sizes, but by no more than noise explains: {', '.join(dips)}")
    used = {(size, needed.condition) for needed in answer.needed for size in needed.sizes}
    of = {needed.condition for needed in answer.needed}
    measured = {(row["size"], row["condition"]) for row in tables.runs if row["condition"] in of}
    if left := sorted(measured - used, key=lambda cell: (condition_order(cell[1]), size_order(cell[0]))):
        names = ", ".join(f"{condition} at {size}" for size, condition in left)
        notes.append(f"left out, as no number of images or in less than half of the seeds and directions: {names}")
    notes.append(
        "foretelling error: accuracy at the largest size as the smaller sizes foretell it, minus the measured one, in "
        "points (power law / exponential)"
    )
    copying = [condition for condition in of if Condition.of_run(condition).origin]
    notes += _budget(answer, "FTall" if "FTall" in copying else min(copying, key=condition_order)) if copying else []
    notes += _at_end(tables, [(size, needed.condition) for needed in answer.needed for size in needed.sizes])
    runs = f"from seed {', '.join(map(str, answer.seeds))}, {' and '.join(answer.directions)}"
    if lacking := [seed for seed in tables.seeds if seed not in answer.seeds]:
        runs += f"; seed {', '.join(map(str, lacking))} left out, as it lacks runs"
    notes.append(runs)
    if answer.unit and len(answer.needed) > 1:
        notes.append("[ ]: 95 % interval, corrected for the number of conditions")
    if answer.unit == "seeds":
        notes.append(f"The intervals are over the {len(answer.seeds)} seeds, and cover both curves.")
    elif answer.unit == "images":
        notes.append(
            "One seed: the intervals cover both curves and other validation images for these nets. They do not cover "
            "another split, draw or start, and are too narrow for them. Run more seeds."
        )
    else:
        notes.append("One seed and no predictions: no interval can be given. Run more seeds.")
    return notes


def _budget(answer: Answer, shown: str) -> list[str]:
    """What longer training alone gives, beside `shown`, which has had the iterations of the net it copies from, too."""
    if MATCHED in answer.refused:
        return [f"budget: {MATCHED} ({_MATCHED_IS}) has no answer, so {shown} cannot be compared with it"]
    if all(needed.condition != MATCHED for needed in answer.needed):
        return [_NO_MATCHED]
    more = _more(answer.later(MATCHED, shown))
    return [f"budget: {MATCHED} ({_MATCHED_IS}) compared with {shown}: {more} images a class"]


def _is_outside(needed: Needed) -> bool:
    return not needed.sizes[0] <= needed.images <= needed.sizes[-1]


def _count(images: float, needed: Needed) -> str:
    if images < 1:
        return "under 1"
    return f"{round(images):,}" if math.isfinite(images) else f"over {FAR * needed.sizes[-1]:,}"


def _span(interval: tuple[float, float], needed: Needed) -> str:
    if math.isnan(interval[0]):
        return ""
    low, high = (_count(end, needed) for end in interval)
    return low if low == high else f"{low} to {high}"


def _more(later: tuple[float, float, float]) -> str:
    words = {math.inf: "no limit", -math.inf: "no lower limit"}
    effect, low, high = (_signed(v, 0) if math.isfinite(v) else words.get(v, "unknown") for v in later)
    return effect if math.isnan(later[1]) or effect == low == high else f"{effect} [{low}, {high}]"


def _signed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:+,.{digits}f}"  # + 0.0: no -0


def _table(rows: list[list[str]]) -> str:
    return tabulate(rows, tablefmt="plain", stralign="right", disable_numparse=True)


def main(argv: list[str]) -> None:
    parser = cli.parser("advise", __doc__)
    parser.add_argument("n", type=int, nargs="?", help="images a class that you have")
    parser.add_argument("--target", type=float, help="an accuracy to reach: 0.45")
    cli.add_from(parser)
    given = parser.parse_args(argv)
    if (given.n is None) == (given.target is None):
        parser.error("give either a number of images a class, as 120, or an accuracy to reach, as --target 0.45")
    if given.target is not None and not 0 < given.target < 1:
        parser.error(f"--target {given.target:g}: an accuracy is a share between 0 and 1, as 0.45")
    tables = tables_of(load(given.experiment, given.set), given.tables)
    note_changed_tables(tables.folder)
    if given.target is None:
        print(report(advise(tables, given.n), given.n, tables))
    else:
        print(target_report(images_needed(tables, given.target), given.target, tables))
