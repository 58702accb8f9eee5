"""The conditions of the protocol (thesis section 5.2) and their controls: where a net's first layers come from, and
what learns.

base, FTall     everything random; everything but the last layer copied from the source net, all learning
SnT, SnT+       layers 1..n from the source net, frozen; or learning with the rest
TnT, TnT+       the same, from the `base` run on the same target set: no transfer, but the same surgery
RnT             layers 1..n random and frozen

docs/controls.md says what each control is for, and which paper it is from.
"""

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Condition:
    """origin: whose weights layers 1..depth start from: the source net's, those of the net's own `base` run, or none.
    depth: how many layers start so, or are frozen at random: n, 0 for `base`, None for all but the last.
    frozen: whether these layers keep `lr_mult: 0`.
    """

    name: str
    origin: Literal["source", "self"] | None
    depth: int | None
    frozen: bool

    @classmethod
    def parse(cls, name: str) -> "Condition":
        """Raises ValueError for a name that is no condition."""
        if name == "base":
            return cls(name, None, 0, False)
        if name == "FTall":
            return cls(name, "source", None, False)
        match = re.fullmatch(r"([STR])([1-9]\d?)T(\+?)", name)
        if not match or (match[1] == "R" and match[3]):
            raise ValueError(
                f"{name!r} is no condition; base, FTall, SnT with n layers frozen (S1T, S2T, ...), or a control: "
                "SnT+, TnT, TnT+, RnT"
            )
        origin = {"S": "source", "T": "self", "R": None}[match[1]]
        return cls(name, origin, int(match[2]), not match[3])

    @property
    def order(self) -> tuple[int, int]:
        """A sort key: the thesis' own conditions in its order, then the controls, kind by kind."""
        if self.depth in (0, None):
            return (0, 0 if self.depth == 0 else 1)
        kinds = [("source", True), ("source", False), ("self", True), ("self", False), (None, True)]
        kind = kinds.index((self.origin, self.frozen))
        return (kind, self.depth + 1)


def controls(names: list[str], layers: int) -> list[str]:
    """SnT+, TnT, TnT+ and RnT of the depths n whose SnT is among `names`, in a net of `layers` weighted layers.

    Fine-tuning all layers but the last from the source net is FTall, so that there is no SnT+ of that depth.
    """
    depths = [c.depth for c in map(Condition.parse, names) if c.depth and c.origin == "source" and c.frozen]
    found = [f"{kind[0]}{n}T{kind[1:]}" for kind in ("S+", "T", "T+", "R") for n in depths]
    return [name for name in found if name != f"S{layers - 1}T+" and name not in names]
