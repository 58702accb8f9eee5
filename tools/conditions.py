"""The conditions of the protocol (thesis section 5.2): what a target net takes from the source net, and what learns."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Condition:
    """`base`, `FTall` or `SnT`.

    copied: how many layers start from the source net: 0, n, or None for all but the last.
    frozen: whether the copied layers keep `lr_mult: 0`.
    """

    name: str
    copied: int | None
    frozen: bool

    @classmethod
    def parse(cls, name: str) -> "Condition":
        """Raises ValueError for a name that is no condition."""
        if name == "base":
            return cls(name, 0, False)
        if name == "FTall":
            return cls(name, None, False)
        match = re.fullmatch(r"S([1-9]\d?)T", name)
        if not match:
            raise ValueError(f"{name!r} is no condition; base, FTall, or SnT with n layers frozen (S1T, S2T, ...)")
        return cls(name, int(match[1]), True)

    @property
    def needs_source(self) -> bool:
        return self.copied != 0
