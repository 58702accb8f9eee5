"""The names of conditions: what each says, and which controls belong to which."""

import pytest

from tools.protocol.conditions import Condition, Subset, controls

NAMES = {
    "base": (None, 0, False),
    "base+": (None, 0, False),
    "FTall": ("source", None, False),
    "S3T": ("source", 3, True),
    "S3T+": ("source", 3, False),
    "T3T": ("self", 3, True),
    "T3T+": ("self", 3, False),
    "R3T": (None, 3, True),
    "S3T-random72": ("source", 3, True),
    "T3T+-retain": ("self", 3, False),
}
THESIS = ["base", "FTall", *(f"S{n}T" for n in range(1, 8))]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_says_whose_layers_start_a_net_how_many_and_whether_they_learn(name):
    found = Condition.parse(name)
    assert (found.origin, found.depth, found.frozen) == NAMES[name]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "S0T",
        "S3",
        "T3",
        "R3T+",
        "FTall+",
        "base++",
        "S3T++",
        "s3t",
        "S3T/",
        "S123T",
        "T1T-random4",
        "S1T-random0",
        "S1T-kmeans",
        "S1T-retain-retain",
        "-retain",
    ],
)
def test_another_name_is_refused_with_those_that_there_are(name):
    with pytest.raises(ValueError, match=r"no condition; base, FTall, SnT .*SnT\+, TnT, TnT\+, RnT"):
        Condition.parse(name)


def test_a_subset_and_a_retention_are_named_by_what_they_are_of():
    assert Condition.parse("S3T-kmeans12").subset == Subset("kmeans", 12)
    found = Condition.parse("S3T-kmeans12-retain")
    assert found.retained == Condition.parse("S3T-kmeans12") and Condition.parse("S3T").retained is None


def test_only_the_control_of_the_budget_trains_longer_and_it_comes_after_the_thesis_conditions():
    longer = Condition.parse("base+")
    assert longer.trainings == 2 and all(Condition.parse(name).trainings == 1 for name in NAMES if name != "base+")
    assert not longer.is_of_thesis and longer.family == ""
    names = ["S1T+", "base+", *reversed(THESIS)]
    assert sorted(names, key=lambda name: Condition.parse(name).order) == [*THESIS, "base+", "S1T+"]


def test_the_controls_of_the_thesis_conditions_are_27_and_all_differ():
    found = controls(THESIS, layers=8)
    assert len(found) == len(set(found)) == 27 and not set(found) & set(THESIS)
    assert "S6T+" in found and "T7T+" in found and "S7T+" not in found, "S7T+ is FTall"


def test_controls_have_the_depths_of_the_conditions_that_are_there():
    assert controls(["base", "S2T", "S5T"], layers=8) == ["S2T+", "S5T+", "T2T", "T5T", "T2T+", "T5T+", "R2T", "R5T"]
    assert controls(["base", "S2T", "R2T", "T2T"], layers=3) == ["T2T+"]
    assert controls(["base", "FTall"], layers=8) == []


def test_the_thesis_conditions_come_first_in_its_own_order_then_the_controls_kind_by_kind():
    names = THESIS + controls(THESIS, layers=8)
    ordered = sorted(reversed(names), key=lambda name: Condition.parse(name).order)
    assert ordered[:9] == THESIS and ordered[9:12] == ["S1T+", "S2T+", "S3T+"]
    assert [name for name in ordered if "1T" in name] == ["S1T", "S1T+", "T1T", "T1T+", "R1T"]
    more = ["S1T-random24", "S1T-random72", "S2T-kmeans9", "FTall-retain", "S1T-retain"]
    assert sorted([*more, *names], key=lambda name: Condition.parse(name).order)[-5:] == more
