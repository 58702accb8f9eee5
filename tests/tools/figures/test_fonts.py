"""Fonts: names in scripts that matplotlib's own font lacks, and lines that are too long for a figure."""

import warnings
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from scipy import ndimage  # not cv2: it would start threads, and packing forks in other tests

from tools.figures import fonts, style

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture
def font_of_two(tmp_path: Path) -> Path:
    """A font with two characters, each a black square: 犬 (dog) and 猫 (cat)."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((900, 0), (900, 800), (100, 800)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "dog", "cat"])
    builder.setupCharacterMap({ord("犬"): "dog", ord("猫"): "cat"})
    builder.setupGlyf({".notdef": square, "dog": square, "cat": square})
    builder.setupHorizontalMetrics(dict.fromkeys((".notdef", "dog", "cat"), (1000, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Two Animals", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path = tmp_path / "TwoAnimals.ttf"
    builder.save(path)
    return path


def figure_with(*names: str):
    figure = style.new_figure(2)
    return figure, [figure.text(0.1, 0.2 + 0.2 * i, name) for i, name in enumerate(names)]


def system_fonts(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(path) for path in paths])


def test_a_font_of_this_machine_is_used_for_what_matplotlibs_lacks(
    font_of_two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    system_fonts(monkeypatch, tmp_path / "broken.ttf", font_of_two)
    figure, (dog, cat, plain) = figure_with("a 犬", "猫", "кот")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        style.save(figure, Path("animals"))
    assert dog.get_fontfamily() == cat.get_fontfamily() == [fonts.OWN, "Two Animals"]
    assert "Two Animals" not in plain.get_fontfamily()
    assert capsys.readouterr().out == ""
    picture = cv2.imread("animals.png", cv2.IMREAD_GRAYSCALE)
    solid = ndimage.binary_erosion(picture < 100, np.ones((15, 15)))
    assert ndimage.label(solid)[1] == 2, "two black squares"


def test_characters_without_a_font_are_one_line_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    system_fonts(monkeypatch)
    figure, _ = figure_with("犬", "किताब", "a b\u200b")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        style.save(figure, Path("animals"))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("animals: drawn with boxes in its names: no font on this machine has ")
    assert line.endswith("; install one, such as Debian's fonts-noto-core or fonts-noto-cjk")
    assert set(line.split(" has ")[1].split(";")[0]) == set("犬किताब")


def test_many_characters_are_not_all_named() -> None:
    assert f"has {'犬' * 20}...;" in fonts.advice("犬" * 21)


def test_names_at_an_edge_are_moved_inside() -> None:
    figure = style.new_figure(3, left=0.02, right=0.98, bottom=0.1, top=0.9)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    corners = [(0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5)]
    texts = [axes.text(x, y, "a long name", ha="center", va="center", bbox={"boxstyle": "round"}) for x, y in corners]
    style.keep_readable(figure, texts)
    figure.draw_without_rendering()
    outer = axes.get_window_extent()
    for text in texts:
        inner = text.get_bbox_patch().get_window_extent()
        assert outer.x0 <= inner.x0 + 1 and inner.x1 <= outer.x1 + 1 and outer.y0 <= inner.y0 + 1, text
    assert texts[-1].get_position() == (0.5, 0.5)


def test_names_at_one_place_are_moved_apart() -> None:
    figure = style.new_figure(3, left=0.02, right=0.98, bottom=0.1, top=0.9)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    near = [(0.5, 0.5), (0.51, 0.52), (0.49, 0.47), (0.5, 0.5), (0.5, 0.02), (0.52, 0)]
    texts = [axes.text(x, y, "a long name", ha="center", va="center", bbox={"boxstyle": "round"}) for x, y in near]
    style.keep_readable(figure, texts)
    figure.draw_without_rendering()
    boxes = [text.get_bbox_patch().get_window_extent() for text in texts]
    outer = axes.get_window_extent()
    assert all(outer.y0 <= box.y0 + 1 and box.y1 <= outer.y1 + 1 for box in boxes)
    boxes.sort(key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 for below, above in pairwise(boxes))
    assert texts[0].get_position() == (0.5, 0.5)


@pytest.mark.parametrize("title", ["A title of some length " * 5, "犬" * 60], ids=["Latin", "Chinese"])
@pytest.mark.parametrize("of_figure", [False, True])
def test_long_titles_and_facts_are_smaller_and_not_cut(title: str, of_figure: bool) -> None:
    figure = style.new_figure(3)
    axes = figure.subplots()
    axes.set_ylabel("accuracy")
    facts = "mini, 300 iterations; half A: diverged; half B: diverged; " * 3
    if of_figure:
        style.set_figure_title(figure, title, facts)
    else:
        style.set_title(axes, title, facts)
    style.save(figure, Path("long"))
    ink = (cv2.imread("long.png") < 250).any(axis=2)
    assert not ink[:, -3:].any()


def test_short_ones_keep_their_size() -> None:
    assert fonts.fitting_size("Fashion-MNIST: gain over base", 10, 450, "bold") == 10
