"""Freed memory stays in the process, so that the next iteration need not ask the system for it."""

import os
import subprocess
import sys
from pathlib import Path

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


# Whether the memory of a tensor of 40 MB has the kernel's flag for huge pages, and by how many MB resident and virtual
# memory have grown before it.
HUGE_PAGES = """
import re, resource, sys
from pathlib import Path
import torch
from torchcaffe.common import memory
def used():
    pages = Path("/proc/self/statm").read_text().split()[:2]
    return [int(count) * resource.getpagesize() // 1000000 for count in pages]
(virtual, resident), kind = used(), sys.argv[1]
if kind == "address space":
    resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))
elif kind == "data":
    resource.setrlimit(resource.RLIMIT_DATA, (1 << 40, 1 << 40))
elif kind == "strict":
    Path("overcommit").write_text("2\\n")
    memory._OVERCOMMIT = Path("overcommit")
memory.keep_freed_memory()
grown = [now - before for now, before in zip(used(), (virtual, resident))]
tensor = torch.ones(10_000_000)
for part in re.split(r"\\n(?=[0-9a-f]+-)", Path("/proc/self/smaps").read_text()):
    start, end = (int(side, 16) for side in part.split()[0].split("-"))
    if start <= tensor.data_ptr() < end:
        print(*grown, "hg" in re.search("VmFlags:(.*)", part)[1].split())
"""


@pytest.mark.parametrize("limit", ["none", "address space", "data", "strict"])
def test_huge_pages_are_used_where_memory_that_is_not_used_counts_nowhere(tmp_path: Path, limit: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-c", HUGE_PAGES, limit]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    virtual, resident, huge = result.stdout.split()
    assert int(resident) < 20
    assert (int(virtual) > 900, huge) == ((True, "True") if limit == "none" else (False, "False"))
