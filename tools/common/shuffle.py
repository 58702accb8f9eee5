"""Random order that is the same on any machine and with any version of any library."""

import hashlib
from collections.abc import Iterable


def shuffled(items: Iterable[str], seed: int, purpose: str) -> list[str]:
    """`items` in an order that looks random: by the sha256 of `seed|purpose|item`.

    The order of two items depends on nothing but them, the seed and the purpose: a part of the items comes in the same
    order as in the whole. `purpose` keeps draws apart that share a seed.
    """
    start = f"{seed}|{purpose}|".encode()
    return sorted(items, key=lambda item: hashlib.sha256(start + item.encode()).digest())
