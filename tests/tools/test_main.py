"""`python -m tools`: the list of verbs, and how each kind of mistake ends."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

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
