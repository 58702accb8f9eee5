"""Freed memory stays in the process, so that the next iteration need not ask the system for it."""

import subprocess
import sys

import pytest

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


# The kernel's flags of the memory of a tensor of 40 MB, and by how many MB the process has grown before it.
HUGE_PAGES = """
import re, resource, sys
from pathlib import Path
import torch
from torchcaffe.common.memory import keep_freed_memory
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
before = resident()
if sys.argv[1] == "limited":
    virtual = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (virtual + (200 << 20), virtual + (200 << 20)))
keep_freed_memory()
grown = (resident() - before) // 1000000
address = torch.ones(10_000_000).data_ptr()
for part in re.split(r"\\n(?=[0-9a-f]+-)", Path("/proc/self/smaps").read_text()):
    start, end = (int(side, 16) for side in part.split()[0].split("-"))
    if start <= address < end:
        print(grown, *re.search("VmFlags:(.*)", part)[1].split())
"""


@pytest.mark.parametrize("limit", ["unlimited", "limited"])
def test_the_memory_of_tensors_is_in_huge_pages_and_only_what_is_used_is_taken(limit: str) -> None:
    command = [sys.executable, "-c", HUGE_PAGES, limit]
    result = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    grown, *flags = result.stdout.split()
    assert int(grown) < 20
    assert "hg" in flags
