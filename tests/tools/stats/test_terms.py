"""Comparisons of a claim and their combination: how sure all of several are, and how sure one of several is."""

import math

import pytest
from scipy import stats

from tools.stats.intervals import Estimate
from tools.stats.terms import ClaimTest, Term, all_of, any_of

TAIL = {sign: float(stats.t.sf(2.0 * sign, 4)) for sign in (1, -1)}  # of an effect two standard errors from 0


def term(effect: float, se: float = 0.01, sign: int = 1, threshold: float = 0.0, label: str = "") -> Term:
    return Term(label or f"{effect:+}", Estimate(effect, se, 4, "seeds", 5, frozenset()), threshold, sign)


def test_a_comparison_holds_or_fails_by_the_tail_on_either_side() -> None:
    above = term(0.02).test
    assert (above.p_holds, above.p_fails) == pytest.approx((TAIL[1], TAIL[-1]))
    below = term(0.02, sign=-1).test
    assert (below.p_holds, below.p_fails) == pytest.approx((TAIL[-1], TAIL[1]))
    assert term(0.03, threshold=0.01).test.p_holds == pytest.approx(TAIL[1])
    assert above.deciding == above.terms[0]


def test_the_shortfall_is_the_way_to_the_right_side_of_the_threshold() -> None:
    assert term(-0.02).shortfall == pytest.approx(0.02)
    assert term(0.02).shortfall == pytest.approx(-0.02)
    assert term(0.02, sign=-1, threshold=0.01).shortfall == pytest.approx(0.01)


def combined(*effects: float) -> list[ClaimTest]:
    return [term(effect).test for effect in effects]


def test_all_hold_as_surely_as_the_weakest_and_fail_by_the_surest_failure_times_their_number() -> None:
    tests = combined(0.05, 0.02, 0.03)
    every = all_of(tests)
    assert every.p_holds == max(test.p_holds for test in tests)
    assert every.p_fails == min(1, 3 * min(test.p_fails for test in tests))
    assert every.deciding.label == "+0.02" and len(every.terms) == 3
    one_fails = all_of(combined(0.05, -0.06, 0.05))
    assert one_fails.p_fails == pytest.approx(3 * stats.t.sf(6.0, 4))
    assert one_fails.deciding.label == "-0.06"


def test_one_of_several_holds_by_the_surest_times_their_number_and_fails_by_the_weakest_failure() -> None:
    tests = combined(-0.05, 0.06, -0.02)
    some = any_of(tests)
    assert some.p_holds == pytest.approx(3 * stats.t.sf(6.0, 4))
    assert some.p_fails == max(test.p_fails for test in tests)
    assert some.deciding.label == "+0.06"


def test_combinations_nest_and_keep_every_comparison() -> None:
    nested = all_of([any_of(combined(0.05, -0.05)), any_of(combined(0.01, -0.01))])
    assert [one.label for one in nested.terms] == ["+0.05", "-0.05", "+0.01", "-0.01"]
    assert nested.deciding.label == "+0.01"


def test_a_comparison_of_unknown_certainty_makes_the_whole_unknown() -> None:
    unknown = Term("one seed", Estimate(0.02, math.nan, 0, "", 1, frozenset()), 0.0, 1)
    both = all_of([term(0.05).test, unknown.test])
    assert math.isnan(both.p_holds) and math.isnan(both.p_fails)
    assert both.deciding.label == "one seed"
