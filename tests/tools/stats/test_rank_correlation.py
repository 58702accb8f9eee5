"""Rank correlation of scores with accuracy, compared with scipy's own."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from tools.stats.rank_correlation import RankCorrelation, correlations, p_value, rho

X, Y = [1.0, 2.0, 4.0, 3.0, 5.0, 7.0], [0.1, 0.3, 0.2, 0.4, 0.4, 0.9]


def test_rho_is_spearmans_with_ties_and_none_of_a_constant():
    assert rho(X, Y) == pytest.approx(spearmanr(X, Y).statistic)
    assert rho(X, [1.0] * 6) is None


def test_the_p_value_of_few_points_is_the_share_of_pairings_at_least_as_far_from_none():
    assert p_value([1, 2, 3, 4], [1, 2, 3, 4]) == pytest.approx(2 / 24), "in order and against it, of 4! pairings"


def test_under_no_relation_p_values_are_uniform():
    random = np.random.RandomState(0)
    values = [p_value(*random.standard_normal((2, 6))) for _ in range(200)]
    assert abs(np.mean(np.array(values) < 0.2) - 0.2) < 0.08


def row(direction: str, condition: str, logme: float, accuracy: float | None) -> dict:
    where = {"direction": direction, "size": 10, "seed": 0, "condition": condition}
    scores = {"leep": None, "logme": logme, "h_score": 3.0, "h_score_shrunk": logme, "probe": None, "cka": None}
    return {**where, **scores, "accuracy": accuracy}


def test_scores_are_held_against_depth_within_a_set_and_against_a_condition_among_sets():
    rows = [row("A2B", f"S{n}T", score, accuracy) for n, score, accuracy in ((1, 1, 0.5), (2, 2, 0.6), (3, 3, 0.7))]
    rows += [row("B2A", f"S{n}T", score, accuracy) for n, score, accuracy in ((1, 1, 0.7), (2, 2, 0.6), (3, 3, 0.5))]
    rows += [row("B2A", "FTall", 3, 0.9), row("A2B", "FTall", 3, None)]
    found = {(line["score"], line["against"]): line for line in correlations(rows)}
    assert set(found) == {("logme", "depth"), ("h_score_shrunk", "depth")}, (
        "two sets are too few, a constant has no rank"
    )
    line = found["logme", "depth"]
    assert (line["rho"], line["p"], line["n"], line["seeds"]) == (0.0, None, 2, 1)
    assert line["low"] is line["high"] is None, "one seed has no interval"


def test_three_target_sets_are_enough_for_a_condition():
    rows = [row(direction, "S1T", score, score / 10) for direction, score in (("A2B", 1), ("B2A", 3), ("C2D", 2))]
    (line, _) = correlations(rows)
    assert (line["score"], line["against"], line["rho"], line["n"]) == ("logme", "S1T", 1.0, 3)
    assert line["p"] == pytest.approx(2 / 6, abs=1e-3)


def test_against_depth_the_interval_is_over_the_seeds():
    rows = []
    for seed, order in enumerate(((1, 2, 3), (1, 2, 3), (1, 3, 2))):
        for direction in ("A2B", "B2A"):
            for n, value in enumerate(order, 1):
                rows.append(row(direction, f"S{n}T", value, n / 10) | {"seed": seed})
    line = next(line for line in correlations(rows) if line["against"] == "depth")
    assert (line["rho"], line["n"], line["seeds"]) == (pytest.approx(2.5 / 3, abs=1e-4), 6, 3)
    reach = 4.30265 * np.std([1, 1, 0.5], ddof=1) / np.sqrt(3)  # two directions of a seed are one observation
    assert line["low"] == pytest.approx(2.5 / 3 - reach, abs=1e-3) and line["high"] == 1.0


@pytest.mark.parametrize("sign", [1, -1])
def test_the_same_order_is_no_more_certain_than_one_order_among_all(sign: int) -> None:
    nine = [(float(i), float(sign * i)) for i in range(9)]
    same = RankCorrelation.of(nine, frozenset(), 3)
    assert same.effect == sign
    low, high = sorted(sign * bound for bound in same.interval_at(0.95))
    assert 0.9 < low < 0.96 and high == 1
    assert (same.p_above if sign > 0 else same.p_below)() == pytest.approx(1 / 362880)
    swapped = RankCorrelation.of([(0, sign * 1.0), (1, 0.0), *((i, sign * i) for i in range(2, 9))], frozenset(), 3)
    assert abs(swapped.effect) < 1
    assert sorted(sign * bound for bound in swapped.interval_at(0.95))[0] < low
