"""Fonts for names in any script: matplotlib's own has Latin, Greek, Cyrillic and Arabic, but no Chinese or Hindi."""

import logging
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from matplotlib.textpath import TextPath

OWN = "DejaVu Sans"  # comes with matplotlib
_MOST_NAMED = 20  # characters without a font that a message names
_LEAST_SIZE = 5.0  # points


def use_fonts_for(figure: Figure) -> str:
    """Gives the texts of `figure` further fonts of this machine where matplotlib's own lacks a character.

    Returns the characters that no font has; they are drawn as boxes.
    """
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    missing = _without(font_manager.findfont(OWN), set("".join(text.get_text() for text in texts)))
    if not missing:
        return ""
    families = [OWN]
    for path in _system_fonts():
        if len(left := _without(path, missing)) < len(missing):
            font_manager.fontManager.addfont(path)
            families.append(FT2Font(path).family_name)
            missing = left
        if not missing:
            break
    for text in texts:
        if _without(font_manager.findfont(OWN), text.get_text()):
            text.set_fontfamily(families)
    return "".join(sorted(missing))


@contextmanager
def quiet() -> Iterator[None]:
    """A context in which matplotlib says nothing of characters and weights that a font lacks."""
    logger = logging.getLogger(font_manager.__name__)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            yield
    finally:
        logger.setLevel(before)


def fitting_size(text: str, size: float, width: float, weight: str = "normal") -> float:
    """The font size, `size` points or less, at which a line of `text` is at most `width` points long."""
    with quiet():
        drawn = TextPath((0, 0), text, size, font_manager.FontProperties(family=OWN, weight=weight)).get_extents().width
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)  # in another font, a third longer
    return max(_LEAST_SIZE, min(size, size * width / (drawn + wide * size * 0.4)))


def advice(characters: str) -> str:
    """What to do about characters that no font has."""
    shown = characters[:_MOST_NAMED] + ("..." if len(characters) > _MOST_NAMED else "")
    return f"no font on this machine has {shown}; install one, such as Debian's fonts-noto-core or fonts-noto-cjk"


def _without(font: str, characters: Iterable[str]) -> set[str]:
    """Those of the characters that the font lacks. White space and what is never drawn needs no font."""
    has = _characters_of(font)
    return {one for one in characters if one.isprintable() and not one.isspace() and one not in has}


@cache
def _characters_of(font: str) -> frozenset[str]:
    """The characters of the font file; none if it cannot be read, or has pictures of one size (colour emoji)."""
    try:
        opened = FT2Font(font)
    except (RuntimeError, OSError):
        return frozenset()
    return frozenset(map(chr, opened.get_charmap())) if opened.scalable else frozenset()


def _system_fonts() -> list[str]:
    """The font files of this machine: regular ones before bold and italic ones, and sans serif first."""
    return sorted(font_manager.findSystemFonts(), key=lambda path: (not _is_regular(path), "Serif" in path, path))


def _is_regular(path: str) -> bool:
    return not any(
        style in Path(path).stem for style in ("Bold", "Italic", "Oblique", "Light", "Thin", "Black", "Mono")
    )
