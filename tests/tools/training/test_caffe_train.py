"""Engines that lie or break off: the run fails with the reason, and the same command ends well once they are mended.

Each of them is real Caffe behind a script that damages what it leaves.
"""

from pathlib import Path

import pytest

from caffeformat.errors import FormatError
from tests.helpers.shell_scripts import stand_in
from tools.common.errors import UserError
from tools.common.files import load_json, read_json
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run
from tools.protocol.runs import find_run
from tools.run import run_one
from tools.training.engine import Engine

CAFFEMODEL = "net_iter_40.caffemodel"


@pytest.fixture
def run(trained: Experiment) -> Run:
    """A run that copies; what it left is gone, its manifest is kept as manifest.expected.json."""
    run = find_run(trained, "caffe", "A2B/n0004/S1T/seed0")
    manifest = run.manifest.rename(run.folder.parent / "manifest.expected.json")
    for path in run.folder.iterdir():
        path.unlink()
    assert manifest.is_file()
    return run


def broken(engine: Engine, folder: Path, train: str, test: str = 'exec "$caffe" "$@"') -> Engine:
    """Real Caffe, but for the commands with which it trains (not those of the proof of the start) and tests."""
    lines = [
        f'caffe="{engine.path}"',
        'case "$1 $2" in',
        '  *start.prototxt|--version*) exec "$caffe" "$@";;',
        f'  train*) folder=$(dirname "${{2#--solver=}}"); {train};;',
        f"  test*) {test};;",
        "esac",
    ]
    return Engine(stand_in(folder / "bin", "caffe", "\n".join(lines)))


DONE = "echo 'I1128 10:00:00.000000 1 caffe.cpp:250] Optimization Done.' >&2"
LIES = {
    "a truncated caffemodel": (
        f'"$caffe" "$@"; truncate -s -40 "$folder"/{CAFFEMODEL}',
        r"net_iter_40\.caffemodel: not a caffemodel, or cut off",
    ),
    "a caffemodel that lacks its last layers": (
        f'"$caffe" "$@"; head -c 40 /dev/null > "$folder"/{CAFFEMODEL}; printf "\\nx" > "$folder"/{CAFFEMODEL}',
        r"net_iter_40\.caffemodel: not a caffemodel",
    ),
    "done without a net": ('"$caffe" "$@"; rm "$folder"/net_iter_*', r"net_iter_40\.caffemodel: the engine said"),
    "only a net of an earlier iteration": (
        f'"$caffe" "$@"; mv "$folder"/{CAFFEMODEL} "$folder"/net_iter_20.caffemodel',
        r"said that it finished, and did not write it; caffemodels there: net_iter_20\.caffemodel",
    ),
    "a log without tests": (
        '"$caffe" "$@" 2>&1 | grep -v -e "Test net output" -e "Testing net"',
        r"no result of a test at iteration 40: there is no test",
    ),
    "a log without the last test": (
        '"$caffe" "$@" 2>&1 | grep -v "Iteration 40, Testing net"',
        r"no result of a test at iteration 40: its last test is at 20",
    ),
    "a log without displays": ('"$caffe" "$@" 2>&1 | grep -v "loss = "', r"not one `Iteration N, loss = "),
    "nothing but that it is done": (DONE, r"not one `Iteration N, loss = "),
    "another accuracy than the net has": (
        '"$caffe" "$@" 2>&1 | sed "s/#0: accuracy = .*/#0: accuracy = 0.0125/"',
        r"the predictions are right for .*, the log says 0\.0125",
    ),
    "displays without an end": (
        "while :; do echo 'I1128 10:00:00.000000 1 solver.cpp:218] Iteration 5, loss = 1'; done",
        r"caffe printed \d+ displays and tests in 1 attempts; one training of 40 iterations has 12 at most, and was",
    ),
    "trainings without an end": (
        'while :; do for n in 5 10; do echo "I1128 10:00:00.000000 1 solver.cpp:218] Iteration $n, loss = 1"; '
        "done; done",
        r"caffe printed \d+ displays and tests in 1\d\d attempts; one training",
    ),
    "an exit without an end": ("exit 0", r"ended before it had finished \(exit 0\); it said last:\n    \(nothing\)"),
    "an iteration of 5,000 digits": (
        """python3 -c 'print("I1128 10:00:00.000000 1 solver.cpp:1] Iteration " + "7" * 5000 + ", loss = 1")'; """
        + DONE,
        r"not one `Iteration N, loss = ",
    ),
    "no text": (f"head -c 300000 /dev/urandom; {DONE}", r"not one `Iteration N, loss = |ended before it had finished"),
}


@pytest.mark.parametrize(("train", "reason"), LIES.values(), ids=LIES)
def test_after_an_engine_that_lied_is_mended_the_same_command_ends_well(
    trained: Experiment, run: Run, engine: Engine, tmp_path: Path, train: str, reason: str
) -> None:
    with pytest.raises((UserError, FormatError), match=reason):
        run_one(trained, run, broken(engine, tmp_path, train))
    failed = load_json(run.failed)
    assert failed["attempts"] == 1 and not run.manifest.exists()
    manifest = run_one(trained, run, engine)
    expected = load_json(run.folder.parent / "manifest.expected.json")
    assert manifest["model"] == expected["model"] and manifest["attempts"] == 2
    assert manifest["predictions"] == expected["predictions"]
    assert not run.failed.exists()


TESTS = {
    "fails": ("echo no memory >&2; exit 1", r"failed \(exit 1\); it said last:\n    no memory"),
    "prints no values": ("exit 0", r"0 labels and 0 predictions, not 40 of each"),
    "prints values without an end": (
        "while :; do echo 'I1128 10:00:00.0 1 caffe.cpp:304] Batch 9, label = 1'; done",
        r"printed batch 9 after batch 0; 2 were asked for, from 0, and was ended",
    ),
    "starts again for ever": (
        'while :; do for n in 0 1; do echo "I1128 10:00:00.0 1 caffe.cpp:304] Batch $n, label = 1"; done; done',
        r"printed batch 0 after batch 1; 2 were asked for, from 0, and was ended",
    ),
    "prints what is no number": (
        "echo 'I1128 10:00:00.000000 1 caffe.cpp:304] Batch 0, label = banana'",
        r"0 labels and 0 predictions, not 40 of each",
    ),
}


@pytest.mark.parametrize(("test", "reason"), TESTS.values(), ids=TESTS)
def test_after_a_failed_test_the_net_is_kept(
    trained: Experiment, run: Run, engine: Engine, tmp_path: Path, test: str, reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        run_one(trained, run, broken(engine, tmp_path, 'exec "$caffe" "$@"', test))
    assert (run.folder / "train.json").is_file() and run.failed.is_file()
    manifest = run_one(trained, run, engine)
    assert manifest["attempts"] == 1 and manifest["predictions"]["images"] == 40


def test_a_record_of_the_training_that_cannot_be_read_or_has_another_net_counts_as_none(
    trained: Experiment, run: Run, engine: Engine
) -> None:
    expected = run_one(trained, run, engine)["model"]
    for number, damage in enumerate(("{", "[]"), 2):
        run.manifest.unlink()
        (run.folder / "train.json").write_text(damage)
        manifest = run_one(trained, run, engine)
        assert (manifest["model"], manifest["attempts"]) == (expected, number)
    run.manifest.unlink()
    (run.folder / CAFFEMODEL).write_bytes(b"another net")
    (run.folder / "attempts.json").write_text("[]")
    manifest = run_one(trained, run, engine)
    assert (manifest["model"], manifest["attempts"]) == (expected, 1)
    assert read_json(run.failed) is None
