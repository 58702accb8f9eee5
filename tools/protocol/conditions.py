"""The conditions of the protocol (thesis section 5.2) and their controls: where a net's first layers come from, and
what learns.

base, FTall     everything random; everything but the last layer copied from the source net, all learning
base+           base with twice the iterations: the source net's training and its own
SnT, SnT+       layers 1..n from the source net, frozen; or learning with the rest
TnT, TnT+       the same, from the `base` run on the same target set: no transfer, but the same surgery
RnT             layers 1..n random and frozen
SnT-random72    layers 1..n-1 and 72 filters of layer n from the source net, frozen; its other filters random, learning
SnT-kmeans72    the same, with the filters nearest to the centres of 72 clusters
X-retain        X's net, all frozen but its last layer, which learns the source task: shows what X retained of it

docs/controls.md explains each control and names its source.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

SOURCE = "source"  # folder name of a source net that is not a `base` run (mean: source)
FAMILIES = ("S", "S+", "T", "T+", "R")  # one condition for each depth n: SnT, SnT+, TnT, TnT+, RnT
_SELFFER_OR_FROZEN = re.compile(r"(S|T)([1-9]\d?)T(\+?)|(R)([1-9]\d?)T")
_SUBSET = re.compile(r"S([1-9]\d?)T-(random|kmeans)([1-9]\d*)")
_RETAIN = "-retain"


@dataclass(frozen=True)
class Subset:
    """Some filters of a layer, chosen by random draw (`random`) or nearest to the centres of k-means clusters."""

    how: Literal["random", "kmeans"]
    count: int


@dataclass(frozen=True)
class Condition:
    """A condition, parsed from its name. No other module parses such names.

    origin: where the weights of layers 1..depth come from: the source net, the net's own `base` run (self), or nowhere.
    depth: how many layers are copied, or frozen at random: n; 0 for `base`; None for all but the last.
    frozen: whether these layers have `lr_mult: 0`.
    subset: the filters of layer `depth` that are copied and frozen; None for all of them.
    retained: the condition X of X-retain; all other fields then are those of X.
    trainings: how many times the solver's max_iter it trains.
    """

    name: str
    origin: Literal["source", "self"] | None
    depth: int | None
    frozen: bool
    subset: Subset | None = None
    retained: "Condition | None" = None
    trainings: int = 1

    @classmethod
    @cache
    def parse(cls, name: str) -> "Condition":
        """Reads the name of a condition that an experiment can ask for. Raises ValueError for any other name."""
        if name == "base":
            return cls(name, None, 0, False)
        if name == "base+":
            return cls(name, None, 0, False, trainings=2)
        if name == "FTall":
            return cls(name, "source", None, False)
        if match := _SUBSET.fullmatch(name):
            how: Literal["random", "kmeans"] = "random" if match[2] == "random" else "kmeans"
            return cls(name, "source", int(match[1]), True, Subset(how, int(match[3])))
        if match := _SELFFER_OR_FROZEN.fullmatch(name):
            if match[4]:
                return cls(name, None, int(match[5]), True)
            return cls(name, "source" if match[1] == "S" else "self", int(match[2]), not match[3])
        if name.endswith(_RETAIN) and not name.endswith(_RETAIN * 2):
            of = cls.parse(name.removesuffix(_RETAIN))
            return cls(name, of.origin, of.depth, of.frozen, of.subset, of)
        raise ValueError(
            f"{name!r} is no condition; base, FTall, SnT with n layers frozen (S1T, S2T, ...), or a control: base+, "
            "SnT+, TnT, TnT+, RnT, SnT-random72, SnT-kmeans72, or one of them with -retain"
        )

    @classmethod
    def of_run(cls, name: str) -> "Condition":
        """The condition of a run or of a table row: as `parse`, and also `source`, which is trained like `base`."""
        return cls(name, None, 0, False) if name == SOURCE else cls.parse(name)

    @property
    def family(self) -> str:
        """S, S+, T, T+ or R for SnT, SnT+, TnT, TnT+, RnT; empty for all others."""
        if self.depth in (0, None) or self.subset or self.retained:
            return ""
        kind = {"source": "S", "self": "T", None: "R"}[self.origin]
        return kind if self.frozen else f"{kind}+"

    @property
    def is_of_thesis(self) -> bool:
        """Whether it is in the thesis: base, FTall, SnT. All others are controls, or a source net."""
        return self.name in ("base", "FTall") or self.family == "S"

    @property
    def retain_name(self) -> str:
        """The name of X-retain, where X is this condition."""
        return self.name + _RETAIN

    @property
    def order(self) -> tuple[Any, ...]:
        """A sort key: the thesis' own conditions in its order, then the controls, kind by kind, and `source` last."""
        if self.name == SOURCE:
            return (99,)
        if self.retained:
            return (len(FAMILIES) + 1, *self.retained.order)
        if self.subset:
            return (len(FAMILIES), self.depth, self.subset.how, self.subset.count)
        if not self.depth:
            return (1, 0) if self.trainings > 1 else (0, 0 if self.depth == 0 else 1)
        return (FAMILIES.index(self.family), self.depth + 1)


def controls(names: list[str], layers: int) -> list[str]:
    """SnT+, TnT, TnT+ and RnT for every n whose SnT is in `names`, in a net of `layers` weighted layers.

    S(layers-1)T+ is left out: it fine-tunes all layers but the last from the source net, and that is FTall.
    """
    depths = [condition.depth for name in names if (condition := Condition.parse(name)).family == "S"]
    candidates = [f"{kind[0]}{n}T{kind[1:]}" for kind in ("S+", "T", "T+", "R") for n in depths]
    return [name for name in candidates if name != f"S{layers - 1}T+" and name not in names]
