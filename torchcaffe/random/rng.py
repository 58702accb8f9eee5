"""Random numbers as BVLC Caffe draws them on the CPU (boost 1.74): one 32-bit Mersenne twister, read in one order.

What takes draws from a solver's generator, `Generator(random_seed)`, in this order:

1. The train net, layer by layer. A Data layer: if it mirrors, or crops in the phase TRAIN, two draws (the second seeds
   its transformer), then one that seeds its prefetch thread, which uses it for nothing. A layer with weights: its
   weight filler, then its bias filler; constant and bilinear fillers draw nothing.
2. Each test net in the same way. Its fillers draw too, though its weights are then shared with the train net.
3. Each forward pass in the phase TRAIN: a Dropout layer one draw a value, in the order of the layers; also where
   nothing learns. In the phase TEST it draws nothing.

A transformer draws from its own generator, a new one seeded with one draw (transformer.py says what), and so does the
shuffling of an ImageData layer (image_source.py). HDF5Data shuffles by C's rand (c_rand.py). Nothing else draws; a
resumed run begins anew from the seed.
"""

import numpy as np

from torchcaffe.random import ziggurat

_PIECE = 1 << 16  # draws at a time: they and what is made of them stay in the cache
_ALL = 1 << 32

State = dict[str, np.ndarray]


class Generator:
    """boost's mt19937, seeded with the low 32 bits of `seed`."""

    def __init__(self, seed: int):
        self._twister = np.random.RandomState(seed % _ALL)

    def raw(self, n: int) -> np.ndarray:
        """The next `n` draws, uint32."""
        return self._twister.randint(0, _ALL, n, np.uint32)

    def rand(self) -> int:
        """One draw: BVLC Caffe's caffe_rng_rand."""
        return int(self.raw(1)[0])

    def gaussian(self, n: int, mean: float, std: float) -> np.ndarray:
        """`n` normal numbers, float32; 1.02 draws each on average."""
        out = np.empty(n, np.float32)
        filled, left = 0, np.empty(0, np.uint32)
        while filled < n:
            # A number takes a draw or more, so as many draws as numbers are missing are never too many.
            draws = np.concatenate([left, self.raw(min(n - filled, _PIECE))])
            numbers, taken = ziggurat.normal(draws)
            out[filled : filled + numbers.size] = numbers
            filled, left = filled + numbers.size, draws[taken:]
        out *= np.float32(std)
        out += np.float32(mean)
        return out

    def uniform(self, n: int, a: float, b: float) -> np.ndarray:
        """`n` float32 from a to b, both included; one draw each, but for those that rounding lifts above b."""
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

    def bernoulli(self, n: int, p: float) -> np.ndarray:
        """`n` times 1 with probability `p`, else 0: uint8, one draw each; p = 0 draws nothing.

        A `p` of np.float32 is held against the draws in float32, as the sparse filler does, any other in float64, as
        Dropout does.
        """
        if p == 0:
            return np.zeros(n, np.uint8)
        if isinstance(p, np.float32):
            return (self.raw(n).astype(np.float32) <= p * np.float32(_ALL - 1)).view(np.uint8)
        return (self.raw(n) <= np.uint32(p * float(_ALL - 1))).view(np.uint8)

    def shuffle(self, items: list) -> None:
        """Shuffles `items` as BVLC Caffe's util/rng.hpp does, a draw for each but the first; one that lies behind the
        last whole share of the draws' range is drawn again."""
        last = len(items) - 1
        while last > 0:
            for draw in self.raw(min(last, _PIECE)).tolist():
                place = draw // (_ALL // (last + 1))
                if place <= last:
                    items[last], items[place] = items[place], items[last]
                    last -= 1

    def state(self) -> State:
        """All that decides what comes next, as arrays: `key` (624 uint32) and `position` (int64, no axes)."""
        _, key, position, *_ = self._twister.get_state()
        return {"key": key.copy(), "position": np.array(position, np.int64)}

    def restore(self, state: State) -> None:
        """Go back to `state()`."""
        self._twister.set_state(("MT19937", state["key"], int(state["position"])))
