"""C's rand() of glibc, without a call of srand(). In BVLC Caffe, std::random_shuffle draws from it.

Caffe's random_seed does not influence it. All users in a process share one sequence.
"""

from collections import deque

import numpy as np

from torchcaffe.random.rng import State

_TAPS = 31  # r[i] = r[i - 3] + r[i - 31], modulo 2^32; rand() returns r[i] without its lowest bit


class CRand:
    """The numbers of rand(), from the first one of a process."""

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
        """Shuffles `items` in place, as std::random_shuffle of libstdc++ does."""
        for index in range(1, len(items)):
            place = self.rand() % (index + 1)
            items[index], items[place] = items[place], items[index]

    def state(self) -> State:
        """The last numbers of the sequence (31 int64)."""
        return {"rand": np.array(self._last, np.int64)}

    def restore(self, state: State) -> None:
        """Goes back to an earlier `state()`."""
        self._last.extend(state["rand"].tolist())
