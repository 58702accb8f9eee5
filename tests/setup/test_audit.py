"""setup/audit.sh: a known vulnerability ends `make lint`, an absent network does not. A script plays pip-audit."""

import json
import sys
from pathlib import Path

import pytest

from tests.helpers.shell_scripts import before_path, run, stand_in


@pytest.fixture
def audit(checkout: Path, tmp_path: Path):
    """`audit(script)` audits with a pip-audit that is this shell script."""
    (tmp_path / "bin").mkdir()
    own = tmp_path / "pip-audit" / "bin"

    def call(script: str, **settings: object):
        stand_in(own, "pip-audit", script)
        (own / "python").unlink(missing_ok=True)
        (own / "python").symlink_to(sys.executable)
        return run("sh", checkout / "setup" / "audit.sh", tmp_path / "bin" / "python", **settings)

    return call


def answer(*packages: dict) -> str:
    return f"cat <<'EOF'\n{json.dumps({'dependencies': packages})}\nEOF"


GOOD = {"name": "numpy", "version": "2.4.6", "vulns": []}
UNKNOWN = {"name": "mine", "skip_reason": "Dependency not found"}
BAD = {"name": "urllib3", "version": "1.26", "vulns": [{"id": "CVE-1", "fix_versions": ["1.26.5", "2.0"]}]}


def test_what_was_looked_up_is_counted(audit) -> None:
    done = audit(answer(GOOD, UNKNOWN))
    assert (done.returncode, done.stdout) == (0, "audit: 1 of 2 packages looked up, 0 vulnerabilities known\n")


def test_a_known_vulnerability_fails_with_the_version_that_mends_it(audit) -> None:
    done = audit(f"{answer(GOOD, BAD)}\nexit 1")
    assert done.returncode != 0
    assert done.stderr == "audit: urllib3 1.26: CVE-1, mended in 1.26.5, 2.0\n"


def test_without_an_answer_it_says_so_and_succeeds(audit, tmp_path: Path) -> None:
    for script in ("echo no network >&2; exit 1", "exit 0"):
        done = audit(script)
        assert (done.returncode, done.stdout) == (0, "audit: not done: its service did not answer\n")
    done = audit(answer(UNKNOWN))
    assert done.returncode == 0 and "not done: its service knows none of the packages" in done.stderr


def test_the_time_is_bounded(audit, tmp_path: Path) -> None:
    stand_in(tmp_path / "programs", "timeout", 'echo "$1" >seconds; exit 124')
    done = audit(answer(BAD), PATH=before_path(tmp_path / "programs"), cwd=tmp_path)
    assert done.returncode == 0 and "did not answer" in done.stdout
    assert (tmp_path / "seconds").read_text() == "120\n"
