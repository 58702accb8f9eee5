"""The figures of an experiment, one file a figure. tools/plot.py says which are drawn, and where they lie.

Every figure is a PNG for the screen and a PDF whose text stays text, each of the same bytes whenever it is drawn from
the same results; a chart has the CSV of what it shows beside it. Colours run from dark to light with the size of the
target set, markers and dashes differ as well: the figures read in grey and with any colour vision.
"""

import re

_THESIS = re.compile(r"base|FTall|S[1-9]\d?T")


def is_of_the_thesis(condition: str) -> bool:
    """Whether a condition is one that the thesis compares: base, FTall, SnT. All others are controls."""
    return _THESIS.fullmatch(condition) is not None


class NoData(Exception):
    """What a figure shows is not there; the text names it."""
