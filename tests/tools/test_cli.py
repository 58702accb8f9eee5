"""The options that all verbs share, and what `--help` says."""

from pathlib import Path

import pytest

from tools import cli
from tools.common.errors import UserError


def test_a_verb_takes_an_experiment_and_overrides(checkout: Path) -> None:
    exp = cli.experiment("split", "Splits.\n\nMore.", [str(checkout / "experiments/demo.yaml"), "--set", "max_iter=7"])
    assert (exp.dataset, exp.max_iter, exp.overrides) == ("fashion-mnist", 7, "max_iter=7")


def test_help_has_the_verbs_own_words(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as end:
        cli.experiment("split", "Splits the classes.\n\nSecond paragraph.", ["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: python -m tools split [-h] [--set TEXT] experiment")
    assert "Splits the classes." in text


def test_from_names_a_folder_of_tables() -> None:
    parser = cli.parser("claims", "Tests claims.")
    cli.add_from(parser)
    assert parser.parse_args(["x.yaml", "--from", "docs/results/demo"]).tables == Path("docs/results/demo")
    assert parser.parse_args(["x.yaml"]).tables is None


def test_a_mistake_on_the_command_line_ends_with_status_2(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as end:
        cli.experiment("split", "Splits.", ["x.yaml", "--sett", "y"])
    assert end.value.code == 2
    assert "unrecognized arguments: --sett" in capsys.readouterr().err


def test_a_missing_experiment_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml: no such file"):
        cli.experiment("split", "Splits.", [str(tmp_path / "none.yaml")])
