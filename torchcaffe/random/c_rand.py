"""C's rand() as glibc has it where nobody has called srand(): what std::random_shuffle draws from in BVLC Caffe.

Caffe's random_seed has no say in it. A process has one such sequence, whatever it draws for.
"""

from collections import deque

import numpy as np

from torchcaffe.random.rng import State

_TAPS = 31  # r[i] = r[i - 3] + r[i - 31], modulo 2^32; the lowest bit is not given out


class CRand:
    """rand(), from its first number on."""

    def __init__(self) -> None:
        values = [1]  # the seed
        for _ in range(_TAPS - 1):
            values.append(16807 * values[-1] % (2**31 - 1))
        self._last = deque(values[3:] + values[:3], _TAPS)
        for _ in range(310):
            self.rand()

    def rand(self) -> int:
        """The next number, 0 to 2^31 - 1."""
        self._last.append((self._last[0] + self._last[-3]) % 2**32)
        return self._last[-1] >> 1

    def shuffle(self, items: list) -> None:
        """std::random_shuffle of `items`, as in libstdc++."""
        for index in range(1, len(items)):
            place = self.rand() % (index + 1)
            items[index], items[place] = items[place], items[index]

    def state(self) -> State:
        return {"rand": np.array(self._last, np.int64)}

    def restore(self, state: State) -> None:
        self._last.extend(state["rand"].tolist())
