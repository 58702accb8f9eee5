"""The conditions of the protocol (thesis section 5.2) and their controls: where a net's first layers come from, and
what learns.

base, FTall     everything random; everything but the last layer copied from the source net, all learning
SnT, SnT+       layers 1..n from the source net, frozen; or learning with the rest
TnT, TnT+       the same, from the `base` run on the same target set: no transfer, but the same surgery
RnT             layers 1..n random and frozen
SnT-random72    layers 1..n-1 and 72 filters of layer n from the source net, frozen; its other filters random, learning
SnT-kmeans72    the same, with the filters that stand for 72 clusters of them
X-retain        X's net, all frozen but its last layer, which learns the source task anew: what X retained of that

docs/controls.md says what each control is for, and where it is from.
"""

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Subset:
    """Some filters of a layer. how: by random draw, or the ones nearest to the centres of k-means clusters."""

    how: Literal["random", "kmeans"]
    count: int


@dataclass(frozen=True)
class Condition:
    """origin: whose weights layers 1..depth start from: the source net's, those of the net's own `base` run, or none.
    depth: how many layers start so, or are frozen at random: n, 0 for `base`, None for all but the last.
    frozen: whether these layers keep `lr_mult: 0`.
    subset: the filters of layer `depth` that this is true of, None for all of them.
    retained: the condition X of X-retain; the rest then is said of X.
    """

    name: str
    origin: Literal["source", "self"] | None
    depth: int | None
    frozen: bool
    subset: Subset | None = None
    retained: "Condition | None" = None

    @classmethod
    def parse(cls, name: str) -> "Condition":
        """Raises ValueError for a name that is no condition."""
        if name == "base":
            return cls(name, None, 0, False)
        if name == "FTall":
            return cls(name, "source", None, False)
        if match := re.fullmatch(r"S([1-9]\d?)T-(random|kmeans)([1-9]\d*)", name):
            return cls(name, "source", int(match[1]), True, Subset(match[2], int(match[3])))
        if match := re.fullmatch(r"([ST])([1-9]\d?)T(\+?)|(R)([1-9]\d?)T", name):
            origin = {"S": "source", "T": "self", None: None}[match[1]]
            return cls(name, origin, int(match[2] or match[5]), not match[3])
        if name.endswith("-retain") and not name.endswith("-retain-retain"):
            of = cls.parse(name.removesuffix("-retain"))
            return cls(name, of.origin, of.depth, of.frozen, of.subset, of)
        raise ValueError(
            f"{name!r} is no condition; base, FTall, SnT with n layers frozen (S1T, S2T, ...), or a control: SnT+, "
            "TnT, TnT+, RnT, SnT-random72, SnT-kmeans72, or one of them with -retain"
        )

    @property
    def order(self) -> tuple:
        """A sort key: the thesis' own conditions in its order, then the controls, kind by kind."""
        if self.retained:
            return (6, *self.retained.order)
        if self.subset:
            return (5, self.depth, self.subset.how, self.subset.count)
        if self.depth in (0, None):
            return (0, 0 if self.depth == 0 else 1)
        kinds = [("source", True), ("source", False), ("self", True), ("self", False), (None, True)]
        return (kinds.index((self.origin, self.frozen)), self.depth + 1)


def controls(names: list[str], layers: int) -> list[str]:
    """SnT+, TnT, TnT+ and RnT of the depths n whose SnT is among `names`, in a net of `layers` weighted layers.

    Fine-tuning all layers but the last from the source net is FTall, so that there is no SnT+ of that depth.
    """
    depths = [int(match[1]) for name in names if (match := re.fullmatch(r"S(\d+)T", name))]
    found = [f"{kind[0]}{n}T{kind[1:]}" for kind in ("S+", "T", "T+", "R") for n in depths]
    return [name for name in found if name != f"S{layers - 1}T+" and name not in names]
