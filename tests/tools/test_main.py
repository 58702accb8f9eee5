"""`python -m tools`: the list of verbs, and how each kind of mistake ends."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.image_projects import image_folder
from tools import __main__ as command_line
from tools.__main__ import VERBS, main
from tools.common.errors import UserError


def test_every_verb_is_a_file_with_a_command_line_and_every_such_file_a_verb(checkout: Path) -> None:
    files = {path.stem for path in (checkout / "tools").glob("*.py")} - {"__init__", "__main__", "cli"}
    assert files == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help(verb: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as end:
        importlib.import_module(f"tools.{verb}").main(["--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m tools {verb} ")


def test_without_a_verb_the_verbs_are_listed(checkout: Path) -> None:
    command = [sys.executable, "-m", "tools"]
    for arguments, status in (([], 0), (["--help"], 0), (["nothing"], 2)):
        result = subprocess.run([*command, *arguments], cwd=checkout, capture_output=True, text=True)
        text = result.stderr if status else result.stdout
        assert result.returncode == status
        assert ("unknown verb 'nothing'" in text) == bool(status)
        assert all(f"\n  {verb} " in text for verb in VERBS)


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (UserError("x.yaml:3: sizes: wrong"), 2, "error: x.yaml:3: sizes: wrong\n"),
        (OSError(28, "No space left on device", "data/x"), 2, "error: data/x: No space left on device\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=["a user's mistake", "a full disk", "Ctrl-C"],
)
def test_a_mistake_is_one_line_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, error: BaseException, status: int, text: str
) -> None:
    def fail(argv: list[str]) -> None:
        raise error

    monkeypatch.setattr(importlib.import_module("tools.status"), "main", fail)
    monkeypatch.setattr(command_line.sys, "argv", ["tools", "status", "x.yaml"])
    assert main() == status
    assert capsys.readouterr().err == text


def tools(*arguments: str, cwd: Path, checkout: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tools", *arguments]
    given = {**os.environ, "PYTHONPATH": str(checkout), **environment}
    return subprocess.run(command, cwd=cwd, env=given, capture_output=True, text=True, errors="replace")


@pytest.fixture
def folder_of_images(tmp_path: Path) -> Path:
    """An experiment on two classes of one image; a current folder for it."""
    image_folder(tmp_path / "images", {"cat": 2, "dog": 2})
    (tmp_path / "x.yaml").write_text(
        f"dataset: folder\npath: {tmp_path / 'images'}\nimage_size: 8\nsizes: [1]\nmodel: mini\nsolver: mini\n"
    )
    return tmp_path


def test_a_link_that_leads_nowhere_is_named(folder_of_images: Path, checkout: Path) -> None:
    (folder_of_images / "data").symlink_to("/nowhere/else")
    result = tools("fetch", "x.yaml", cwd=folder_of_images, checkout=checkout)
    text = "error: data: a link to /nowhere/else, which is not there; make that folder, or remove the link\n"
    assert (result.stderr, result.returncode) == (text, 2)


def test_a_name_that_is_too_long_is_named(folder_of_images: Path, checkout: Path) -> None:
    result = tools("new", "mine", "x" * 300, cwd=folder_of_images, checkout=checkout)
    text = f"error: {folder_of_images}/{'x' * 300}: File name too long\n"
    assert (result.stderr, result.returncode) == (text, 2)


def test_a_folder_whose_name_is_not_utf_8_is_refused_by_name(folder_of_images: Path, checkout: Path) -> None:
    place = Path(os.fsdecode(os.fsencode(folder_of_images) + b"/M\xfcller"))
    place.mkdir()
    result = tools("fetch", "../x.yaml", cwd=place, checkout=checkout)
    assert result.returncode == 2
    assert "M\\xfcller: the path of the current folder is not UTF-8; rename or move the folder" in result.stderr


def test_a_name_that_the_terminal_cannot_show_is_no_traceback(folder_of_images: Path, checkout: Path) -> None:
    (folder_of_images / "images").rename(folder_of_images / "caf\u00e9")
    file = folder_of_images / "x.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("images", "caf\u00e9"), encoding="utf-8")
    result = tools("fetch", "x.yaml", cwd=folder_of_images, checkout=checkout, PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (0, "")
    assert "folder: here, in " in result.stdout and "/caf\\xe9\n" in result.stdout


def test_a_full_standard_output_is_named(folder_of_images: Path, checkout: Path) -> None:
    command = f"{sys.executable} -m tools fetch x.yaml > /dev/full"
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    result = subprocess.run(command, shell=True, cwd=folder_of_images, env=environment, capture_output=True, text=True)
    assert (result.stderr, result.returncode) == ("error: standard output: No space left on device\n", 2)


def test_settings_of_notebooks_and_of_glog_do_not_reach_a_verb(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def show(argv: list[str]) -> None:
        print({name: value for name, value in os.environ.items() if name.startswith(("GLOG", "MPLBACKEND"))})

    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.setenv("GLOG_log_prefix", "0")
    monkeypatch.setattr(importlib.import_module("tools.status"), "main", show)
    monkeypatch.setattr(command_line.sys, "argv", ["tools", "status", "x.yaml"])
    assert main() == 0
    assert capsys.readouterr().out == "{'MPLBACKEND': 'Agg'}\n"
