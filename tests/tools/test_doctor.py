"""The verb doctor: what the experiments need, whether it is there, and how to install it."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.shell_scripts import environment, stand_in
from tools import doctor
from tools.protocol.register import card
from tools.training.engine import Engine
from tools.training.kernels import KERNELS, better_kernels


@pytest.fixture
def examine(checkout: Path, tmp_path: Path):
    """Runs the verb in an empty folder; gives its exit status, and what it printed by the thing that it speaks of."""

    def run(**settings: object) -> tuple[int, dict[str, str]]:
        environ = environment(PYTHONPATH=checkout, GPUS="", **settings)
        done = subprocess.run(
            [sys.executable, "-m", "tools", "doctor"], cwd=tmp_path, env=environ, capture_output=True, text=True
        )
        assert done.stderr == ""
        lines = [line for line in done.stdout.splitlines() if line and "The demo" not in line]
        return done.returncode, {line[:13].strip(): line[15:] for line in lines if not line.startswith(" ")} | {
            "mend": "\n".join(line.strip() for line in lines if line.startswith(" "))
        }

    return run


def test_with_real_caffe_the_demo_can_run(examine, caffe):
    status, found = examine(CAFFE=caffe)
    assert status == 0
    assert found["engine"].split(maxsplit=1) == ["ok", f"{caffe}, caffe version 1.0.0"]
    assert found["training"].startswith("note") and "on the CPU" in found["training"]
    assert found["pycaffe"].split(maxsplit=1) == ["ok", str(caffe.parent / "pycaffe")]
    assert found["packages"].startswith("ok")


def test_kernels_that_do_not_suit_the_processor_are_told(examine, caffe, tmp_path, monkeypatch):
    monkeypatch.delenv(KERNELS, raising=False)
    old = stand_in(tmp_path, "caffe", f'{KERNELS}=${{{KERNELS}-Prescott}} exec "{caffe}" "$@"')
    status, found = examine(CAFFE=old)
    assert status == 0
    assert ("kernels" in found) is bool(better_kernels(Engine(old)))
    if "kernels" in found:  # the processor of this machine has AVX2
        assert "takes Prescott's on this processor" in found["kernels"]
        assert f"{KERNELS}=Haswell {old}" in found["mend"]
    assert "kernels" not in examine(CAFFE=old, OPENBLAS_CORETYPE="")[1]


def test_an_engine_that_is_not_there_is_missing_and_the_demo_cannot_run(examine):
    status, found = examine(CAFFE="/nowhere/caffe")
    assert status == 1
    assert found["engine"].startswith("missing") and "/nowhere/caffe" in found["engine"]
    assert "make caffe" in found["mend"]


def test_an_engine_that_does_not_start_is_missing_with_its_own_words(examine, tmp_path):
    broken = stand_in(tmp_path, "caffe", "echo 'libcaffe.so.1: cannot open shared object file' >&2; exit 127")
    status, found = examine(CAFFE=broken)
    assert status == 1 and found["engine"].startswith("missing") and "libcaffe.so.1" in found["engine"]


def test_programs_that_hang_do_not_hold_up_the_doctor(examine, tmp_path, monkeypatch):
    for name in ("caffe", "nvidia-smi", "pycaffe", "python3"):
        stand_in(tmp_path / "bin", name, "echo here; exec sleep 600")
    engine = tmp_path / "bin" / "caffe"
    status, found = examine(CAFFE=engine, PATH=f"{tmp_path}/bin:/usr/bin:/bin", ENGINE_SILENCE="0.5")
    assert status == 1 and "caffe --version: printed no line for 0.5 s" in found["engine"]
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=":")
    monkeypatch.setenv("ENGINE_SILENCE", "0.5")
    assert doctor.pycaffe(doctor.Engine(engine)).state == "note"
    (said,) = doctor.machine_gpus()
    assert said.startswith("GPU whose driver does not answer (nvidia-smi: printed no line for 0.5 s")


def test_a_gpu_that_the_engine_cannot_use_is_told(caffe, tmp_path, monkeypatch):
    # given a driver that lists a GPU, and BVLC Caffe as Debian builds it: for the CPU
    stand_in(tmp_path, "nvidia-smi", 'case "$1" in -L) echo "GPU 0: NVIDIA TITAN X (UUID: GPU-1)" ;; *) echo 0 ;; esac')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name in ("GPUS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    found = doctor.training(doctor.Engine(caffe))
    assert found.state == "note" and "cannot use NVIDIA TITAN X" in found.text and "CAFFE=" in found.mend


def test_packages_that_differ_from_the_pins_are_named_with_both_versions(tmp_path):
    (tmp_path / "requirements.txt").write_text("# pinned\nnumpy==0.1\nno-such-package-anywhere==1.0\n")
    found = doctor.packages(tmp_path / "requirements.txt")
    assert found.state == "missing" and found.mend == "make venv"
    assert f"numpy 0.1 ({doctor.installed('numpy')})" in found.text
    assert "no-such-package-anywhere 1.0 (not installed)" in found.text


def test_images_are_found_where_fetch_recorded_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "DEBIAN_DATASETS", tmp_path / "usr")
    about = card("fashion-mnist")
    assert doctor.images("fashion-mnist", about).mend == "python -m tools fetch experiments/demo.yaml"

    brought = tmp_path / "data" / "fashion-mnist"
    brought.mkdir(parents=True)
    for file in about.files:
        (brought / file.name).write_bytes(gzip.compress(b""))
    (brought / "fetch.json").write_text('{"folder": "."}')
    assert doctor.images("fashion-mnist", about) == doctor.Finding("fashion-mnist", "ok", "data/fashion-mnist")


@pytest.mark.parametrize(
    ("free", "demo", "tiny", "places"),
    [(0.1, "missing", "note", "note"), (15, "ok", "ok", "note"), (20, "ok", "ok", "ok")],
)
def test_a_disk_too_small_for_a_long_sweep_does_not_keep_the_demo_from_running(free, demo, tiny, places):
    states = {finding.what: finding.state for finding in doctor.disk(free)}
    assert (states["disk, demo"], states["disk, tiny"], states["disk, places"]) == (demo, tiny, places)
