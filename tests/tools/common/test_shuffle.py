"""The random order: the same on every machine, and of a subset the same as within the whole."""

from hypothesis import given
from hypothesis import strategies as st

from tools.common.shuffle import shuffled

ITEMS = st.lists(st.text(max_size=8), unique=True, max_size=30)


def test_the_order_never_changes() -> None:
    """By the sha256 of `seed|purpose|item`. Every published split depends on it."""
    items = [f"n{i:02}" for i in range(8)]
    assert shuffled(items, 0, "classes") == ["n01", "n04", "n00", "n05", "n07", "n02", "n03", "n06"]
    assert shuffled(items, 1, "classes") == ["n01", "n00", "n02", "n07", "n04", "n05", "n06", "n03"]
    assert shuffled(items, 0, "order") == ["n01", "n07", "n05", "n06", "n00", "n02", "n04", "n03"]


@given(ITEMS, st.integers(0, 99))
def test_it_is_a_permutation_that_does_not_depend_on_the_order_of_the_items(items: list[str], seed: int) -> None:
    assert sorted(shuffled(items, seed, "x")) == sorted(items)
    assert shuffled(reversed(items), seed, "x") == shuffled(items, seed, "x")


@given(ITEMS, st.integers(0, 99), st.data())
def test_a_subset_has_the_order_that_it_has_within_the_whole(items: list[str], seed: int, data: st.DataObject) -> None:
    subset = data.draw(st.sets(st.sampled_from(items))) if items else set()
    assert shuffled(subset, seed, "x") == [item for item in shuffled(items, seed, "x") if item in subset]
