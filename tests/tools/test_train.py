"""The verb train on real Caffe: what is copied and frozen, what is left in the folder, and what is refused."""

import re
from pathlib import Path

import pytest

from caffeformat.blobs import layer_blob_bytes
from caffeformat.caffeformat_pb2 import SolverState
from tests.helpers.file_stamp import stamp
from tests.helpers.shell_scripts import stand_in
from tools.common.files import read_json
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run
from tools.protocol.runs import find_run
from tools.render import write
from tools.run import run_one
from tools.train import main, train
from tools.training.engine import Engine
from tools.training.process import RunFailed

MODEL = "net_iter_40.caffemodel"


@pytest.fixture
def run(trained: Experiment) -> Run:
    return find_run(trained, "caffe", "A2B/n0004/S1T/seed0")


def test_a_run_copies_and_freezes_what_its_condition_says(trained: Experiment, run: Run) -> None:
    source = layer_blob_bytes(find_run(trained, "caffe", "B2A/n0012/base/seed0").folder / MODEL)
    net = layer_blob_bytes(run.folder / MODEL)
    assert net["conv1"] == source["conv1"]
    assert net["fc2_T"] != source["fc2"] and set(net) == {"conv1", "fc2_T", "fc3_T"}
    training = read_json(run.folder / "train.json")
    assert training is not None
    assert training["proofs"] == {
        "start": {"copied_equal": 1, "random_differ": 2},
        "ignored": ["fc2", "fc3"],
        "end": {"frozen_equal": 1, "learning_moved": 2},
    }
    assert (training["device"], training["attempts"]) == ("cpu", 1)


def test_nothing_but_log_net_and_record_is_left(run: Run) -> None:
    files = {path.name for path in run.folder.iterdir()}
    assert {"caffe.log", "train.json", MODEL} < files
    assert not [name for name in files if name.startswith("start") or "solverstate" in name]


def test_a_training_that_is_done_is_not_done_again(trained: Experiment, run: Run, engine: Engine) -> None:
    before = stamp(run.folder / MODEL)
    training = train(trained, run, engine)
    assert training == read_json(run.folder / "train.json")
    assert stamp(run.folder / MODEL) == before


def test_without_its_net_it_trains_again_to_the_same_bytes(trained: Experiment, run: Run, engine: Engine) -> None:
    before = (run.folder / MODEL).read_bytes()
    (run.folder / MODEL).unlink()
    training = train(trained, run, engine)
    assert (run.folder / MODEL).read_bytes() == before
    assert training["attempts"] == 2


@pytest.mark.parametrize("name", ["train_val.prototxt", "solver.prototxt"])
def test_a_prototxt_that_is_not_the_rendered_one_is_refused(
    trained: Experiment, run: Run, engine: Engine, name: str
) -> None:
    (run.folder / "train.json").unlink()
    (run.folder / name).write_text((run.folder / name).read_text() + "# edited\n")
    with pytest.raises(RunFailed, match=rf"{name}: not as its template renders it now; run `python -m tools render"):
        train(trained, run, engine)
    (run.folder / name).unlink()
    with pytest.raises(RunFailed, match=rf"{name}: not there; run `python -m tools render"):
        train(trained, run, engine)


def test_an_engine_that_aborts_fails_the_run_with_its_last_words(
    trained: Experiment, run: Run, engine: Engine, tmp_path: Path
) -> None:
    (run.folder / "train.json").unlink()
    version = f'[ "$1" != --version ] || exec {engine.path} --version'
    broken = Engine(stand_in(tmp_path / "bin", "caffe", f"{version}; echo 'out of memory' >&2; exit 2"))
    with pytest.raises(RunFailed, match=r"(?s)start\.log: caffe failed \(exit 2\); it said last:\n    out of memory"):
        train(trained, run, broken)
    assert not (run.folder / "train.json").exists()


def test_with_resume_a_second_attempt_goes_on_from_the_last_snapshot(
    trained: Experiment, engine: Engine, tmp_path: Path
) -> None:
    exp = load(Path("experiments/quick.yaml"), "snapshot=20 resume=true")
    run = find_run(exp, "caffe", "A2B/n0004/base/seed0")
    write(exp, run)
    killed = f'[ "$1" != --version ] || exec {engine.path} --version; {engine.path} "$@"; exit 1'
    with pytest.raises(RunFailed, match="caffe failed"):
        train(exp, run, Engine(stand_in(tmp_path / "bin", "caffe", killed)))
    for last in run.folder.glob("net_iter_40.*"):
        last.unlink()
    training = train(exp, run, engine)
    assert training["attempts"] == 2
    log = (run.folder / "caffe.log").read_text()
    assert log.count("# ") == 2 and f"--snapshot={run.folder}/net_iter_20.solverstate" in log
    assert "Iteration 0," not in log.rpartition("# ")[2]


def test_with_resume_it_goes_on_from_the_newest_whole_snapshot_though_the_folder_was_moved(
    trained: Experiment, engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    exp = load(Path("experiments/quick.yaml"), "snapshot=10 resume=true")
    run = find_run(exp, "caffe", "A2B/n0004/S1T/seed0")
    for key in ("B2A/n0012/base/seed0", "A2B/n0004/S1T/seed0"):
        write(exp, find_run(exp, "caffe", key))
    run_one(exp, find_run(exp, "caffe", "B2A/n0012/base/seed0"), engine)
    killed = f'case "$2" in *start.prototxt|"") exec {engine.path} "$@";; esac; {engine.path} "$@"; exit 1'
    with pytest.raises(RunFailed, match="caffe failed"):
        train(exp, run, Engine(stand_in(tmp_path / "bin", "caffe", killed)))
    for name in ("net_iter_40.caffemodel", "net_iter_30.solverstate"):
        (run.folder / name).write_bytes((run.folder / name).read_bytes()[:-7])
    state = run.folder / "net_iter_20.solverstate"
    message = SolverState.FromString(state.read_bytes())
    message.learned_net = "models/old-name/net_iter_20.caffemodel"
    state.write_bytes(message.SerializeToString())
    capsys.readouterr()
    training = train(exp, run, engine)
    assert (training["attempts"], training["resumed_at"]) == (2, [20])
    assert training["proofs"]["end"] == {"frozen_equal": 1, "learning_moved": 2}
    said = capsys.readouterr().out
    assert "net_iter_40.solverstate: passed over: " in said and "net_iter_30.solverstate: passed over: not a" in said
    assert "restoring history" in (run.folder / "caffe.log").read_text()


def test_a_snapshot_that_the_engine_refuses_by_name_is_passed_over(
    trained: Experiment, engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    exp = load(Path("experiments/quick.yaml"), "snapshot=10 resume=true")
    run = find_run(exp, "caffe", "A2B/n0004/base/seed0")
    write(exp, run)
    killed = f'[ "$1" != --version ] || exec {engine.path} --version; {engine.path} "$@"; exit 1'
    with pytest.raises(RunFailed, match="caffe failed"):
        train(exp, run, Engine(stand_in(tmp_path / "bin", "caffe", killed)))
    refuses = 'case "$3" in *_40.*|*_30.*) echo "F1128 10:00:00.0 1 x.cpp:1] ${3#*=}.more: damaged" >&2; exit 1;; esac'
    training = train(exp, run, Engine(stand_in(tmp_path / "bin", "caffe", f'{refuses}; exec {engine.path} "$@"')))
    assert (training["attempts"], training["resumed_at"]) == (2, [20])
    assert capsys.readouterr().out.count("passed over: F1128") == 2


def test_the_command_says_what_was_proved(trained: Experiment, capsys: pytest.CaptureFixture) -> None:
    main(["experiments/quick.yaml", "A2B/n0004/S1T/seed0"])
    main(["experiments/quick.yaml", "A2B/n0004/base/seed0"])
    first, second = capsys.readouterr().out.splitlines()
    assert re.match(
        r"models/quick/A2B/n0004/S1T/seed0: trained in [\d.]+ s: net_iter_40.caffemodel; proofs: {'start", first
    )
    assert second.endswith("proofs: nothing was copied")
