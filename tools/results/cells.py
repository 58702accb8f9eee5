"""What a cell of a table may hold: the kind of every column, by its name, declared once."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tools.protocol.conditions import Condition


@dataclass(frozen=True)
class Kind:
    """read: the value of a text that is not blank. Raises ValueError where it is none. right: what would be."""

    read: Callable[[str], Any]
    right: str


def _number(text: str) -> int | float:
    return int(text) if text.removeprefix("-").isdecimal() else float(text)


def _whole(text: str) -> int:
    if (value := int(float(text))) != float(text) or value < 0:
        raise ValueError
    return value


def _size(text: str) -> int | str:
    if text != "all" and _whole(text) < 1:
        raise ValueError
    return text if text == "all" else _whole(text)


def _not_negative(text: str) -> int | float:
    if (value := _number(text)) < 0:
        raise ValueError
    return value


def _share(text: str) -> int | float:
    if not (0 <= (value := _number(text)) <= 1 or math.isnan(value)):
        raise ValueError
    return value


def _one_of(*words: str) -> Kind:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return Kind(read, f"{', '.join(words[:-1])} or {words[-1]}")


def _condition(text: str) -> str:
    return Condition.of_run(text).name


def _anything(text: str) -> int | float | str:
    try:
        return _number(text)
    except ValueError:
        return text


TEXT, ANYTHING = Kind(str, "text"), Kind(_anything, "anything")
CONDITION = Kind(_condition, "")  # the error of a wrong one says what would be right
_NUMBER = Kind(_number, "a number")
_NOT_NEGATIVE = Kind(_not_negative, "a number that is not negative")
_WHOLE = Kind(_whole, "a whole number that is not negative")
_SHARE = Kind(_share, "a share between 0 and 1, as 0.725")  # or nan, of a run that diverged

_OF_TEXT = (
    *("dataset", "run", "engine", "resumed_at", "interval", "at_end", "class", "claims", "claim", "verdict"),
    *("these_nets", "text", "unit", "at", "sizes", "note", "layer", "score", "against"),
)
_OF_SHARES = (
    *("accuracy", "best_accuracy", "source_accuracy", "own_fc8", "new_fc8", "target_accuracy", "p", "p_corrected"),
    "probe",
)
_OF_NUMBERS = (
    *("loss", "low", "high", "validation_loss", "training_loss", "gain", "effect", "rho"),
    *("leep", "logme", "h_score", "h_score_shrunk", "cka"),
)
_OF_WHOLE_NUMBERS = (
    *("seed", "attempts", "n", "excluded", "seeds", "iteration", "images", "features", "more_seeds", "iters"),
)
_OF_NUMBERS_FROM_0 = ("best_iter", "seconds", "images_per_s", "sd", "margin")
KINDS: dict[str, Kind] = {
    "direction": _one_of("A2B", "B2A"),
    "size": Kind(_size, "a whole number of images a class from 1 on, or all"),
    "condition": CONDITION,
    "status": _one_of("ok", "stuck", "diverged", "failed"),
    **dict.fromkeys(_OF_TEXT, TEXT),
    **dict.fromkeys(_OF_SHARES, _SHARE),
    **dict.fromkeys(_OF_NUMBERS, _NUMBER),
    **dict.fromkeys(_OF_WHOLE_NUMBERS, _WHOLE),
    **dict.fromkeys(_OF_NUMBERS_FROM_0, _NOT_NEGATIVE),
}
