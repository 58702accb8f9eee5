"""The rows of summary.csv: a mean over complete seeds, and the interval that suits the number of seeds."""

import numpy as np
import pytest
from scipy import stats

from tools.results.columns import Row
from tools.stats.summary_rows import summary_rows

NONE: dict[str, np.ndarray] = {}


def run(accuracy: float, seed: int = 0, direction: str = "A2B", status: str = "ok", condition: str = "base") -> Row:
    key = f"{direction}/n0060/{condition}/seed{seed}"
    place = {"direction": direction, "size": 60, "condition": condition, "seed": seed}
    figures = {"accuracy": accuracy, "best_accuracy": accuracy + 0.01, "best_iter": 200 + 100 * seed, "loss": 1.5}
    return place | figures | {"status": status, "run": f"models/demo/{key}"}


def test_a_mean_has_its_deviation_and_students_interval_over_the_means_of_seeds() -> None:
    runs = [
        run(0.5 + 0.1 * (direction == "B2A") + 0.02 * seed, seed, direction)
        for seed in (0, 1, 2)
        for direction in ("A2B", "B2A")
    ]
    (row,) = summary_rows(runs, NONE)
    accuracies = [one["accuracy"] for one in runs]
    assert row["accuracy"] == pytest.approx(np.mean(accuracies))
    assert row["sd"] == pytest.approx(np.std(accuracies, ddof=1), abs=1e-6)
    assert (row["n"], row["excluded"], row["seeds"], row["interval"]) == (6, 0, 3, "seeds")
    of_seeds = [0.55, 0.57, 0.59]
    reach = stats.t.ppf(0.975, 2) * np.std(of_seeds, ddof=1) / np.sqrt(3)
    assert (row["low"], row["high"]) == pytest.approx((0.57 - reach, 0.57 + reach), abs=1e-6)
    assert (row["best_accuracy"], row["best_iter"], row["loss"]) == pytest.approx((0.58, 300, 1.5))


def test_a_seed_that_lacks_a_direction_is_in_no_mean_beside_complete_ones() -> None:
    runs = [run(0.5, 0), run(0.7, 0, "B2A"), run(0.9, 1), run(0.3, 1, "B2A", "stuck")]
    (row,) = summary_rows(runs, NONE)
    assert (row["accuracy"], row["n"], row["excluded"], row["seeds"]) == (0.6, 2, 2, 1)


def test_a_condition_that_lacks_a_direction_in_all_seeds_has_no_mean() -> None:
    runs = [run(0.9 if way == "A2B" else 0.5, seed, way) for seed in (0, 1) for way in ("A2B", "B2A")]
    of_ftall = [
        one | {"condition": "FTall", "status": "ok" if one["direction"] == "A2B" else "diverged"} for one in runs
    ]
    base, ftall = summary_rows([*runs, *of_ftall], NONE)
    assert (base["accuracy"], base["n"], base["seeds"]) == (0.7, 4, 2)
    assert (ftall["accuracy"], ftall["low"], ftall["n"], ftall["excluded"], ftall["seeds"]) == (None, None, 0, 4, 0)
    (alone,) = summary_rows([one for one in of_ftall if one["direction"] == "A2B"], NONE)
    assert (alone["accuracy"], alone["n"]) == (0.9, 2), "with directions: [A2B] there are no others"


def test_one_seed_has_wilsons_interval_of_its_validation_images() -> None:
    keys = ["A2B/n0060/base/seed0", "B2A/n0060/base/seed0"]
    labels = np.zeros(100, np.uint16)
    predictions = {f"label/{key[:3]}/seed0": labels for key in keys}
    predictions |= {key: (np.arange(100) >= right).astype(np.uint16) for key, right in zip(keys, (60, 80), strict=True)}
    (row,) = summary_rows([run(0.6), run(0.8, direction="B2A")], predictions)
    interval = stats.binomtest(140, 200).proportion_ci(method="wilson")
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high), abs=1e-6)
    assert (row["interval"], row["seeds"]) == ("images", 1)
    (bare,) = summary_rows([run(0.6), run(0.8, direction="B2A")], NONE)
    assert bare.get("low") is None and bare["seeds"] == 1


def test_without_an_ok_run_the_figures_are_blank_and_the_runs_counted() -> None:
    (row,) = summary_rows([run(0.2, status="stuck"), run(0.2, status="diverged", direction="B2A")], NONE)
    assert (row["accuracy"], row["sd"], row["n"], row["excluded"], row["seeds"]) == (None, None, 0, 2, 0)


def test_there_is_a_row_a_size_and_condition_in_the_order_of_the_runs() -> None:
    runs = [run(0.5, condition=name) for name in ("base", "S3T", "S4T")]
    assert [row["condition"] for row in summary_rows(runs, NONE)] == ["base", "S3T", "S4T"]


def test_source_nets_of_a_direction_that_was_not_selected_are_in_no_mean() -> None:
    own = [run(0.5 + 0.1 * seed, seed) for seed in (0, 1)]
    sources = [run(0.9, seed, "B2A") for seed in (0, 1)]
    base, ftall = summary_rows([*own, *sources, *(one | {"condition": "FTall"} for one in own)], NONE)
    assert (
        (base["accuracy"], base["n"], base["seeds"]) == (ftall["accuracy"], ftall["n"], ftall["seeds"]) == (0.55, 2, 2)
    )
    (base,) = summary_rows([*own, *sources], NONE)
    assert (base["accuracy"], base["n"]) == (0.725, 4)
