"""How the images of a data set look: their size, and whether they are gray. From a sample of them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tools.datasets.base import DataSet
from tools.datasets.image_file import BadImage

_SAMPLE = 60  # images that are looked at
_MUCH_LARGER = 4  # times the size that is kept: that is told


@dataclass(frozen=True)
class Looks:
    """Of the images that were looked at: the median height and width in pixels, and whether all of them are gray."""

    images: int
    height: int
    width: int
    gray: bool


def look(data: DataSet, references: Sequence[str]) -> Looks | None:
    """Reads up to 60 of the images, evenly over `references`; None if not one of these can be read."""
    step = max(1, len(references) // _SAMPLE)
    heights, widths, gray = [], [], True
    for reference in references[::step][:_SAMPLE]:
        try:
            image = data.read(reference)
        except BadImage:
            continue
        heights.append(image.shape[0])
        widths.append(image.shape[1])
        gray = gray and bool((image == image[:, :, :1]).all())
    if not heights:
        return None
    return Looks(len(heights), int(statistics.median(heights)), int(statistics.median(widths)), gray)


def notes(looks: Looks | None, gray: bool, image_size: int) -> list[str]:
    """What an experiment with these keys loses of such images, a sentence each."""
    if looks is None:
        return []
    lines = []
    if gray and not looks.gray:
        lines.append("the images are in colour, and `gray: true` keeps one channel of three")
    if min(looks.height, looks.width) >= _MUCH_LARGER * image_size:
        size = f"{looks.width}x{looks.height} pixels (median)"
        lines.append(f"the images have {size}, and `image_size: {image_size}` keeps {image_size}x{image_size}")
    return lines
