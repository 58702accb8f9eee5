"""Where the project's own files are found: in the current folder first, then in the checkout."""

from pathlib import Path

import pytest

from tools.common.checkout import CHECKOUT, own_file


def test_the_checkout_is_the_folder_that_holds_this_package(checkout: Path) -> None:
    assert checkout == CHECKOUT
    assert (CHECKOUT / "tools" / "common" / "checkout.py").is_file()


def test_a_file_of_the_current_folder_comes_before_the_checkouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkout: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert own_file("solvers", "mini.prototxt") == checkout / "solvers" / "mini.prototxt"
    (tmp_path / "solvers").mkdir()
    (tmp_path / "solvers" / "mini.prototxt").write_text("base_lr: 1\n")
    assert own_file("solvers", "mini.prototxt").read_text() == "base_lr: 1\n"
    assert own_file("solvers", "none.prototxt") == checkout / "solvers" / "none.prototxt"
