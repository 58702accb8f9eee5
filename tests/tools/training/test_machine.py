"""The processor, its cores and the number of threads, as a manifest records them."""

import os
from pathlib import Path

import pytest

from tools.training.machine import machine


def test_the_processor_and_the_threads_that_the_environment_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A CPU @ 3.0 GHz: v4\n\nprocessor\t: 1\n")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert machine(cpuinfo=tmp_path / "cpuinfo") == {
        "processor": "A CPU @ 3.0 GHz: v4",
        "cores": len(os.sched_getaffinity(0)),
        "threads": {"OPENBLAS_NUM_THREADS": "2"},
        "kernels": "Haswell",
    }


def test_a_machine_that_does_not_name_its_processor(tmp_path: Path):
    assert machine(cpuinfo=tmp_path / "absent")["processor"] is None
    (tmp_path / "cpuinfo").write_text("processor : 0\n")
    assert machine(cpuinfo=tmp_path / "cpuinfo")["processor"] is None
