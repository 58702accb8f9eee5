"""Renders page.html with its styles and scripts into one text, and formats the values on it."""

from pathlib import Path
from typing import Any

import jinja2

from tools.protocol.layout import Size

FOLDER = Path(__file__).parent
_DECIMALS = {"accuracy": 4, "best_accuracy": 4, "loss": 4, "seconds": 1}  # by column; others: four significant digits
_SHORT = {"caffe.log": "log", "train_val.prototxt": "net", "plan.txt": "plan"}


def render(values: dict[str, Any]) -> str:
    """The page as HTML. All texts in `values` are escaped. A name that the template needs and `values` lacks raises
    UndefinedError."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "size": size,
        "cell_title": cell_title,
        "spread": spread,
        "effect": effect,
        "effect_interval": effect_interval,
        "words": lambda name: name.replace("_", " "),
        "kind": lambda value: "number" if isinstance(value, (int, float)) else "text",
        "value": value,
        "slug": lambda text: str(text).replace(" ", "-"),
        "extension": lambda link: link.rpartition(".")[2].upper(),
        "short": lambda name: _SHORT.get(name, name.partition(".")[0]),
    }
    return environment.get_template("page.html").render(
        css=(FOLDER / "page.css").read_text(),
        js=(FOLDER / "chart.js").read_text() + (FOLDER / "page.js").read_text(),
        **values,
    )


def size(value: Size) -> str:
    return "all images" if value == "all" else f"{value:,}"


def value(cell: Any, column: str = "") -> str:
    """A cell of a CSV: with thousands separators and the number of decimals of its column; empty for a blank."""
    if cell is None:
        return ""
    if column in _DECIMALS and isinstance(cell, (int, float)):
        return f"{cell:,.{_DECIMALS[column]}f}"
    if isinstance(cell, float):
        return f"{cell:.4g}" if abs(cell) < 1000 else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def spread(cell: dict[str, Any]) -> str:
    """The text below a mean: its 95 % interval, else its standard deviation, else nothing."""
    if cell["low"] is not None:
        return f"{cell['low']:.3f} to {cell['high']:.3f}"
    return "" if cell["sd"] is None else f"± {cell['sd']:.3f}"


def cell_title(cell: dict[str, Any]) -> str:
    left_out = f", {cell['excluded']} left out" if cell["excluded"] else ""
    return f"{cell['n']} run{'s' * (cell['n'] != 1)}{left_out}"


def effect(row: dict[str, Any]) -> str:
    """The effect of a claim: `+3.9 points` for an accuracy, else the number and its unit."""
    if row["effect"] is None:
        return ""
    return f"{_scaled(row, row['effect'])} {'points' if _is_accuracy(row) else row['unit']}"


def effect_interval(row: dict[str, Any]) -> str:
    return "" if row["low"] is None else f"{_scaled(row, row['low'])} to {_scaled(row, row['high'])}"


def _scaled(row: dict[str, Any], number: float) -> str:
    text = f"{100 * number:+.1f}" if _is_accuracy(row) else f"{number:+,.{2 if row['unit'] == 'rho' else 0}f}"
    return text.replace("-", "−")


def _is_accuracy(row: dict[str, Any]) -> bool:
    return row["unit"] in (None, "accuracy")
