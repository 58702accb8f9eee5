"""Freed memory stays in the process, so that the next iteration need not ask the system for it."""

import subprocess
import sys

from tests.helpers.engine_runs import CHECKOUT

# How many MB more are resident after ten tensors of 8 MB were allocated and freed: by default, then with the setting.
PROGRAM = """
import resource
from pathlib import Path
import torch
from torchcaffe.common.memory import keep_freed_memory
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
def kept():
    before = resident()
    tensors = [torch.ones(1 << 21) for _ in range(10)]
    del tensors
    return (resident() - before) // 1000000
print(kept())
keep_freed_memory()
print(kept())
"""


def test_tensors_that_are_freed_leave_their_memory_to_the_process() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    by_default, with_setting = map(int, result.stdout.split())
    assert by_default < 40
    assert with_setting >= 80
