"""A pydantic model filled from a YAML file that people write: each fault with the file and line of its key."""

import difflib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tools.common.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: dict[str, Any], file: Path, places: dict[str, str], example: str) -> Model:
    """`model(**values)`. places: key -> where its value was given, as `experiments/tiny.yaml:12`; by default `file`.

    Raises UserError, a line for each fault: a key that is unknown or missing, a value that is wrong. `example`: a file
    that is right.
    """
    try:
        return model(**values)
    except ValidationError as error:
        faults = (_explain(model, fault, file, places, example) for fault in error.errors())
        raise UserError("\n".join(faults)) from None


def unknown_key(model: type[BaseModel], key: str) -> str:
    """`unknown key; did you mean ...?`, of a key that `model` does not have."""
    near = difflib.get_close_matches(key, model.model_fields, 1)
    hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(model.model_fields)}"
    return f"unknown key; {hint}"


def _explain(model: type[BaseModel], error: ErrorDetails, file: Path, places: dict[str, str], example: str) -> str:
    key = str(error["loc"][0])
    place = places.get(key, str(file))
    if error["type"] == "extra_forbidden":
        return f"{place}: {key}: {unknown_key(model, key)}"
    if error["type"] == "missing":
        return f"{place}: {key}: missing; every such file gives it (see {example})"
    text = str(error.get("ctx", {}).get("error", error["msg"]))
    return f"{place}: {key}: found {error['input']!r}; {text[0].lower()}{text[1:]}"
