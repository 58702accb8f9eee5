"""How values are written on the page, and that the template escapes and misses nothing silently."""

import jinja2
import pytest

from tools.page import template


def test_numbers_have_the_digits_that_suit_their_column() -> None:
    assert template.value(0.123456, "accuracy") == "0.1235"
    assert template.value(5400.25, "seconds") == "5,400.2"
    assert template.value(0.000123456) == "0.0001235"
    assert template.value(12345.6) == "12,346"
    assert template.value(10000) == "10,000"
    assert (template.value(None), template.value("S3T")) == ("", "S3T")
    assert (template.size("all"), template.size(6000)) == ("all images", "6,000")


def test_below_a_mean_stands_its_interval_else_its_deviation() -> None:
    cell = {"low": 0.4444, "high": 0.5555, "sd": 0.02, "n": 2, "excluded": 1}
    assert template.spread(cell) == "0.444 to 0.555"
    assert template.spread(cell | {"low": None}) == "± 0.020"
    assert template.spread(cell | {"low": None, "sd": None}) == ""
    assert template.cell_title(cell) == "2 runs, 1 left out"
    assert template.cell_title(cell | {"n": 1, "excluded": 0}) == "1 run"


CLAIM = {"effect": -0.0214, "low": -0.03, "high": 0.011, "unit": "accuracy"}


@pytest.mark.parametrize(
    ("claim", "effect", "interval"),
    [
        (CLAIM, "−2.1 points", "−3.0 to +1.1"),
        (CLAIM | {"unit": None}, "−2.1 points", "−3.0 to +1.1"),
        (CLAIM | {"unit": "rho"}, "−0.02 rho", "−0.03 to +0.01"),
        (CLAIM | {"unit": "iterations", "effect": 1500, "low": None}, "+1,500 iterations", ""),
        (CLAIM | {"effect": None, "low": None}, "", ""),
    ],
)
def test_an_effect_of_accuracy_is_in_points_another_in_its_unit(claim: dict, effect: str, interval: str) -> None:
    assert (template.effect(claim), template.effect_interval(claim)) == (effect, interval)


def test_a_value_that_the_template_needs_and_lacks_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        template.render({})
