"""Which program trains: the one that CAFFE names, else `caffe` on the PATH, else the one in .caffe/; its version."""

import sys
from pathlib import Path

import pytest

from tests.helpers.shell_scripts import stand_in
from tools.common.errors import UserError
from tools.protocol.experiment import load
from tools.training import engine as module
from tools.training.engine import Engine, NoEngine, engine_of, find_engine

pytestmark = pytest.mark.usefixtures("root")


def test_real_caffe_says_its_name_and_version(caffe: Path) -> None:
    engine = Engine(caffe)
    assert engine.name == "caffe"
    assert engine.version == "caffe version 1.0.0"


def test_caffe_names_a_path_or_a_program_on_the_path_or_beside_this_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = stand_in(tmp_path / "bin", "mycaffe", "exit 0")
    monkeypatch.setenv("CAFFE", str(program))
    assert find_engine().path == program
    monkeypatch.setenv("CAFFE", "bin/mycaffe")
    assert find_engine().path == program
    monkeypatch.setenv("CAFFE", "mycaffe")
    with pytest.raises(NoEngine, match="CAFFE=mycaffe: no such executable"):
        find_engine()
    monkeypatch.setenv("PATH", str(program.parent))
    assert find_engine().path == program
    monkeypatch.setenv("CAFFE", Path(sys.executable).name)
    assert find_engine().path == Path(sys.executable)


def test_without_caffe_the_path_comes_first_then_the_folder_then_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECKOUT", tmp_path / "checkout")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(NoEngine, match=r"no Caffe: neither CAFFE nor a `caffe` on the PATH nor .caffe/caffe"):
        find_engine()
    for folder in ("checkout/.caffe", ".caffe", "bin"):
        program = stand_in(tmp_path / folder, "caffe", "exit 0")
        assert find_engine().path == program


def test_a_program_that_does_not_start_or_says_nothing_is_no_engine(tmp_path: Path) -> None:
    failing = stand_in(tmp_path, "failing", "echo 'libcaffe.so.1: not found' >&2; exit 127")
    silent = stand_in(tmp_path, "silent", "exit 0")
    text = tmp_path / "text"
    text.write_text("no program")
    text.chmod(0o755)
    assert issubclass(NoEngine, UserError)
    for program, message in (
        (failing, r"failing --version: exit 127: libcaffe.so.1: not found"),
        (silent, r"silent --version: exit 0: no output"),
        (text, r"text: cannot be started \(Exec format error\); CAFFE names a `caffe` executable"),
    ):
        with pytest.raises(NoEngine, match=message):
            Engine(program).version  # noqa: B018


def test_another_precision_than_fp32_is_refused_for_bvlc_caffe(
    caffe: Path, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAFFE", str(caffe))
    demo = checkout / "experiments" / "demo.yaml"
    assert engine_of(load(demo)).flags == ()
    fp32_alone = rf"bf16, but {caffe} is BVLC Caffe \(caffe version 1.0.0\), which computes in fp32 alone"
    with pytest.raises(UserError, match=rf"^SET: precision: {fp32_alone}; leave it out, or choose CAFFE=torchcaffe$"):
        engine_of(load(demo, "precision=bf16"))
    mine = tmp_path / "mine.yaml"
    mine.write_text(demo.read_text() + "precision: bf16\n")
    line = len(mine.read_text().splitlines())
    with pytest.raises(UserError, match=rf"mine.yaml:{line}: precision: {fp32_alone}"):
        engine_of(load(mine))
    monkeypatch.setenv("CAFFE", str(stand_in(tmp_path / "bin", "torchcaffe", "echo torchcaffe version 0.1.0")))
    assert engine_of(load(mine)).flags == ("--precision=bf16",)
