"""The file that a WindowData layer names: images, and windows in each.

    # 0                          the number of the image
    VOC2007/000005.jpg           its path, below root_folder
    3 375 500                    channels, height, width
    2                            how many windows follow
    9 0.82 262 210 323 338       class, overlap with an object, x1 y1 x2 y2
    0 0.13 1 1 100 200

Source followed: BVLC Caffe's window_data_layer.cpp.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from caffeformat import FormatError
from caffeformat.caffeformat_pb2 import WindowDataParameter

Number = TypeVar("Number", int, float)


@dataclass
class Image:
    """An image of the file. `shape` is channels, height and width as the file has them."""

    number: int
    path: str
    shape: tuple[int, int, int]
    windows: int


@dataclass
class Window:
    """A window in the image number `image`: its class, its corners, both included, and its line in the file."""

    image: int
    label: int
    corners: tuple[int, int, int, int]
    line: int


class WindowFile:
    """`images`, and the windows of objects (`foreground`) and of none (`background`, with the class 0).

    A window is an object if its overlap is at least fg_threshold, none if it is below bg_threshold; others do not
    count. Raises FormatError with the file's name and the line.
    """

    def __init__(self, param: WindowDataParameter):
        self._path, self._param = param.source, param
        self.images: list[Image] = []
        self.foreground: list[Window] = []
        self.background: list[Window] = []
        self._line = 0
        self._words = self._read_words()
        for word in self._words:
            self._check(word == "#", f"found `{word[:40]}` where an image is to begin: `# 0`")
            self._read_image()
        self._check(self.images, "Window file is empty")
        for windows, kind in ((self.foreground, "foreground"), (self.background, "background")):
            self._check(windows, f"no {kind} windows, with the thresholds {self._thresholds()}")
            for window in windows:
                self._line = window.line
                count = len(self.images)
                self._check(0 <= window.image < count, f"a window of image {window.image}; the file has {count} images")

    def counts(self) -> dict[int, int]:
        """How many windows each class has, in the order of the classes."""
        labels = [window.label for window in (*self.foreground, *self.background)]
        return {label: labels.count(label) for label in sorted({0, *labels})}

    def _thresholds(self) -> str:
        return f"fg_threshold: {self._param.fg_threshold:g} and bg_threshold: {self._param.bg_threshold:g}"

    def _read_words(self) -> Iterator[str]:
        try:
            with Path(self._path).open(encoding="utf-8", errors="surrogateescape") as file:
                for number, line in enumerate(file, 1):
                    for word in line.split():
                        self._line = number
                        yield word
        except OSError as error:
            opened = f"Failed to open window file {self._path}: {error.strerror}"
            raise FormatError(f"{opened}; window_data_param needs a source") from None

    def _read_image(self) -> None:
        number = self._number(int, "the number of the image")
        path = self._param.root_folder + self._next("the path of an image")
        channels, height, width = (self._number(int, f"the image's {name}") for name in ("channels", "height", "width"))
        self._check(channels == 3, f"an image of {channels} channels; Caffe reads all in colour, so 3 is needed")
        count = self._number(int, "the number of windows")
        self.images.append(Image(number, path, (channels, height, width), count))
        for _ in range(count):
            self._read_window(number)

    def _read_window(self, image: int) -> None:
        label = self._number(int, "the class of a window")
        overlap = np.float32(self._number(float, "the overlap of a window"))
        x1, y1, x2, y2 = (self._number(int, f"{name} of a window") for name in ("x1", "y1", "x2", "y2"))
        window = Window(image, label, (x1, y1, x2, y2), self._line)
        if overlap >= np.float32(self._param.fg_threshold):
            self._check(label > 0, f"an object of class {label}; classes of objects begin with 1")
            self.foreground.append(window)
        elif overlap < np.float32(self._param.bg_threshold):
            window.label = 0
            self.background.append(window)

    def _next(self, what: str) -> str:
        word = next(self._words, None)
        if word is None:
            raise self._error(f"the file ends where {what} is to follow")
        return word

    def _number(self, kind: Callable[[str], Number], what: str) -> Number:
        word = self._next(what)
        try:
            return kind(word)
        except ValueError:
            raise self._error(f"found `{word[:40]}` for {what}, which is a number") from None

    def _check(self, condition: object, text: str) -> None:
        if not condition:
            raise self._error(text)

    def _error(self, text: str) -> FormatError:
        return FormatError(f"{self._path}:{self._line}: {text}")
