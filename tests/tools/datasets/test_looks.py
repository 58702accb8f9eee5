"""How images look: their median size, gray or colour, and what an experiment keeps of that."""

from pathlib import Path

import cv2
import numpy as np

from tests.helpers.pictures import picture, save
from tools.datasets.folder import Folder
from tools.datasets.looks import Looks, look, notes


def test_size_is_the_median_and_one_image_in_colour_is_colour(tmp_path: Path) -> None:
    for number, size in enumerate([(10, 20), (30, 40), (50, 60)]):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full(size, 7, np.uint8))
    (tmp_path / "bad.png").write_bytes(b"?")
    names = sorted(file.name for file in tmp_path.iterdir())
    assert look(Folder(tmp_path), names) == Looks(3, 30, 40, True)
    save(tmp_path / "colour.png", picture(30, 40))
    assert look(Folder(tmp_path), [*names, "colour.png"]) == Looks(4, 30, 40, False)
    assert look(Folder(tmp_path), ["bad.png"]) is None


def test_only_some_of_many_images_are_read(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    looks = look(Folder(tmp_path), ["a.png"] * 10_000)
    assert looks is not None and looks.images == 60


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
