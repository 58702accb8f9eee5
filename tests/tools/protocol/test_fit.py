"""What does not fit between the images and the experiment is said at once, with values that fit."""

from pathlib import Path

import pytest

from tests.helpers.image_projects import experiment
from tests.helpers.rendered_nets import edited
from tools.common.checkout import CHECKOUT
from tools.common.errors import UserError
from tools.protocol.fit import check_counts, class_halves, fitting_batch


def of_sizes(part: str, sizes: dict[str, int]) -> dict[str, list[str]]:
    return {name: [f"{part}/{name}/{i}.png" for i in range(count)] for name, count in sizes.items()}


def faults(tmp_path: Path, train: dict[str, int], val: dict[str, int], **keys: object) -> list[str]:
    exp = experiment(tmp_path / "exp.yaml", dataset="folder", path=tmp_path, **keys)
    with pytest.raises(UserError) as caught:
        check_counts(exp, exp.seeds[0], sorted(train), of_sizes("train", train), of_sizes("val", val))
    return [line.removeprefix(f"{tmp_path}/") for line in str(caught.value).splitlines()]


def test_all_faults_are_said_at_once(tmp_path: Path) -> None:
    counts = {"a": 30, "b": 27, "c": 31, "d": 40}
    said = faults(tmp_path, counts, dict.fromkeys(counts, 9), full_size=40, sizes=[40, 30, 10], test_batch_size=100)
    assert said == [
        "exp.yaml:2: sizes: 40, 30 images a class, but class b has 27; give at most 27, or more images to the class",
        "exp.yaml:8: test_batch_size: 18 validation images in each half, in test batches of 100; it must divide them "
        "exactly, as 18 does",
    ]


def test_one_value_of_the_test_batch_fits_both_halves_of_all_seeds(tmp_path: Path) -> None:
    train, val = dict.fromkeys("abcd", 9), {"a": 27, "b": 15, "c": 9, "d": 6}
    said = faults(tmp_path, train, val, test_batch_size=100, seeds=[0, 1, 2])[0]
    fits = int(said.partition("exactly, as ")[2].split()[0])
    for seed in (0, 1, 2):
        for ids in class_halves(sorted(val), seed).values():
            assert sum(val[name] for name in ids) % fits == 0
    assert "more would fit if every class had the same number of validation images" in said
    exp = experiment(tmp_path / "exp.yaml", dataset="folder", path=tmp_path, test_batch_size=fits, seeds=[0, 1, 2])
    check_counts(exp, exp.seeds[0], sorted(train), of_sizes("train", train), of_sizes("val", val))


def test_the_templates_own_test_batch_counts_too(tmp_path: Path) -> None:
    said = faults(tmp_path, {"a": 9, "b": 9}, {"a": 150, "b": 150}, test_batch_size="null")
    assert said == [
        "exp.yaml:7: test_batch_size: 150 validation images in each half, in test batches of 100; it must divide them "
        "exactly, as 75 does"
    ]


def test_the_templates_test_batch_is_that_of_the_layer_that_the_test_phase_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    edited(CHECKOUT, tmp_path, "include { phase: TEST }", "exclude { phase: TRAIN }")
    said = faults(tmp_path, {"a": 9, "b": 9}, {"a": 150, "b": 150}, test_batch_size="null", model="mine")
    assert "150 validation images in each half, in test batches of 100; " in said[0]


@pytest.mark.parametrize(
    ("images", "most", "fits"), [((8, 7), 4, 1), ((20, 20), 100, 20), ((5000, 5000), 50, 50), ((54, 27), 100, 27)]
)
def test_the_fitting_batch_is_the_largest_that_divides_all(images: tuple[int, int], most: int, fits: int) -> None:
    assert fitting_batch(images, most) == fits
