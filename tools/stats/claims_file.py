"""Claims as data: a YAML file, read into validated, typed claims. experiments/claims/thesis.yaml explains every key."""

import operator
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from tools.common.checkout import CHECKOUT
from tools.common.errors import UserError
from tools.common.yaml_file import YamlFile, read_yaml
from tools.common.yaml_model import unknown_key
from tools.protocol.conditions import Condition
from tools.protocol.layout import Size
from tools.protocol.register import check_name

FOLDER = CHECKOUT / "experiments" / "claims"
THESIS = FOLDER / "thesis.yaml"
GROUPS = ("frozen", "others")
_BOUND = re.compile(r"(<=|<|>=|>) *([1-9]\d*)")
_RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _bound(text: str) -> tuple[str, int]:
    """`<= 300` as ("<=", 300)."""
    match = _BOUND.fullmatch(text)
    if match is None:
        raise ValueError('no sizes; all, a list like [500, 50], or a bound like "<= 300"')
    return match[1], int(match[2])


def _check_sizes(value: Any) -> Any:
    if value == "all" or (isinstance(value, list) and value and all(type(size) is int and size > 0 for size in value)):
        return value
    _bound(value if isinstance(value, str) else "")
    return value


def _check_conditions(value: str | list[str] | None) -> str | list[str] | None:
    for name in [value] if isinstance(value, str) else value or []:
        Condition.parse(name)
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Comparison(_Strict):
    """Accuracy of `left`, or of `some` of several conditions, against that of each of `right`, at each of `sizes`.

    A condition on both sides is not compared with itself.
    """

    kind: Literal["above", "at_least", "at_most"]
    left: str | None = None
    some: list[str] | None = Field(None, min_length=1)
    right: list[str] = Field(min_length=1)
    sizes: str | list[int] = "all"

    _sizes_are_valid = field_validator("sizes")(_check_sizes)

    @field_validator("left", "some", "right")
    @classmethod
    def _conditions_or_groups(cls, value: str | list[str] | None) -> str | list[str] | None:
        names = [value] if isinstance(value, str) else value or []
        _check_conditions([name for name in names if name not in GROUPS])
        return value

    @model_validator(mode="after")
    def _left_or_some(self) -> "Comparison":
        if (self.left is None) == (self.some is None):
            raise ValueError("give either `left`, one condition, or `some`, a list of which one is enough")
        if self.left in GROUPS:
            raise ValueError(f"`left` is one condition; write some: [{self.left}] if one of several is enough")
        for name in self.some or [str(self.left)]:
            if name not in GROUPS and set(self.right) == {name}:
                raise ValueError(f"compares {name} with itself alone; give another condition in `right`")
        return self


class Steps(_Strict):
    """Accuracy of `of` from each size to the next smaller one."""

    kind: Literal["steps"]
    of: str
    as_sizes_shrink: Literal["falls", "grows"]
    sizes: str | list[int] = "all"

    _sizes_are_valid = field_validator("sizes")(_check_sizes)
    _conditions_are_valid = field_validator("of")(_check_conditions)


class Trend(_Strict):
    """The mean measure of the conditions `of`, minus that of `over`, along a line over log2(size)."""

    kind: Literal["trend"]
    of: list[str] = Field(min_length=1)
    over: str | None = None
    measure: Literal["accuracy", "best_iteration"] = "accuracy"
    as_sizes_shrink: Literal["falls", "grows", "does_not_grow"]
    sizes: str | list[int] = "all"

    _sizes_are_valid = field_validator("sizes")(_check_sizes)
    _conditions_are_valid = field_validator("of", "over")(_check_conditions)

    @model_validator(mode="after")
    def _two_conditions(self) -> "Trend":
        if set(self.of) == {self.over}:
            raise ValueError(f"compares {self.over} with itself alone; give another condition in `over`")
        return self


class BestIteration(_Strict):
    """The iteration of the lowest validation loss of `of` at full size is between two iterations."""

    kind: Literal["best_iteration"]
    of: str
    between: list[int] = Field(min_length=2, max_length=2)

    _conditions_are_valid = field_validator("of")(_check_conditions)


class SameOrder(_Strict):
    """The conditions have the same order of mean accuracy in another experiment."""

    kind: Literal["same_order"]


Part = Annotated[Comparison | Steps | Trend | BestIteration | SameOrder, Field(discriminator="kind")]
Parts = Annotated[list[Part], Field(min_length=1)]
DatasetName = Annotated[str, AfterValidator(check_name)]


class Claim(_Strict):
    """A claim holds if all its parts hold. `by_dataset`: parts that differ by data set."""

    says: str = Field(min_length=1)
    results: Literal["own", "prestudy"] = "own"
    margin: float | None = Field(None, ge=0)
    holds_if: Parts | None = None
    by_dataset: dict[DatasetName, Parts] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> "Claim":
        if (self.holds_if is None) == (self.by_dataset is None):
            raise ValueError("give either `holds_if`, for every data set, or `by_dataset`")
        return self

    def parts(self, dataset: str) -> list[Part] | None:
        """The parts that must hold on this data set; None if the claim is not about it."""
        return self.holds_if or (self.by_dataset or {}).get(dataset)


class Claims(_Strict):
    margin: float = Field(ge=0)
    claims: dict[str, Claim] = Field(min_length=1)


def load(file: Path) -> Claims:
    """Raises UserError naming file and line for a missing file, bad YAML, an unknown or repeated key, a wrong value."""
    content = read_yaml(file, "a claims file", str(THESIS.relative_to(CHECKOUT)))
    try:
        return Claims(**content.values)
    except ValidationError as error:
        raise UserError("\n".join(_explain(content, e) for e in error.errors())) from None


def in_sizes(size: Size, sizes: str | list[int]) -> bool:
    """Whether a measured size is among a part's `sizes`. The size `all` is not a number: only `sizes: all` has it."""
    if sizes == "all":
        return True
    if isinstance(sizes, list):
        return size in sizes
    relation, bound = _bound(sizes)
    return size != "all" and _RELATIONS[relation](size, bound)


def _model_at(place: tuple[int | str, ...]) -> type[BaseModel]:
    """The model that a key at `place` is checked against: ("claims", "C2", "holds_if", 0, "above", "lft")."""
    if len(place) <= 3:
        return Claims if len(place) == 1 else Claim
    parts: tuple[type[BaseModel], ...] = (Comparison, Steps, Trend, BestIteration, SameOrder)
    return next(part for part in parts if place[-2] in get_args(part.model_fields["kind"].annotation))


def _explain(content: YamlFile, error: ErrorDetails) -> str:
    """`thesis.yaml:30: C2: right: ...` for one of pydantic's errors.

    The error's location can have steps that are not in the file (such as the kind of a part): these are left out.
    """
    steps: list[int | str] = []
    for step in error["loc"]:
        if content.has(*steps, step):
            steps.append(step)
    names = [step for step in steps if isinstance(step, str)]
    names = names[1:] if names[:1] == ["claims"] else names
    if error["type"] in ("missing", "extra_forbidden") and error["loc"][-1] not in names:
        names.append(str(error["loc"][-1]))
    if error["type"] == "extra_forbidden":
        return f"{content.place(*steps)}: {': '.join(names)}: {unknown_key(_model_at(error['loc']), names[-1])}"
    message = str(error.get("ctx", {}).get("error", error["msg"]))
    given = "" if isinstance(error["input"], (dict, list)) else f"found {error['input']!r}; "
    return f"{content.place(*steps)}: {': '.join(names) or 'claims'}: {given}{message[0].lower()}{message[1:]}"
