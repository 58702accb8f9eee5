"""Random numbers as BVLC Caffe draws them on the CPU (boost 1.74): from one 32-bit Mersenne twister, in one order.

All draws from a solver's generator, `Generator(random_seed)`, in order:

1. The train net, layer by layer. A Data layer that mirrors, or crops in the phase TRAIN: two draws, of which the second
   seeds its transformer. Then one draw that seeds its prefetch thread, which never uses it. A layer with weights: its
   weight filler, then its bias filler. Constant and bilinear fillers draw nothing.
2. Each test net in the same way. Its fillers draw too, although its weights are then shared with the train net.
3. Each forward pass in the phase TRAIN: one draw per value in each Dropout layer, in the order of the layers, even if
   nothing learns. In the phase TEST, Dropout draws nothing.

A transformer has its own generator, seeded with one draw (data/transformer.py). So has the shuffling of an ImageData
layer (data/image_source.py). HDF5Data shuffles by C's rand (c_rand.py). Nothing else draws. When BVLC Caffe resumes, it
starts again from the seed.
"""

import numpy as np

from torchcaffe.random import ziggurat

_PIECE = 1 << 16  # draws at a time: so few that they and their results fit into the processor's cache
_ALL = 1 << 32
_FEW = 1 << 12  # draws up to which randint's checks take as long as they
_KEY = 624  # numbers in a twister's key

State = dict[str, np.ndarray]


class Generator:
    """boost's mt19937, seeded with the low 32 bits of `seed`."""

    def __init__(self, seed: int):
        self._twister = np.random.MT19937()
        self._numbers = np.random.RandomState(self._twister)
        self._numbers.seed(seed % _ALL)
        self._key, self._position = np.empty(0, np.uint32), _KEY + 1  # of the last state; beyond the end: of none
        self._drawn = 0  # since then

    def raw(self, n: int) -> np.ndarray:
        """The next `n` draws, uint32."""
        self._drawn += n
        if n <= _FEW:
            return self._twister.random_raw(n).astype(np.uint32)
        return self._numbers.randint(0, _ALL, n, np.uint32)

    def rand(self) -> int:
        """One draw: BVLC Caffe's caffe_rng_rand."""
        return int(self.raw(1)[0])

    def gaussian(self, n: int, mean: float, std: float) -> np.ndarray:
        """`n` normally distributed numbers, float32. They take 1.02 draws each on average."""
        out = np.empty(n, np.float32)
        filled, left = 0, np.empty(0, np.uint32)
        while filled < n:
            # A number takes at least one draw, so as many draws as there are numbers missing are never too many.
            draws = np.concatenate([left, self.raw(min(n - filled, _PIECE))])
            numbers, taken = ziggurat.normal(draws)
            out[filled : filled + numbers.size] = numbers
            filled, left = filled + numbers.size, draws[taken:]
        out *= np.float32(std)
        out += np.float32(mean)
        return out

    def uniform(self, n: int, a: float, b: float) -> np.ndarray:
        """`n` uniformly distributed numbers from a to b, both included, float32. They take one draw each, and another
        one if rounding lifts a number above b."""
        low = np.float32(a)
        end = np.nextafter(np.float32(b), np.float32(np.finfo(np.float32).max))
        out = np.empty(n, np.float32)
        filled = 0
        while filled < n:
            numbers = self.raw(min(n - filled, _PIECE)).astype(np.float32)
            numbers *= np.float32(1 / _ALL)
            numbers *= end - low
            numbers += low
            numbers = numbers[numbers < end]
            out[filled : filled + numbers.size] = numbers
            filled += numbers.size
        return out

    def bernoulli(self, n: int, p: float | np.floating) -> np.ndarray:
        """`n` numbers, uint8: 1 with probability `p`, else 0. They take one draw each; with p = 0, none.

        The draws are compared with `p` in float32 if it is a np.float32 (the sparse filler), else in float64 (Dropout).
        """
        if p == 0:
            return np.zeros(n, np.uint8)
        if isinstance(p, np.float32):
            return (self.raw(n).astype(np.float32) <= p * np.float32(_ALL - 1)).view(np.uint8)
        return (self.raw(n) <= np.uint32(p * float(_ALL - 1))).view(np.uint8)

    def shuffle(self, items: list) -> None:
        """Shuffles `items` in place, as BVLC Caffe's util/rng.hpp does: one draw for each item but the first. The range
        of draws is divided into equal parts, and a draw in the remainder is repeated."""
        last = len(items) - 1
        while last > 0:
            for draw in self.raw(min(last, _PIECE)).tolist():
                place = draw // (_ALL // (last + 1))
                if place <= last:
                    items[last], items[place] = items[place], items[last]
                    last -= 1

    def state(self) -> State:
        """The state of the twister: `key` (624 uint32, not to be written to) and `position` (int64, no axes)."""
        position = self._position + self._drawn
        if position > _KEY:  # the twister makes a new key after 624 draws; to ask it takes as long as a small batch
            twister = self._twister.state["state"]
            self._key, position = twister["key"], int(twister["pos"])
        self._position, self._drawn = position, 0
        return {"key": self._key, "position": np.array(position, np.int64)}

    def restore(self, state: State) -> None:
        """Goes back to an earlier `state()`."""
        key, position = state["key"], int(state["position"])
        self._twister.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": position}}
        self._key, self._position, self._drawn = key, position, 0
