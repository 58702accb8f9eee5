"""What the processor can do, from /proc/cpuinfo."""

from pathlib import Path

import pytest

import torchcaffe as caffe
from tests.helpers import engine_runs
from torchcaffe.common import context, cpu


@pytest.fixture
def cpu_info(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(cpu, "_CPU_INFO", file)
    return file


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 clzero", True),
        ("flags\t\t: fpu amx_bf16", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t\t: fpu avx2 avx512f", False),
        ("Features\t: fp asimd", False),
        ("cpu family\t: 25", None),
    ],
)
def test_bf16_is_read_from_the_flags(cpu_info: Path, line: str, found: bool | None) -> None:
    cpu_info.write_text(f"processor\t: 0\n{line}\n")
    assert cpu.has_bf16() is found


@pytest.mark.parametrize(("flags", "found"), [("fpu avx512_bf16", False), ("fpu amx_bf16 amx_tile", True)])
def test_amx_is_read_from_the_flags(cpu_info: Path, flags: str, found: bool) -> None:
    cpu_info.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    assert cpu.has_amx() is found


@pytest.mark.parametrize(
    ("vendor", "flags", "found"),
    [
        ("AuthenticAMD", "avx2 avx512f", True),
        ("AuthenticAMD", "avx2", False),
        ("GenuineIntel", "avx2 avx512f", False),
    ],
)
def test_an_amd_with_avx512_is_known(cpu_info: Path, vendor: str, flags: str, found: bool) -> None:
    cpu_info.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: x\nflags\t\t: fpu {flags}\n")
    assert cpu.is_amd_with_avx512() is found


def test_without_the_file_nothing_is_known(cpu_info: Path) -> None:
    assert cpu.has_bf16() is None
    assert not cpu.has_amx()
    assert not cpu.is_amd_with_avx512()


def test_without_bf16_the_precision_is_taken_and_a_warning_says_that_it_is_slow(cpu_info: Path, tmp_path: Path) -> None:
    cpu_info.write_text("flags\t\t: fpu avx2\n")
    run = engine_runs.ours(tmp_path, "test", "--model=none.prototxt", "--weights=none", "--precision=bf16")
    assert context.current().precision == "bf16"
    caffe.set_precision("fp32")
    lacks = "this processor has neither avx512_bf16 nor amx_bf16"
    assert run.lines("times as long") == [
        f"W common.cpp:152] {lacks}: --precision=bf16 takes 2 to 70 times as long as fp32"
    ]
