"""How the images of a data set look: their size, and whether they are gray. From a sample of them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tools.datasets.base import DataSet
from tools.datasets.image_file import BadImage
from tools.datasets.walk import note

_SAMPLE = 60  # images that are looked at
_MUCH_LARGER = 4  # times the size that is kept: that is told
_FLAT = 16  # of 256 values 12 bits in a file of 16 take these; the flattest of 60,000 images of Tiny-ImageNet takes 86


@dataclass(frozen=True)
class Looks:
    """Of the images that were looked at: the median height and width in pixels, and whether all of them are gray."""

    images: int
    height: int
    width: int
    gray: bool
    flat: tuple[str, ...] = ()  # references of those that are nearly of one value


def look(data: DataSet, references: Sequence[str]) -> Looks | None:
    """Reads up to 60 of the images, evenly over `references`; None if not one of these can be read."""
    count = min(_SAMPLE, len(references))
    heights, widths, gray, flat = [], [], True, []
    for reference in (references[index * len(references) // count] for index in range(count)):
        try:
            image = data.read(reference)
        except BadImage:
            continue
        heights.append(image.shape[0])
        widths.append(image.shape[1])
        gray = gray and bool((image == image[:, :, :1]).all())
        if int(image.max()) - int(image.min()) < _FLAT or (image == image[0, 0]).all():
            flat.append(reference)
    if not heights:
        return None
    height, width = int(statistics.median(heights)), int(statistics.median(widths))
    return Looks(len(heights), height, width, gray, tuple(flat))


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
    flat = f"of nearly one colour among {looks.images} images that were looked at"
    return lines + note(f"{flat}, as 12 bits in 16-bit files and shapes in alpha alone are read", list(looks.flat))
