"""What a figure leaves behind, and the conditions that a figure may show."""

import csv
from pathlib import Path

import cv2
import numpy as np

ALL_CONDITIONS = ["base", "FTall"] + [name.format(n) for name in ("S{}T", "T{}T", "S{}T+", "R{}T") for n in range(1, 8)]


def rows(name: str) -> list[dict[str, str]]:
    with open(f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def is_whole(name: str) -> bool:
    """Whether a figure has its three files, and its picture something in it that no edge cuts off."""
    ink = (cv2.imread(f"{name}.png") < 250).any(axis=2)
    border = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
    return Path(f"{name}.pdf").is_file() and Path(f"{name}.csv").is_file() and ink.mean() > 0.02 and not border.any()
