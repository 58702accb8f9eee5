"""The figures of an experiment, one file per figure. tools/plot.py says which are drawn, and where they are written.

Every figure is a PNG and a PDF (its text stays text). The same results give the same bytes. A
chart comes with a CSV of the numbers that it shows. Colours run from dark to light with the size of the target set,
and markers and dashes differ too, so the figures can be read in grey and with any colour vision.
"""


class NoData(Exception):
    """The data that a figure needs is not there. The text names it."""
