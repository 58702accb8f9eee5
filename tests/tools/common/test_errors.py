"""Errors of the user: one, or all of several checks at once."""

import pytest

from tools.common.errors import Faults, UserError


def test_all_faults_are_told_at_once_and_none_is_no_error() -> None:
    faults = Faults()
    with faults:
        pass
    faults.raise_all()
    with faults:
        with faults:
            raise UserError("first")
        raise UserError("second")
    with pytest.raises(UserError, match=r"^first\nsecond$"):
        faults.raise_all()


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), Faults():
        raise KeyError("a mistake of ours")
