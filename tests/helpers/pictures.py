"""Small pictures and image files."""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(height: int = 48, width: int = 64) -> Image.Image:
    """An RGB image with colour gradients and noise, so that a wrong channel order or flag shows in the pixels."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.RandomState(0).randint(-20, 20, (height, width, 3))
    return Image.fromarray(np.clip(np.stack([x * 4, y * 5, (x + y) * 2], 2) + noise, 0, 255).astype(np.uint8))


def save(path: Path, image: Image.Image | None = None, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or picture(8, 8)).save(path, **options)
    return path
