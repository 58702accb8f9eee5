"""Published results: the checksums that were published with them, and the accuracies of runs.csv and the manifests."""

import json
import shutil
from pathlib import Path

import pytest

from tests.helpers.flipped import flip
from tests.helpers.verified import run_command
from tools.claims import claims
from tools.common.checkout import CHECKOUT
from tools.common.errors import UserError
from tools.protocol.experiment import Experiment
from tools.publish import publish
from tools.results.columns import read_csv
from tools.summarize import summarize
from tools.verification.commands import Commands
from tools.verification.published_files import look_at_published


@pytest.fixture
def folder(trained: Experiment) -> Path:
    summarize(trained, "caffe")
    claims(trained)
    return publish(trained)


@pytest.mark.parametrize(
    ("name", "files"), [("demo", 29), ("tiny-small", 26), ("tiny-40", 30), ("tiny-40-prestudy", 15), ("places-40", 29)]
)
def test_what_this_project_has_published_is_as_it_was(commands: Commands, name: str, files: int) -> None:
    findings = look_at_published(CHECKOUT / "docs" / "results" / name, commands)
    assert findings.faults == []
    assert findings.files == files and {path.suffix for path in findings.unrecorded} <= {".csv", ".pdf", ".png"}


def test_a_changed_bit_in_a_table_is_named_and_the_command_mends_it(folder: Path, commands: Commands) -> None:
    assert look_at_published(folder, commands).faults == []
    for name in ("runs.csv", "summary.csv", "curves.csv", "predictions.npz", "summary.json", "manifests.jsonl"):
        good = flip(folder / name) if name != "manifests.jsonl" else edit_manifest(folder)
        (fault,) = look_at_published(folder, commands).faults
        assert fault.file == folder / name and fault.command == "python -m tools publish experiments/quick.yaml"
        (folder / name).write_bytes(good)
    flip(folder / "runs.csv")
    run_command("python -m tools publish experiments/quick.yaml")
    assert look_at_published(folder, commands).faults == []


def edit_manifest(folder: Path) -> bytes:
    good = (folder / "manifests.jsonl").read_bytes()
    (folder / "manifests.jsonl").write_bytes(good.replace(b'"attempts": 1', b'"attempts": 7', 1))
    return good


def test_runs_that_have_another_accuracy_than_their_manifests_are_named(folder: Path, commands: Commands) -> None:
    row = read_csv(folder / "runs.csv")[0]
    changed = [json.loads(line) for line in (folder / "manifests.jsonl").read_text().splitlines()]
    for manifest in changed:
        manifest.pop("checksum")  # as in an older version
        if row["run"].endswith(manifest["run"]):
            manifest["result"]["accuracy"] = 0.123
    (folder / "manifests.jsonl").write_text("\n".join(map(json.dumps, changed)))
    (fault,) = look_at_published(folder, commands).faults
    assert fault.what == f"{row['run']} has accuracy {row['accuracy']}, in manifests.jsonl it is 0.123"
    (folder / "manifests.jsonl").write_text("{")
    (fault,) = look_at_published(folder, commands).faults
    assert fault.file == folder / "manifests.jsonl" and fault.what.startswith("broken: ")


def test_without_results_the_folder_comes_from_git(folder: Path, commands: Commands) -> None:
    shutil.rmtree("results")
    (folder / "curves.csv").unlink()
    (fault,) = look_at_published(folder, commands).faults
    assert (fault.file, fault.what) == (folder / "curves.csv", "not there")
    assert fault.command == "git checkout -- docs/results/quick"


def test_a_folder_that_is_no_publication_is_refused(commands: Commands) -> None:
    with pytest.raises(UserError, match=r"models: no manifests.jsonl there; --from names a folder"):
        look_at_published(Path("models"), commands)
