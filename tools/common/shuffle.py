"""A random order that is the same on every machine and with every version of every library."""

import hashlib
from collections.abc import Iterable


def shuffled(items: Iterable[str], seed: int, purpose: str) -> list[str]:
    """`items` in a pseudo-random order: sorted by the sha256 of `seed|purpose|item`.

    The order of two items depends only on these two, the seed and the purpose. So a subset of the items has the same
    order as within the whole set. Different values of `purpose` give independent orders for the same seed.
    """
    prefix = f"{seed}|{purpose}|".encode()
    return sorted(items, key=lambda item: hashlib.sha256(prefix + item.encode()).digest())
