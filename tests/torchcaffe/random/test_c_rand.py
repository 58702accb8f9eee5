"""rand() and std::random_shuffle of the C and C++ libraries, number by number."""

import subprocess
import sys

from torchcaffe.random.c_rand import CRand

# A process of its own, in which nobody has called srand() or rand().
RAND = "import ctypes; rand = ctypes.CDLL(None).rand; print(*(rand() for _ in range(5000)))"


def test_the_first_numbers_of_a_process_are_those_of_the_c_library() -> None:
    answer = subprocess.run([sys.executable, "-c", RAND], capture_output=True, text=True, check=True).stdout
    rand = CRand()
    assert [rand.rand() for _ in range(5000)] == [int(word) for word in answer.split()]


def test_a_shuffle_takes_one_number_for_each_item_but_the_first() -> None:
    rand, other = CRand(), CRand()
    items = list(range(100))
    rand.shuffle(items)
    assert sorted(items) == list(range(100))
    assert items != sorted(items)
    for _ in range(99):
        other.rand()
    assert rand.rand() == other.rand()


def test_a_restored_state_continues_the_sequence() -> None:
    rand, other = CRand(), CRand()
    for _ in range(1000):
        rand.rand()
    other.restore(rand.state())
    assert [other.rand() for _ in range(100)] == [rand.rand() for _ in range(100)]
