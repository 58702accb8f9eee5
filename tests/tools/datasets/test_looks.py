"""How images look: their median size, gray or colour, and what an experiment keeps of that."""

from pathlib import Path

import cv2
import numpy as np

from tests.helpers.pictures import picture, save
from tools.datasets.base import Scan
from tools.datasets.folder import Folder
from tools.datasets.looks import Looks, look, notes


def scan_of(*classes: list[str]) -> Scan:
    """Images for training, a list a class."""
    train = {f"{number:03d}": images for number, images in enumerate(classes)}
    return Scan(list(train), train, {name: [] for name in train})


def test_size_is_the_median_and_one_image_in_colour_is_colour(tmp_path: Path) -> None:
    for number, size in enumerate([(10, 20), (30, 40), (50, 60)]):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.linspace(0, 255, np.prod(size)).reshape(size).astype(np.uint8))
    (tmp_path / "bad.png").write_bytes(b"?")
    names = sorted(file.name for file in tmp_path.iterdir())
    assert look(Folder(tmp_path), scan_of(names)) == Looks(3, 30, 40, True, unreadable=("bad.png",))
    save(tmp_path / "colour.png", picture(30, 40))
    assert look(Folder(tmp_path), scan_of([*names, "colour.png"])) == Looks(4, 30, 40, False, (), ("bad.png",))
    assert look(Folder(tmp_path), scan_of(["bad.png"])) is None


def test_the_sample_meets_every_class_and_falls_in_step_with_none(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "gray.png"), np.arange(1200, dtype=np.uint8).reshape(30, 40))
    save(tmp_path / "colour.png")
    every_tenth_is_gray = [["colour.png"] * number + ["gray.png"] for number in [9] * 100]
    of_two = [["gray.png"] * 12, ["colour.png"] * 12] * 50
    one_of_200 = [["gray.png"] * 500] * 199 + [["colour.png"] * 500]
    few_in_each = [(["gray.png"] * 49 + ["colour.png"]) * 10] * 20
    for classes in (every_tenth_is_gray, of_two, one_of_200, few_in_each):
        for order in (classes, classes[::-1], [images[::-1] for images in classes]):
            looks = look(Folder(tmp_path), scan_of(*order))
            assert looks is not None and not looks.gray


def test_validation_images_are_looked_at_too(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "gray.png"), np.arange(1200, dtype=np.uint8).reshape(30, 40))
    save(tmp_path / "colour.png")
    looks = look(Folder(tmp_path), Scan(["a"], {"a": ["gray.png"] * 20}, {"a": ["colour.png"]}))
    assert looks is not None and (looks.images, looks.gray) == (21, False)


def test_few_of_many_images_are_read_and_of_small_ones_more(tmp_path: Path) -> None:
    save(tmp_path / "small.png")
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((1000, 1000, 3), np.uint8))
    for name, count, classes, expected in (
        ("small.png", 10_000, 1, 600),
        ("small.png", 20, 800, 800),
        ("large.png", 1_000, 1, 60),
    ):
        looks = look(Folder(tmp_path), scan_of(*[[name] * count] * classes))
        assert looks is not None and looks.images == expected


def test_images_of_which_nothing_can_be_seen_are_told(tmp_path: Path) -> None:
    """Values of 12 bits in a file of 16, black shapes that alpha alone shows, and a photograph in the dark, which is
    none."""
    values = np.linspace(0, 4095, 1200).reshape(30, 40)
    cv2.imwrite(str(tmp_path / "x-ray.png"), values.astype(np.uint16))
    cv2.imwrite(
        str(tmp_path / "shape.png"), np.dstack([np.full((30, 40, 3), (0, 0, 200)), values / 16]).astype(np.uint8)
    )
    cv2.imwrite(str(tmp_path / "dark.png"), (values / 128).astype(np.uint8))
    looks = look(Folder(tmp_path), scan_of(["dark.png", "shape.png", "x-ray.png"]))
    assert looks is not None and looks.flat == ("shape.png", "x-ray.png")
    assert notes(looks, False, 28) == [
        "of nearly one colour among 3 images that were looked at, as 12 bits in 16-bit files and shapes in alpha alone "
        "are read: 2 (shape.png, x-ray.png)"
    ]


def test_what_an_experiment_loses_is_told() -> None:
    """The demo's keys, copied for photographs."""
    photographs, small = Looks(60, 375, 500, False), Looks(60, 28, 28, True)
    assert notes(photographs, True, 28) == [
        "the images are in colour, and `gray: true` keeps one channel of three",
        "the images have 500x375 pixels (median), and `image_size: 28` keeps 28x28",
    ]
    assert (
        notes(photographs, False, 227)
        == notes(small, True, 28)
        == notes(small, False, 28)
        == notes(None, True, 28)
        == []
    )
