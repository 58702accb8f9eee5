"""Objects that are neither pickled nor copied."""

from typing import NoReturn, SupportsIndex


class Unpicklable:
    """Raises RuntimeError where a script pickles it, or copies it with `copy`, as pycaffe's objects do."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        name = type(self).__name__
        hint = "save weights with net.save, and copy the arrays (`blob.data.copy()`)"
        raise RuntimeError(f"Pickling of {name} instances is not enabled: {hint}")
