"""The file of a WindowData layer: what is in it, and the line of a mistake."""

from pathlib import Path

import pytest

from caffeformat import FormatError
from caffeformat.caffeformat_pb2 import WindowDataParameter
from torchcaffe.data.window_file import WindowFile

TEXT = """# 0
a.jpg
3 10 20
2
5 0.5 1 2 3 4
5 0.499 5 6 7 8
# 1
b.jpg
3 5 5
1
7 1.0 0 0 4 4
"""


def read(folder: Path, text: str, **settings: float) -> WindowFile:
    (folder / "windows").write_text(text)
    return WindowFile(WindowDataParameter(source=str(folder / "windows"), root_folder="images/", **settings))


def test_windows_are_objects_or_none_by_their_overlap(tmp_path: Path) -> None:
    file = read(tmp_path, TEXT)
    assert [(image.path, image.shape) for image in file.images] == [
        ("images/a.jpg", (3, 10, 20)),
        ("images/b.jpg", (3, 5, 5)),
    ]
    assert [(window.image, window.label, window.corners) for window in file.foreground] == [
        (0, 5, (1, 2, 3, 4)),
        (1, 7, (0, 0, 4, 4)),
    ]
    assert [(window.label, window.line) for window in file.background] == [(0, 6)]
    assert file.counts() == {0: 1, 5: 1, 7: 1}


def test_windows_between_the_thresholds_do_not_count(tmp_path: Path) -> None:
    file = read(tmp_path, TEXT, fg_threshold=0.6, bg_threshold=0.4995)
    assert (len(file.foreground), len(file.background)) == (1, 1)


WRONG = {
    "nothing": ("", "windows:0: Window file is empty"),
    "another beginning": (TEXT.replace("# 1", "1"), "windows:7: found `1` where an image is to begin"),
    "too many windows": (TEXT.replace("\n2\n", "\n1\n"), "windows:6: found `5` where an image is to begin"),
    "too few windows": (TEXT.replace("\n1\n", "\n2\n"), "windows:11: the file ends where the class of a window is"),
    "a word": (TEXT.replace("0.499", "half"), "windows:6: found `half` for the overlap of a window, which is a number"),
    "half a pixel": (TEXT.replace("1 2 3 4", "1.5 2 3 4"), "windows:5: found `1.5` for x1 of a window"),
    "gray": (TEXT.replace("3 5 5", "1 5 5"), "windows:9: an image of 1 channels"),
    "an object without class": (TEXT.replace("7 1.0", "0 1.0"), "windows:11: an object of class 0"),
    "an image that is not there": (
        TEXT.replace("# 1", "# 2"),
        "windows:11: a window of image 2; the file has 2 images",
    ),
    "no background": (TEXT.replace("0.499", "0.6"), "windows:11: no background windows"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(tmp_path, text)
