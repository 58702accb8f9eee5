"""Accuracy and gain of each class: of predictions whose answer is known, and how often the intervals hold."""

import numpy as np
import pytest

from tools.results.columns import Row
from tools.stats.class_accuracy import class_rows, gains

IDS = ["ant", "bee", "cat"]


def run(condition: str, seed: int = 0, direction: str = "A2B", status: str = "ok") -> Row:
    key = f"{direction}/n0010/{condition}/seed{seed}"
    return {
        "size": 10,
        "condition": condition,
        "seed": seed,
        "direction": direction,
        "status": status,
        "run": f"models/demo/{key}",
    }


def scored(right: dict[str, list[int]], images: int = 20, seed: int = 0, direction: str = "A2B") -> dict:
    """Predictions of conditions: how many images of each class are right. A wrong one is taken for the next class."""
    label = np.repeat(np.arange(len(IDS)), images)
    arrays = {f"label/{direction}/seed{seed}": label, f"classes/{direction}/seed{seed}": np.array(IDS)}
    for condition, counts in right.items():
        is_right = np.concatenate([np.arange(images) < count for count in counts])
        arrays[f"{direction}/n0010/{condition}/seed{seed}"] = np.where(is_right, label, (label + 1) % len(IDS))
    return arrays


def by_class(rows: list[Row], condition: str) -> dict[str, Row]:
    return {row["class"]: row for row in rows if row["condition"] == condition}


def test_one_seed_gives_accuracies_and_gains_with_an_interval_by_images():
    rows = class_rows([run("base"), run("FTall")], scored({"base": [10, 5, 20], "FTall": [20, 5, 10]}))
    base, tuned = by_class(rows, "base"), by_class(rows, "FTall")
    assert [base[name]["accuracy"] for name in IDS] == [0.5, 0.25, 1.0]
    assert [tuned[name]["gain"] for name in IDS] == [0.5, 0.0, -0.5]
    assert base["ant"]["gain"] is None and base["ant"]["images"] == 20
    # 10 of 20 paired differences are 1, the others 0; Bonferroni over three classes
    reach = 2.3940 * np.std([1] * 10 + [0] * 10, ddof=1) / np.sqrt(20)
    assert (tuned["ant"]["low"], tuned["ant"]["high"]) == pytest.approx((0.5 - reach, 0.5 + reach), abs=1e-4)
    assert tuned["ant"]["interval"] == "images" and tuned["bee"]["low"] < 0 < tuned["bee"]["high"]
    assert [row["class"] for row in gains(rows, 10, "FTall")] == ["ant", "bee", "cat"]
    assert gains(rows, 10, "base") == []


def test_several_seeds_give_an_interval_over_them():
    rows, predictions = [], {}
    for seed, right in enumerate(([12, 5, 5], [14, 5, 5], [16, 5, 5])):
        rows += [run("base", seed), run("S3T", seed)]
        predictions |= scored({"base": [10, 5, 5], "S3T": right}, seed=seed)
    found = by_class(class_rows(rows, predictions), "S3T")
    assert found["ant"]["gain"] == pytest.approx(0.2) and found["ant"]["seeds"] == 3
    assert found["ant"]["interval"] == "seeds" and found["ant"]["n"] == 3
    assert found["bee"]["high"] > 0, "equal values of all seeds are no certainty: accuracies come in steps"


def test_a_class_counts_in_the_direction_that_has_it_and_only_with_a_base_run_of_the_seed():
    predictions = scored({"base": [10, 10, 10], "S3T": [20, 10, 10]}) | scored({"S3T": [0, 0, 0]}, seed=1)
    rows = class_rows([run("base"), run("S3T"), run("S3T", seed=1)], predictions)
    ant = by_class(rows, "S3T")["ant"]
    assert (ant["accuracy"], ant["n"]) == (0.5, 2) and (ant["gain"], ant["seeds"]) == (0.5, 1)


def test_runs_that_are_not_ok_or_have_no_class_ids_are_left_out():
    predictions = scored({"base": [10, 10, 10], "S3T": [20, 10, 10]})
    assert {row["condition"] for row in class_rows([run("base"), run("S3T", status="stuck")], predictions)} == {"base"}
    without_ids = {name: array for name, array in predictions.items() if not name.startswith("classes/")}
    assert class_rows([run("base"), run("S3T")], without_ids) == []


def test_all_intervals_hold_together_with_95_percent():
    random, kept = np.random.RandomState(0), 0
    sweeps, images = 300, 50
    for _ in range(sweeps):
        rows, predictions = [], {}
        for seed in range(4):
            rows += [run("base", seed), run("S3T", seed)]
            counts = {name: list(random.binomial(images, 0.5, len(IDS))) for name in ("base", "S3T")}
            predictions |= scored(counts, images, seed)
        kept += all(row["low"] <= 0 <= row["high"] for row in gains(class_rows(rows, predictions), 10, "S3T"))
    assert kept / sweeps >= 0.93
