"""Which kernels OpenBLAS takes of itself, asked of real Caffe, and when others suit the processor."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.helpers.shell_scripts import stand_in
from tools.planning.graph import environment_of
from tools.sweep import kernels_in_words
from tools.training.engine import Engine
from tools.training.kernels import KERNELS, better_kernels, environment
from tools.training.process import run_engine

NEW = "processor\t: 0\nmodel name\t: A CPU of tomorrow\nflags\t\t: fpu avx2 fma avx512f\n"


@pytest.fixture
def cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(KERNELS, raising=False)
    file = tmp_path / "cpuinfo"
    file.write_text(NEW)
    return file


def choosing(caffe: Path, tmp_path: Path, kernels: str) -> Engine:
    """Real Caffe whose OpenBLAS takes `kernels`, as on another processor."""
    return Engine(stand_in(tmp_path, f"caffe-{kernels}", f'{KERNELS}=${{{KERNELS}-{kernels}}} exec "{caffe}" "$@"'))


@pytest.mark.parametrize("own", ["Prescott", "Barcelona", "Nehalem", "Sandybridge"])
def test_for_a_processor_that_openblas_does_not_know_there_are_better_ones(caffe, tmp_path, cpuinfo, own: str):
    assert better_kernels(choosing(caffe, tmp_path, own), cpuinfo) == (own, "Haswell")


@pytest.mark.parametrize("own", ["Haswell", "Zen", "SkylakeX"])
def test_kernels_with_avx2_are_left(caffe, tmp_path, cpuinfo, own: str):
    assert better_kernels(choosing(caffe, tmp_path, own), cpuinfo) is None


@pytest.mark.parametrize("given", ["SkylakeX", ""])
def test_what_the_user_sets_is_left(caffe, tmp_path, cpuinfo, monkeypatch, given: str):
    monkeypatch.setenv(KERNELS, given)
    engine = choosing(caffe, tmp_path, "Prescott")
    assert better_kernels(engine, cpuinfo) is None
    assert environment_of(engine, 1)[KERNELS] == given
    assert environment(engine).get(KERNELS, "") == given


def test_an_empty_name_leaves_the_choice_to_openblas(caffe, tmp_path, cpuinfo, monkeypatch):
    """OpenBLAS itself takes Prescott's for an empty name, whatever the processor."""
    monkeypatch.setenv(KERNELS, "")
    engine = choosing(caffe, tmp_path, "Haswell")
    for environ, taken in ((environment(engine), "Haswell"), (os.environ, "Prescott")):
        command = [engine.path, "--version"]
        said = subprocess.run(command, env=environ | {"OPENBLAS_VERBOSE": "2"}, capture_output=True, text=True).stderr
        assert f"Core: {taken}" in said
    engine = Engine(stand_in(tmp_path, "talks", f'echo "${{{KERNELS}-unset}}"'))
    lines: list[str] = []
    run_engine(engine, ["train"], None, tmp_path / "log", lines.append)
    assert lines == ["unset\n"]


def test_an_engine_that_does_not_let_itself_be_told_is_left(caffe, tmp_path, cpuinfo):
    engine = Engine(stand_in(tmp_path, "caffe", f'{KERNELS}=Prescott exec "{caffe}" "$@"'))
    assert better_kernels(engine, cpuinfo) is None


def test_a_processor_without_avx2_takes_what_openblas_takes(caffe, tmp_path, cpuinfo):
    cpuinfo.write_text(NEW.replace(" avx2", ""))
    assert better_kernels(choosing(caffe, tmp_path, "Prescott"), cpuinfo) is None
    assert better_kernels(choosing(caffe, tmp_path, "Prescott"), tmp_path / "absent") is None


def test_torchcaffe_is_not_asked(tmp_path: Path, cpuinfo: Path):
    engine = Engine(stand_in(tmp_path, "torchcaffe", 'echo "torchcaffe version 1"; echo "Core: Prescott"'))
    assert better_kernels(engine, cpuinfo) is None


def test_a_sweep_trains_with_the_better_ones(caffe, tmp_path, monkeypatch):
    """On the processor of this machine, whatever it is."""
    monkeypatch.delenv(KERNELS, raising=False)
    engine = choosing(caffe, tmp_path, "Prescott")
    better = better_kernels(engine)
    assert environment_of(engine, 1).get(KERNELS) == (better and better[1])
    assert bool(kernels_in_words(engine)) is bool(better)
