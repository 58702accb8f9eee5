"""Claims as data: a YAML file, read into validated, typed claims. experiments/claims/thesis.yaml explains every key."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from tools.common.checkout import CHECKOUT
from tools.common.errors import UserError
from tools.common.yaml_file import YamlFile, read_yaml
from tools.protocol.conditions import Condition
from tools.protocol.register import check_name

THESIS = CHECKOUT / "experiments" / "claims" / "thesis.yaml"
GROUPS = ("frozen", "others")
DataSetName = Annotated[str, AfterValidator(check_name)]
_SIZES = re.compile(r"(<=|<|>=|>) *([1-9]\d*)")


def _condition(name: str) -> str:
    if name not in GROUPS:
        Condition.parse(name)
    return name


def _sizes(value: Any) -> Any:
    if value == "all" or (isinstance(value, list) and value and all(type(size) is int and size > 0 for size in value)):
        return value
    if isinstance(value, str) and _SIZES.fullmatch(value):
        return value
    raise ValueError('no sizes; all, a list like [500, 50], or a bound like "<= 300"')


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Comparison(_Strict):
    kind: Literal["above", "at_least", "at_most"]
    left: str | None = None
    some: list[str] | None = Field(None, min_length=1)
    right: list[str] = Field(min_length=1)
    sizes: str | list[int] = "all"

    _known_sizes = field_validator("sizes")(_sizes)

    @field_validator("left", "some", "right")
    @classmethod
    def _known(cls, value: str | list[str] | None) -> str | list[str] | None:
        for name in [value] if isinstance(value, str) else value or []:
            _condition(name)
        return value

    @model_validator(mode="after")
    def _one_left(self) -> "Comparison":
        if (self.left is None) == (self.some is None):
            raise ValueError("give either `left`, one condition, or `some`, a list of which one is enough")
        if self.left in GROUPS:
            raise ValueError(f"`left` is one condition; write some: [{self.left}] if one of several is enough")
        return self


class _OfOne(_Strict):
    of: str

    @field_validator("of")
    @classmethod
    def _known(cls, name: str) -> str:
        Condition.parse(name)
        return name


class Steps(_OfOne):
    kind: Literal["steps"]
    as_sizes_shrink: Literal["falls", "grows"]
    sizes: str | list[int] = "all"

    _known_sizes = field_validator("sizes")(_sizes)


class Trend(_Strict):
    kind: Literal["trend"]
    of: list[str] = Field(min_length=1)
    over: str | None = None
    measure: Literal["accuracy", "best_iteration"] = "accuracy"
    as_sizes_shrink: Literal["falls", "grows", "does_not_grow"]
    sizes: str | list[int] = "all"

    _known_sizes = field_validator("sizes")(_sizes)

    @field_validator("of", "over")
    @classmethod
    def _known(cls, value: str | list[str] | None) -> str | list[str] | None:
        for name in [value] if isinstance(value, str) else value or []:
            Condition.parse(name)
        return value


class BestIteration(_OfOne):
    kind: Literal["best_iteration"]
    between: list[int] = Field(min_length=2, max_length=2)


class SameOrder(_Strict):
    kind: Literal["same_order"]


Part = Annotated[Comparison | Steps | Trend | BestIteration | SameOrder, Field(discriminator="kind")]
Parts = Annotated[list[Part], Field(min_length=1)]


class Claim(_Strict):
    says: str = Field(min_length=1)
    results: Literal["own", "prestudy"] = "own"
    margin: float | None = Field(None, ge=0)
    holds_if: Parts | None = None
    by_dataset: dict[DataSetName, Parts] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> "Claim":
        if (self.holds_if is None) == (self.by_dataset is None):
            raise ValueError("give either `holds_if`, for every data set, or `by_dataset`")
        return self

    def parts(self, dataset: str) -> list[Part] | None:
        """What must hold on this data set; None where the claim says nothing of it."""
        return self.holds_if or self.by_dataset.get(dataset)


class Claims(_Strict):
    margin: float = Field(ge=0)
    claims: dict[str, Claim] = Field(min_length=1)


def load(file: Path) -> Claims:
    """Raises UserError naming file and line for: a missing file, no YAML, an unknown or repeated key, a wrong value."""
    content = read_yaml(file, "a claims file", f"experiments/claims/{THESIS.name}")
    try:
        return Claims(**content.values)
    except ValidationError as error:
        raise UserError("\n".join(_explain(content, e) for e in error.errors())) from None


def in_sizes(size: int | str, sizes: str | list[int]) -> bool:
    """Whether a measured size is among those that a part means; `all` images a class is no number and only in `all`."""
    if sizes == "all":
        return True
    if size == "all" or isinstance(sizes, list):
        return size in sizes
    relation, bound = _SIZES.fullmatch(sizes).groups()
    bound = int(bound)
    return {"<": size < bound, "<=": size <= bound, ">": size > bound, ">=": size >= bound}[relation]


def _explain(content: YamlFile, error: ErrorDetails) -> str:
    """`thesis.yaml:30: C2: right: ...`, of one of pydantic's errors.

    pydantic's way to the value has steps of its own (the kind of a part); only those that the file has are named.
    """
    steps: tuple[int | str, ...] = ()
    for step in error["loc"]:
        if content.has(*steps, step):
            steps = (*steps, step)
    names = [str(step) for step in steps if isinstance(step, str)]
    last = str(error["loc"][-1])
    if error["type"] in ("missing", "extra_forbidden") and last not in names:
        names.append(last)
    where = ": ".join(names[1:]) or ": ".join(names) or "claims"
    text = str(error.get("ctx", {}).get("error", error["msg"]))
    given = f"found {error['input']!r}; " if not isinstance(error["input"], (dict, list)) else ""
    return f"{content.place(*steps)}: {where}: {given}{text[0].lower()}{text[1:]}"
