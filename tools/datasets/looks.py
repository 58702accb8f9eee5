"""How the images of a data set look: their size, and whether they are gray. From a sample of them."""

import random
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from tools.datasets.base import DataSet, Scan
from tools.datasets.image_file import BadImage
from tools.datasets.walk import note

_SAMPLE = 60  # images that are looked at, or one of every class
_MOST, _CHEAP = 600, 50_000_000  # small images are quickly read: up to so many of them, of so many pixels together
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
    unreadable: tuple[str, ...] = ()  # references of those that cannot be read; `images` does not count them


def look(data: DataSet, scan: Scan) -> Looks | None:
    """Reads some images of every class, small ones more; None if not one of these can be read."""
    heights, widths, gray, flat, unreadable = [], [], True, [], []
    fewest, pixels = max(_SAMPLE, len(scan.classes)), 0
    for number, reference in enumerate(_sample(scan)):
        if number >= fewest and (number >= _MOST or pixels > _CHEAP):
            break
        try:
            image = data.read(reference)
        except BadImage:
            unreadable.append(reference)
            continue
        height, width, _ = image.shape
        heights.append(height)
        widths.append(width)
        pixels += height * width
        gray = gray and bool((image == image[:, :, :1]).all())
        if int(image.max()) - int(image.min()) < _FLAT or (image == image[0, 0]).all():
            flat.append(reference)
    if not heights:
        return None
    height, width = int(statistics.median(heights)), int(statistics.median(widths))
    return Looks(len(heights), height, width, gray, tuple(sorted(flat)), tuple(sorted(unreadable)))


def _sample(scan: Scan) -> Iterator[str]:
    """Images of all classes in turn, each class in a random order. A fixed stride over all of them could fall in step
    with the number of images a class."""
    draw = random.Random(0)
    orders = []
    for name in scan.classes:
        images = [*scan.train[name], *scan.val[name]]
        orders.append(draw.sample(images, min(_MOST, len(images))))
    for place in range(_MOST):
        yield from (order[place] for order in orders if place < len(order))


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
