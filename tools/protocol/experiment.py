"""The experiment file: YAML, one documented key per line, read into a validated, typed `Experiment`.

    exp = load(Path("experiments/tiny.yaml"), "max_iter=200 sizes=[50,100]")
    exp.name                     # tiny+max_iter=200
    raise exp.fault("sizes", "600 images a class", "at most 500")   # experiments/tiny.yaml:21: sizes: ...

An override of a key that selects runs, or of one that concerns only this machine, keeps the experiment's name. Every
other override becomes part of the name, so that a trial never uses or overwrites a real run.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, field_validator

from tools.common.errors import UserError
from tools.common.yaml_file import read_value, read_yaml
from tools.common.yaml_model import validated
from tools.protocol.conditions import Condition
from tools.protocol.register import check_name

SELECTING = {"sizes", "conditions", "controls", "directions", "seeds", "claims"}
LONGEST_NAME = 237  # bytes; a file system takes 255, and `+engine=torchcaffe` may be added
LOCAL = {"path", "on_bad_image", "keep_models", "keep_lmdbs", "resume"}

Positive = Annotated[int, Field(ge=1, lt=2**31)]
Count = Annotated[int, Field(ge=0, lt=2**31)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Place = Annotated[str, AfterValidator(os.path.expanduser)]  # `~` is the home folder
Size = Positive | Literal["all"]
ClaimsName = Annotated[str, Field(pattern=r"^[\w-]+$")]


class Experiment(BaseModel):
    """One experiment file. The thesis' numbers are in experiments/tiny.yaml and places.yaml, key by key."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    # data
    dataset: Annotated[str, AfterValidator(check_name)]  # the name of a card in data/cards/
    path: Place | None = None  # folder or archive of the data set; None: tools/fetch.py fetches it
    image_size: Positive  # pixels a side in the LMDB; other images are resized (bilinear)
    gray: bool = False  # one channel instead of three
    on_bad_image: Literal["error", "skip"] = "error"

    # the protocol
    classes: Annotated[int, Field(ge=2, multiple_of=2)] | None = None  # how many to draw, before the halves; None: all
    full_size: Size = "all"  # images a class in a whole half; "all" where the classes differ
    sizes: list[Size] = Field(min_length=1)  # images a class in each target set; full_size is the half itself
    nested: bool = True  # M_50 is inside M_100
    directions: list[Literal["A2B", "B2A"]] = Field(["A2B", "B2A"], min_length=1)
    conditions: list[str] = Field(["base", "FTall", *(f"S{n}T" for n in range(1, 8))], min_length=1)
    controls: bool = False  # SnT+, TnT, TnT+ and RnT, too, for each n whose SnT is among the conditions
    seeds: list[Seed] = Field([0], min_length=1)
    split_seed: Seed | None = None  # None: the run's own seed, as for the next two
    subsample_seed: Seed | None = None
    init_seed: Seed | None = None
    mean: Literal["target", "source"] = "target"

    # network and solver: a template's own value holds where a key is None
    model: str  # a folder of prototxt/
    solver: str  # a file of solvers/, without .prototxt
    fc8_outputs: Positive | None = None  # None: the half's class count
    crop_size: Positive | None = None
    train_batch_size: Positive | None = None
    test_batch_size: Positive | None = None
    max_iter: Positive | None = None
    test_interval: Positive | None = None
    display: Positive | None = None
    snapshot: Count | None = None
    base_lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    # the engine
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"  # of products of matrices; BVLC Caffe has fp32 alone

    claims: list[ClaimsName] = Field(["thesis"], min_length=1)  # files of experiments/claims/, each a family of claims

    # this machine
    keep_models: Literal["sources", "all", "none"] = "all"
    keep_lmdbs: Literal["all", "none"] = "all"
    resume: bool = False  # go on from the last snapshot of a killed run: no longer the same result with BVLC Caffe

    _file: Path = PrivateAttr()
    _places: dict[str, str] = PrivateAttr(default_factory=dict)
    _name: str = PrivateAttr("")
    _set: str = PrivateAttr("")

    @field_validator("sizes", "directions", "conditions", "seeds", "claims")
    @classmethod
    def _no_repeats(cls, values: list) -> list:
        if len(set(values)) < len(values):
            raise ValueError(f"{values} names one twice; name each once")
        return values

    @field_validator("conditions")
    @classmethod
    def _known_conditions(cls, names: list[str]) -> list[str]:
        for name in names:
            Condition.parse(name)
        return names

    @property
    def name(self) -> str:
        """The file's name and the overrides that change results: `demo`, `demo+max_iter=200`."""
        return self._name

    @property
    def file(self) -> Path:
        return self._file

    @property
    def overrides(self) -> str:
        """The `SET` text that this experiment was loaded with."""
        return self._set

    def where(self, key: str) -> str:
        """`experiments/tiny.yaml:12` or `SET`: where the key's value was given (the file, where it was not)."""
        return self._places.get(key, str(self._file))

    def fault(self, key: str, found: str, right: str) -> UserError:
        """The error for a value that fits the schema but not the data: its line, what was found, what is right."""
        return UserError(f"{self.where(key)}: {key}: {found}; {right}")


def load(file: Path, overrides: str = "") -> Experiment:
    """Reads and validates an experiment file, with `overrides` like `max_iter=200 sizes=[50,100]`.

    Raises UserError naming file and line for: a missing file, no YAML, an unknown or repeated key, a wrong value.
    """
    content = read_yaml(Path(file), "an experiment file", "experiments/demo.yaml")
    changes = _parse_overrides(overrides)
    places = {key: content.place(key) for key in content.values} | dict.fromkeys(changes, "SET")
    experiment = validated(Experiment, content.values | changes, content.file, places, "experiments/demo.yaml")
    experiment._file, experiment._places, experiment._set = content.file, places, overrides
    experiment._name = _name(content.file, changes)
    _check_name(content.file, experiment.name)
    _check_sizes(experiment)
    return experiment


def _parse_overrides(text: str) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    rest = text.strip()
    while rest:
        match = re.match(r"(\w+)=(\[[^\]]*\]|\"[^\"]*\"|'[^']*'|[^\s\[\"']\S*)(?:\s+|$)", rest)
        if not match:
            raise UserError(f'SET: {rest!r}: not `key=value`; for example SET="max_iter=200 sizes=[50,100]"')
        key, value = match.groups()
        if key in changes:
            raise UserError(f"SET: {key}: given twice; keep one")
        try:
            changes[key] = read_value(value, f"SET: {key}")
        except UserError as error:
            if "not YAML" not in str(error):
                raise
            raise UserError(
                f"SET: {key}: {value!r} is no value; put a text with special characters in quotes"
            ) from None
        rest = rest[match.end() :]
    return changes


def _name(file: Path, changes: dict[str, Any]) -> str:
    plain = {True: "true", False: "false", None: "none"}
    parts = [file.stem]
    for key in sorted(set(changes) - SELECTING - LOCAL):
        value = changes[key]
        text = plain[value] if isinstance(value, (bool, type(None))) else str(value)
        parts.append(f"{key}={quote(text, safe='')}")
    return "+".join(parts)


def _check_name(file: Path, name: str) -> None:
    """Raises UserError for a name that cannot be that of the folders of runs and results."""
    shown, bytes_ = repr(name).strip("'\""), len(name.encode(errors="surrogateescape"))
    if name.startswith("."):
        raise UserError(f"{file}: its folders would be called {shown!r}; give the file a name like mine.yaml")
    if not name.isprintable():
        raise UserError(f"{shown}: a name with characters that cannot be printed, or not in UTF-8; rename the file")
    if bytes_ > LONGEST_NAME:
        raise UserError(
            f"{file}: its folders would be called {shown[:60]}..., {bytes_} bytes, at most {LONGEST_NAME}; shorten the "
            "name of the file, or write what SET overrides into a file of its own"
        )


def _check_sizes(exp: Experiment) -> None:
    if exp.full_size == "all":
        return
    faults = []
    if "all" in exp.sizes:
        faults.append(exp.fault("sizes", "all", f"the whole half is full_size here: write {exp.full_size}"))
    larger = [str(size) for size in exp.sizes if isinstance(size, int) and size > exp.full_size]
    if larger:
        found = f"{', '.join(larger)} images a class"
        faults.append(exp.fault("sizes", found, f"a whole class has full_size: {exp.full_size}"))
    if faults:
        raise UserError("\n".join(map(str, faults)))
