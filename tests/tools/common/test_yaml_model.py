"""A model filled from a YAML file: each fault in a line of its own, with the place of its key."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from tools.common.errors import UserError
from tools.common.yaml_model import validated


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    width: int
    height: int


def test_every_fault_is_told_with_its_place() -> None:
    places = {"width": "a.yaml:1", "hight": "a.yaml:2"}
    with pytest.raises(UserError) as error:
        validated(Shape, {"width": "wide", "hight": 3}, Path("a.yaml"), places, "b.yaml")
    assert str(error.value).splitlines() == [
        "a.yaml:1: width: found 'wide'; input should be a valid integer",
        "a.yaml: height: missing; every such file gives it (see b.yaml)",
        "a.yaml:2: hight: unknown key; did you mean `height`?",
    ]


def test_values_that_fit_make_the_model() -> None:
    assert validated(Shape, {"width": 2, "height": 3}, Path("a.yaml"), {}, "b.yaml") == Shape(width=2, height=3)
