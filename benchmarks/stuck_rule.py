"""Simulates runs that learned and runs that did not, and counts which the rule for `stuck` takes out of the means.

    python -m benchmarks.stuck_rule [--runs 2000]      docs/statistics.md's figures

A dead net gives all images the same scores. Its biases alone learn, by SGD with momentum from random batches, so its
training loss scatters about that of chance. Its tests are guesses. An untrained net has scores of its own for each
image, which never change. A net that learned has a training loss that falls from chance to a given share of it, with
the scatter of a batch, and the tests of its true accuracy. The rule before this one, for comparison: the last accuracy
not above chance by three standard errors, or both losses flat.
"""

import argparse
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tabulate import tabulate

from tools.results.columns import Row, read_csv
from tools.training.learning import FLAT, Evidence, at_the_end, chance_of, is_stuck

TESTS = 4  # of a run
RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
# classes, validation images of a half
PUBLISHED = {"demo": (5, 5000), "tiny-small": (100, 5000), "tiny-40": (20, 1000), "places-40": (20, 2000)}


@dataclass(frozen=True)
class Setting:
    """An experiment: the images of its validation set and its classes, and how it trains and displays."""

    images: int
    classes: int
    batch: int
    iterations: int = 300
    display: int = 20
    average: int = 1  # average_loss
    rate: float = 0.02


SETTINGS = (
    Setting(6, 2, 8),
    Setting(27, 3, 16),
    Setting(27, 3, 4, iterations=60, display=1),
    Setting(27, 3, 16, display=1, average=50),
    Setting(100, 10, 50),
    Setting(1000, 20, 64),
    Setting(5000, 100, 64, iterations=3000),
)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


def guesses(random: np.random.RandomState, s: Setting, runs: int, share: float) -> list[list[float]]:
    """The accuracies of the tests of each run."""
    return (random.binomial(s.images, share, (runs, TESTS)) / s.images).tolist()


def displays(losses: np.ndarray, s: Setting) -> list[list[float]]:
    """What each of the runs displays. `losses`: runs x iterations."""
    sums = np.cumsum(np.pad(losses, ((0, 0), (1, 0))), axis=1)
    at = np.arange(0, s.iterations, s.display) + 1
    first = np.maximum(0, at - s.average)
    return ((sums[:, at] - sums[:, first]) / (at - first)).tolist()


def dead(random: np.random.RandomState, s: Setting, runs: int) -> list[Evidence]:
    biases, step = np.zeros((runs, s.classes)), np.zeros((runs, s.classes))
    losses = np.empty((runs, s.iterations))
    for iteration in range(s.iterations):
        counts = random.multinomial(s.batch, [1 / s.classes] * s.classes, runs) / s.batch
        logs = log_softmax(biases)
        losses[:, iteration] = -(counts * logs).sum(axis=1)
        step = 0.9 * step + 2 * s.rate * (np.exp(logs) - counts)  # biases have lr_mult 2
        biases = biases - step
    ends = (-log_softmax(biases).mean(axis=1)).tolist()
    tests, shown = guesses(random, s, runs, 1 / s.classes), displays(losses, s)
    start = math.log(s.classes) * 1.01
    return [Evidence(tests[i], s.images, ends[i], start, shown[i]) for i in range(runs)]


def untrained(random: np.random.RandomState, s: Setting, runs: int) -> list[Evidence]:
    spread = random.uniform(0.02, 0.5, (runs, 1))  # of an image's scores
    logs = [log_softmax(random.normal(size=(s.images, s.classes)) * sd)[:, 0] for sd in spread[:, 0]]
    ends = [float(-values.mean()) for values in logs]
    noise = random.normal(size=(runs, s.iterations)) * spread / math.sqrt(s.batch)
    shown = displays(math.log(s.classes) + spread**2 / 2 * (1 - 1 / s.classes) + noise, s)
    tests = [[values[0]] * TESTS for values in guesses(random, s, runs, 1 / s.classes)]
    return [Evidence(tests[i], s.images, ends[i], ends[i], shown[i]) for i in range(runs)]


def learned(
    random: np.random.RandomState, s: Setting, runs: int, share: float, accuracy: float, test_share: float
) -> list[Evidence]:
    """Runs whose training and test loss end near `share` and `test_share` of that of chance."""
    start = math.log(s.classes)
    at = np.arange(s.iterations) / s.iterations
    expected = start * (share + (1 - share) * np.exp(-6 * at))
    losses = random.normal(expected, 0.3 * np.sqrt(expected * start) / math.sqrt(s.batch), (runs, s.iterations))
    tests, shown = guesses(random, s, runs, accuracy), displays(np.maximum(losses, 0.001), s)
    return [Evidence(tests[i], s.images, test_share * start, start * 1.01, shown[i]) for i in range(runs)]


def stuck_now(run: Evidence, s: Setting) -> bool:
    return is_stuck(run, chance_of([1] * s.classes, [1] * s.classes, s.classes))


def stuck_before(run: Evidence, s: Setting) -> bool:
    chance = 1 / s.classes
    error = math.sqrt(chance * (1 - chance) / s.images)
    assert run.loss is not None
    flat = min(run.loss, at_the_end(run.training_losses)) >= FLAT * math.log(s.classes)
    return run.accuracies[-1] <= chance + 3 * error or flat


def rates(random: np.random.RandomState, runs: int) -> list[list[object]]:
    table = []
    for s in SETTINGS:
        chance = 1 / s.classes
        kinds = {
            "dead": dead(random, s, runs),
            "untrained": untrained(random, s, runs),
            "learned": learned(random, s, runs, 0.15, chance + 0.22, 0.6),
            "slow": learned(random, s, runs, 0.92, chance + 0.05, 0.96),
            "slow, test loss at chance": learned(random, s, runs, 0.92, chance + 0.05, 1.0),
            "memorized": learned(random, s, runs, 0.05, chance, 1.5),
        }
        name = (
            f"{s.images} images, {s.classes} classes, batch {s.batch}, {s.iterations} iterations, display {s.display}"
        )
        for kind, made in kinds.items():
            true = chance + {"learned": 0.22, "memorized": 0.0}.get(kind, 0.05)
            row: list[object] = [name + (f", average_loss {s.average}" if s.average > 1 else ""), kind]
            for rule in (stuck_before, stuck_now):
                kept = [one.accuracies[-1] for one in made if not rule(one, s)]
                row += [
                    1 - len(kept) / runs,
                    None if kind in ("dead", "untrained") or not kept else float(np.mean(kept)) - true,
                ]
            table.append(row)
    return table


def published() -> None:
    for name, (classes, images) in PUBLISHED.items():
        chance = chance_of([1] * classes, [1] * classes, classes)
        curves = defaultdict[str, list[Row]](list)
        for row in read_csv(RESULTS / name / "curves.csv"):
            curves[row["run"]].append(row)
        same = 0
        runs = read_csv(RESULTS / name / "runs.csv")
        for run in runs:
            own = next(rows for key, rows in curves.items() if run["run"].endswith(key))
            first, *tests = (row for row in own if row["accuracy"] is not None)
            training = [row["training_loss"] for row in own if row["training_loss"] is not None]
            accuracies = [row["accuracy"] for row in tests]
            losses = tests[-1]["validation_loss"], first["validation_loss"]
            stuck = is_stuck(Evidence(accuracies, images, *losses, training), chance)
            same += (run["status"] == "stuck") == stuck
        print(f"docs/results/{name}: {same} of {len(runs)} verdicts as published")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000, help="of each kind and setting; default: %(default)s")
    runs = parser.parse_args().runs
    headers = ["setting", "net", "stuck before", "mean before", "stuck now", "mean now"]
    print(f"Share of {runs} runs that the rule calls stuck; and how far the mean of the others is from the true one.")
    print(tabulate(rates(np.random.RandomState(1), runs), headers, "plain", ".4f", missingval="-"))
    published()


if __name__ == "__main__":
    main()
