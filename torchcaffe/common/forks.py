"""Forks of a script that has computed: os.fork, and multiprocessing where it forks.

The threads of an OpenMP program do not live on in a fork, but libgomp in the fork waits for them at the next product:
for ever. A product on one thread waits for none.
"""

import os
from functools import cache

import torch


@cache
def prepare() -> None:
    """Lets every later fork of this process compute on one thread, as PyTorch's own data loaders do."""
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
