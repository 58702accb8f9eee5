"""Simulates sweeps with known true accuracies and counts how often the intervals and verdicts are right.

    python -m benchmarks.simulated_sweeps [--sweeps 2000] [coverage] [errors] [power] [images]

prints the figures of docs/statistics.md, all of them or those of one part.

The accuracy of a run is the true one of its condition plus random effects: of the split of its seed (shared by both
directions), of the direction within the seed (difficulty of the half, validation images), of the source net (shared by
the conditions that copy from it), of its own initialization, which is bad in one run of twenty, and of the finite
validation set.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtri

from tools.claims import decide
from tools.common.errors import UserError
from tools.protocol.conditions import Condition
from tools.results.tables import Tables
from tools.stats import claims_file
from tools.stats.images_needed import FAMILIES, images_needed
from tools.stats.intervals import Measurements
from tools.stats.learning_curve import fit

CONDITIONS = ("base", "FTall", *(f"S{n}T" for n in range(1, 8)))
SIZES = (500, 400, 300, 200, 100, 50)
# Standard deviations in accuracy, about those of the demo's runs (docs/results/demo).
SPLIT, DIRECTION, SOURCE, RUN = 0.02, 0.03, 0.01, 0.015
BAD_START, BAD_BY = 0.05, 0.04  # one run in twenty loses four points
IMAGES = 5000  # in the validation set of a half, as in Tiny-ImageNet
SHARED_DIFFICULTY = 0.8  # correlation of two nets' scores for the same image


def sweep(
    random: np.random.RandomState,
    seeds: int,
    truth: Callable[[int, str], float],
    images: int = 0,
    sizes: tuple[int, ...] = SIZES,
    conditions: tuple[str, ...] = CONDITIONS,
    scale: float = 1.0,
) -> Tables:
    """The tables of one sweep. `truth(size, condition)`: the mean accuracy over all splits, initializations and images.

    With `images`, predictions for so many images of each half are drawn. All nets find the same images difficult.
    `scale` multiplies all standard deviations but that of the finite validation set.
    """
    rows, predictions = [], {}
    for seed in range(seeds):
        split = scale * random.normal(0, SPLIT)
        for direction in ("A2B", "B2A"):
            half, source = scale * random.normal(0, DIRECTION), scale * random.normal(0, SOURCE)
            difficulty = random.normal(size=images)
            if images:
                predictions[f"label/{direction}/seed{seed}"] = np.ones(images, np.uint16)
            for size in sizes:
                for condition in conditions:
                    bad = -scale * BAD_BY * ((random.uniform() < BAD_START) - BAD_START)
                    own = scale * random.normal(0, RUN) + bad + (source if Condition.parse(condition).origin else 0)
                    level = np.clip(truth(size, condition) + split + half + own, 0.02, 0.98)
                    key = f"{direction}/n{size:04d}/{condition}/seed{seed}"
                    if images:
                        noise = random.normal(size=images) * np.sqrt(1 - SHARED_DIFFICULTY)
                        correct = difficulty * np.sqrt(SHARED_DIFFICULTY) + noise < ndtri(level)
                        predictions[key] = correct.astype(np.uint16)
                        accuracy = correct.mean()
                    else:
                        accuracy = level + random.normal(0, np.sqrt(level * (1 - level) / IMAGES * 0.4))
                        accuracy = round(accuracy * IMAGES) / IMAGES  # two seeds may agree by chance
                    row = {"dataset": "tiny-imagenet", "direction": direction, "size": size, "condition": condition}
                    rows.append(row | {"seed": seed, "accuracy": accuracy, "status": "ok", "run": f"models/x/{key}"})
    tables = Tables(Path("simulated"))
    tables.__dict__.update(runs=rows, predictions=predictions, curves=[])
    return tables


def null(size: int, condition: str) -> float:
    """No condition and no size makes a difference."""
    return 0.5


def thesis(size: int, condition: str) -> float:
    """As in the thesis: accuracy falls with each halving, transfer gains more with fewer images; S4T, S6T are low."""
    depth = Condition.parse(condition).depth
    scarcity = np.log2(500 / size)
    gain = {0: 0.0, None: 0.01 * scarcity}.get(depth, 0.015 * scarcity)
    cost = {1: 0.04, 3: 0.04, 4: 0.08, 5: 0.04, 6: 0.09, 7: 0.14}.get(depth, 0.0)
    return 0.6 - 0.06 * scarcity + gain - cost


def coverage(random: np.random.RandomState, seeds: int, sweeps: int) -> dict[str, float]:
    """How often 95 % intervals by seeds contain the truth: of a mean, a difference, and a gap's growth over sizes."""
    contrasts = {
        "mean": {(300, "S3T"): 1.0},
        "difference": {(300, "S3T"): 1.0, (300, "base"): -1.0},
        "growth": {(50, "S3T"): 1.0, (50, "base"): -1.0, (500, "S3T"): -1.0, (500, "base"): 1.0},
    }
    hits = dict.fromkeys(contrasts, 0)
    for _ in range(sweeps):
        measured = Measurements(sweep(random, seeds, thesis, sizes=(500, 300, 50)).runs)
        for name, weights in contrasts.items():
            low, high = measured.estimate(weights).interval
            hits[name] += low <= sum(w * thesis(*cell) for cell, w in weights.items()) <= high
    return {name: count / sweeps for name, count in hits.items()}


def coverage_of_one_seed(random: np.random.RandomState, sweeps: int) -> float:
    """How often an interval by images, of one seed, contains the difference over all seeds: far less than 95 %."""
    weights, hits = {(300, "S3T"): 1.0, (300, "base"): -1.0}, 0
    for _ in range(sweeps):
        tables = sweep(random, 1, thesis, IMAGES, (300,))
        low, high = Measurements(tables.runs, tables.predictions).estimate(weights).interval
        hits += low <= thesis(300, "S3T") - thesis(300, "base") <= high
    return hits / sweeps


def coverage_of_these_nets(random: np.random.RandomState, sweeps: int) -> float:
    """How often such an interval contains the difference of the same two nets over all images: it should be 95 %."""
    shared, own, hits = np.sqrt(SHARED_DIFFICULTY), np.sqrt(1 - SHARED_DIFFICULTY), 0
    weights = {(300, "S3T"): 1.0, (300, "base"): -1.0}
    for _ in range(sweeps):
        rows, predictions, levels = [], {}, []
        for direction in ("A2B", "B2A"):
            difficulty = random.normal(size=IMAGES)
            predictions[f"label/{direction}/seed0"] = np.ones(IMAGES, np.uint16)
            for condition in ("S3T", "base"):
                level = random.uniform(0.4, 0.6)
                levels.append(level if condition == "S3T" else -level)
                key = f"{direction}/n0300/{condition}/seed0"
                correct = difficulty * shared + random.normal(size=IMAGES) * own < ndtri(level)
                predictions[key] = correct.astype(np.uint16)
                run = {"direction": direction, "size": 300, "condition": condition, "seed": 0}
                rows.append(run | {"accuracy": correct.mean(), "status": "ok", "run": f"models/x/{key}"})
        low, high = Measurements(rows, predictions).estimate(weights).interval
        hits += low <= sum(levels) / 2 <= high
    return hits / sweeps


def verdicts(
    random: np.random.RandomState, seeds: int, sweeps: int, truth: Callable[[int, str], float], images: int = 0
) -> list[dict[str, str]]:
    """Claim -> verdict, for each sweep; with `images` the verdicts about these nets (column these_nets)."""
    claims = claims_file.load(claims_file.THESIS)
    column = "these_nets" if images else "verdict"
    of_sweeps = []
    for _ in range(sweeps):
        rows = decide(sweep(random, seeds, truth, images), claims)
        of_sweeps.append({row["claim"]: row.get(column) or row["verdict"] for row in rows})
    return of_sweeps


def false_decisions(of_sweeps: list[dict[str, str]]) -> float:
    """The share of sweeps with a wrong decision, if there is no true difference. Then only C13 holds."""
    wrong = [[c for c, v in one.items() if v in ("holds", "fails") and (c, v) != ("C13", "holds")] for one in of_sweeps]
    return sum(map(bool, wrong)) / len(wrong)


def resampled(tables: Tables, target: float, random: np.random.RandomState) -> tuple[float, float]:
    """The images that base needs, as an interval of the usual bootstrap: seeds drawn with replacement, percentiles."""
    measured, sizes = Measurements(tables.runs), np.array(sorted(tables.sizes), float)
    errors = np.array([1 - np.array(list(measured.by_seed({(int(n), "base"): 1.0}).values())) for n in sizes]).T
    draws = errors[random.randint(0, len(errors), (1000, len(errors)))].mean(axis=1)
    found = [fit(family, sizes, draws, np.ones_like(sizes)).images(1 - target) for family in FAMILIES]
    ends = [np.quantile(images, [0.025, 0.975], method="inverted_cdf") for images in found]
    return min(low for low, _ in ends), max(high for _, high in ends)


def coverage_of_images(
    random: np.random.RandomState, error: Callable[[float], float], seeds: int, sweeps: int, **options: Any
) -> dict[str, float]:
    """How often `advise --target` contains the true images of base, and how many more they are than FTall's.

    FTall needs half of base's. The target is base's true accuracy at INSIDE or BEYOND images a class. refused: sweeps
    in which base is refused; fell: in which its accuracy falls between two sizes.
    """

    def truth(size: float, condition: str) -> float:
        return 1 - error(size * (2 if condition == "FTall" else 1))

    counts: dict[str, list[bool]] = defaultdict(list)
    for _ in range(sweeps):
        tables = sweep(random, seeds, truth, conditions=("base", "FTall"), **options)
        for name, n in (("inside", INSIDE), ("beyond", BEYOND)):
            target = truth(n, "base")
            try:
                answer = images_needed(tables, target, draws=1000)
            except UserError:  # both are refused
                counts["refused"].append(True)
                continue
            of = {needed.condition: needed for needed in answer.needed}
            counts["refused"].append("base" not in of)
            if "base" in of:
                counts[name].append(of["base"].interval[0] <= n <= of["base"].interval[1])
                ends = np.quantile(of["base"].draws[0], [0.025, 0.975], method="inverted_cdf")
                counts[f"{name}, power law"].append(ends[0] <= n <= ends[1])
                counts["fell"].append(of["base"].dips)
            if len(of) == 2:
                _, low, high = answer.later("base", "FTall")
                counts[f"{name}, difference"].append(low <= n / 2 <= high)
            if seeds > 1:
                low, high = resampled(tables, target, random)
                counts[f"{name}, resampled"].append(low <= n <= high)
    return {name: float(np.mean(hits)) for name, hits in counts.items()}


def print_coverage(sweeps: int) -> None:
    random = np.random.RandomState(0)
    print(f"coverage of 95 % intervals, {sweeps} sweeps a figure\nseeds | mean, difference, growth of a gap")
    for seeds in (2, 3, 5, 10):
        print(f"{seeds:5} | " + ", ".join(f"{share:.3f}" for share in coverage(random, seeds, sweeps).values()))
    print(f"one seed, by images, of the same nets over all images: {coverage_of_these_nets(random, sweeps):.3f}")
    print(f"one seed, by images, of the difference over all seeds: {coverage_of_one_seed(random, sweeps // 5):.3f}")


def print_errors(sweeps: int) -> None:
    random = np.random.RandomState(1)
    print(f"sweeps without any difference in which a claim was decided wrongly, of {sweeps // 10}\nseeds | share")
    for seeds in (2, 3, 5, 10):
        print(f"{seeds:5} | {false_decisions(verdicts(random, seeds, sweeps // 10, null)):.3f}", flush=True)
    share = false_decisions(verdicts(random, 1, sweeps // 100, null, IMAGES))
    print(f"    1 | {share:.3f} (these nets, by images; of {sweeps // 100})")


def print_power(sweeps: int) -> None:
    random = np.random.RandomState(2)
    print(f"claims that are true: verdict holds (verdict fails), of {sweeps // 20} sweeps\nseeds | share")
    for seeds in (3, 5, 10):
        of_sweeps = verdicts(random, seeds, sweeps // 20, thesis)
        shares = {c: [np.mean([one[c] == v for one in of_sweeps]) for v in ("holds", "fails")] for c in TRUE}
        print(f"{seeds:5} | " + ", ".join(f"{c} {h:.2f} ({f:.2f})" for c, (h, f) in shares.items()), flush=True)


def print_images(sweeps: int) -> None:
    sweeps //= 5
    columns = ("inside", "beyond", "inside, difference", "beyond, difference", "inside, resampled", "beyond, resampled")
    columns += ("beyond, power law", "refused", "fell")
    print(f"advise --target: coverage of 95 % intervals, {sweeps} sweeps a figure; {INSIDE} images and {BEYOND}")
    print(f"seeds, sizes, noise, true curve | {'; '.join(columns)}")
    for seeds, sizes, scale in SETTINGS:
        options = {"sizes": sizes, "scale": scale, "images": IMAGES if seeds == 1 else 0}
        of_curves = []
        for name, error in TRUE_ERRORS.items():
            found = coverage_of_images(np.random.RandomState(3), error, seeds, sweeps, **options)
            of_curves.append([found.get(column, np.nan) for column in columns])
            print(f"{seeds}, {len(sizes)}, {scale:g}, {name} | {_figures(of_curves[-1])}", flush=True)
        print(f"{seeds}, {len(sizes)}, {scale:g}, mean | {_figures(np.mean(of_curves, axis=0))}", flush=True)


def _figures(values: Iterable[float]) -> str:
    return "; ".join(f"{value:.2f}" for value in values)


INSIDE, BEYOND = 150, 1000  # images a class
TRUE_ERRORS: dict[str, Callable[[float], float]] = {
    "power law, c = 0.25": lambda n: 0.1 + 1.75 * n**-0.25,
    "power law, c = 0.5": lambda n: 0.35 + 2.6 * n**-0.5,
    "power law, c = 1": lambda n: 0.48 + 12 / n,
    "logarithm": lambda n: 1.04 - 0.08 * np.log(n),
    "exponential": lambda n: 0.47 + 0.28 * np.exp(-n / 150),
}
SETTINGS = (  # seeds, sizes, noise
    *((seeds, SIZES, 1.0) for seeds in (1, 2, 3, 5, 10)),
    *((5, sizes, 1.0) for sizes in ((500, 200, 100, 50), (500, 200, 50))),
    *((5, SIZES, scale) for scale in (0.5, 2.0)),
)
PARTS = {"coverage": print_coverage, "errors": print_errors, "power": print_power, "images": print_images}
TRUE = ("C1", "C3", "C4", "C5", "C12")  # of `thesis`


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweeps", type=int, default=2000)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    given = parser.parse_args()
    for part in given.parts or PARTS:
        PARTS[part](given.sweeps)


if __name__ == "__main__":
    main()
