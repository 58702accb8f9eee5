"""What a call is, and what makes it another start."""

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.warm_calls import ENVIRONMENT, is_warm, report, started

pytestmark = pytest.mark.usefixtures("warm")


@pytest.mark.parametrize(
    "name",
    [
        "OMP_NUM_THREADS",
        "MKL_CBWR",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "PYTHONHASHSEED",
        "LC_ALL",
        "MALLOC_ARENA_MAX",
        "X",
    ],
)
def test_with_another_environment_a_start_is_cold(name: str) -> None:
    other = ENVIRONMENT | {name: f"{ENVIRONMENT[name]}:/none" if name in ENVIRONMENT else "1"}
    assert not is_warm(report(env=other))
    assert is_warm(report())


@pytest.mark.parametrize("name", ["TZ", "CUDA_VISIBLE_DEVICES", "GLOG_logtostderr", "TOOLS_X", "PWD", "_"])
def test_a_variable_that_is_read_late_may_differ(name: str) -> None:
    state = report(env=ENVIRONMENT | {name: "7"})
    assert is_warm(state) and state["environment"][name] == "7"


SETTINGS: dict[str, Callable[[], object]] = {
    "umask": lambda: os.umask(0o027),
    "processors": lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    "niceness": lambda: os.nice(1),
    "limits": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300)),
    "chance of being killed for memory": lambda: Path("/proc/self/oom_score_adj").write_text("1"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_with_other_settings_of_the_process_a_start_is_cold(name: str) -> None:
    if name == "processors" and len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor")
    assert not is_warm(report(preexec_fn=SETTINGS[name]))


def test_without_one_of_the_standard_files_a_start_is_cold() -> None:
    process = started("report", 3, preexec_fn=lambda: os.close(2), stderr=None)
    out, _ = process.communicate()
    assert process.returncode == 3 and f'"parent": {os.getpid()}' in out
