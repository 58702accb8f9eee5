"""Snapshots beside Caffe's: each engine continues from the other's, and torchcaffe from its own bit for bit."""

import shutil
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffeformat import FormatError
from tests.helpers import engine_runs, small_net
from tests.helpers.both_engines import Figures
from tests.helpers.damaged_files import SNAPSHOT_PIECES, bounds, damaged, quick
from tests.helpers.log_runs import write
from tests.helpers.small_net import TRAIN
from tests.helpers.snapshot_distance import compare_snapshots
from torchcaffe.common import hdf5_file
from torchcaffe.common.files import write_file
from torchcaffe.common.log import Fatal
from torchcaffe.snapshots import snapshot, weights

# Of weights and history after ten more iterations. A unit that turns off in one engine alone makes 1e-3.
CONTINUED = 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("first", ["caffe", "torchcaffe"])
def test_a_run_goes_on_in_the_other_engine(caffe: Path, learning, tmp_path, figures: Figures, first: str) -> None:
    """Given ten iterations in one engine, when each engine resumes from them, both read the data from the start."""
    ends = {}
    for second in ("caffe", "torchcaffe"):
        folder = ends[second] = tmp_path / second
        shutil.copytree(learning[first], folder)
        (folder / "out_iter_10.solverstate.torchcaffe").unlink(missing_ok=True)
        resume = (*TRAIN, "--snapshot=out_iter_10.solverstate")
        run = engine_runs.real(caffe, folder, *resume) if second == "caffe" else engine_runs.ours(folder, *resume)
        assert run.code == 0, run.log[-2000:]
        assert run.lines("Resuming from", "restoring history") == [
            "I caffe.cpp:235] Resuming from out_iter_10.solverstate",
            "I sgd_solver.cpp:336] SGDSolver: restoring history",
        ]
    figures.note("resumed in the other engine", compare_snapshots(ends["torchcaffe"], ends["caffe"], 20), CONTINUED)


@pytest.mark.slow
def test_a_resumed_run_equals_one_without_a_break_bit_for_bit(learning, tmp_path: Path, figures: Figures) -> None:
    folder = tmp_path / "resumed"
    shutil.copytree(learning["torchcaffe"], folder)
    for suffix in ("caffemodel", "solverstate", "solverstate.torchcaffe"):
        (folder / f"out_iter_20.{suffix}").unlink()
    run = engine_runs.ours(folder, *TRAIN, "--snapshot=out_iter_10.solverstate")
    assert run.code == 0, run.log[-2000:]
    assert compare_snapshots(folder, learning["torchcaffe"], 20, exactly=True) == 0
    straight = engine_runs.Run(0, (learning["torchcaffe"] / "log").read_text())
    words = ("net output", "Iteration 10, loss", "Iteration 15,", "Iteration 20", "lr = ")
    kept = run.lines(*words)
    assert straight.lines(*words)[-len(kept) :] == kept
    figures.note("20 iterations straight, and 10 resumed for 10: weights and history", 0, 0)


@pytest.mark.slow
def test_a_resume_file_of_another_snapshot_is_ignored(learning, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(learning["torchcaffe"], folder)
    shutil.copy(folder / "out_iter_20.solverstate.torchcaffe", folder / "out_iter_10.solverstate.torchcaffe")
    run = engine_runs.ours(folder, *TRAIN, "--snapshot=out_iter_10.solverstate")
    assert run.code == 0
    assert run.lines("belongs to another solverstate")


@pytest.mark.slow
def test_a_resume_file_of_other_nets_is_ignored(learning, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(learning["torchcaffe"], folder)
    text = (folder / "solver.prototxt").read_text().replace("test_iter: 4", "").replace("test_interval: 10", "")
    (folder / "solver.prototxt").write_text(text)
    run = engine_runs.ours(folder, *TRAIN, "--snapshot=out_iter_10.solverstate")
    assert run.code == 0, run.log[-2000:]
    assert run.lines("was written for other nets and is ignored")


@pytest.mark.slow
def test_without_its_resume_file_a_resumed_run_logs_what_caffe_logs(caffe: Path, tmp_path: Path) -> None:
    write(tmp_path, {})
    engine_runs.real(caffe, tmp_path, "train", "--solver=solver.prototxt")
    arguments = ("train", "--solver=solver.prototxt", "--snapshot=out_iter_10.solverstate")
    right, found = engine_runs.real(caffe, tmp_path, *arguments), engine_runs.ours(tmp_path, *arguments)
    assert (found.code, right.code) == (0, 0), found.log[-2000:] + right.log[-2000:]
    engine_runs.same(found, right)


def test_a_moved_snapshot_goes_on_to_the_bytes_of_a_run_without_a_break(trained_small: Path, tmp_path: Path) -> None:
    """Its stored path is gone. Where that is another file, it is read, as Caffe does."""
    folder = tmp_path / "run"
    shutil.copytree(trained_small, folder)
    (folder / "kept").mkdir()
    for path in folder.glob("out_iter_*"):
        path.rename(folder / "kept" / path.name)
    run = engine_runs.ours(folder, *TRAIN, "--snapshot=kept/out_iter_10.solverstate")
    assert run.code == 0, run.log[-2000:]
    (said,) = run.lines("is gone; the weights are read from")
    assert said.endswith("] out_iter_10.caffemodel is gone; the weights are read from kept/out_iter_10.caffemodel")
    for ending in ("caffemodel", "solverstate", "solverstate.torchcaffe"):
        name = f"out_iter_20.{ending}"
        assert (folder / name).read_bytes() == (trained_small / name).read_bytes()
    (folder / "out_iter_10.caffemodel").write_bytes(b"no net")
    again = engine_runs.ours(folder, *TRAIN, "--snapshot=kept/out_iter_10.solverstate")
    assert (again.code, small_net.fatal(again)) == (134, "upgrade_proto.cpp:97")


@pytest.mark.parametrize("format_", ["BINARYPROTO", "HDF5"])
def test_where_a_solverstate_is_its_weights_and_its_resume_file_are_too(
    small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    """A run that ends at any file of its snapshot leaves no solverstate; the earlier snapshot stays whole."""
    folder = small_net.experiment(tmp_path / "run", small_data, f"base_lr: 0.01 snapshot_format: {format_}")
    written: list[str] = []

    def until(path: str, pieces: list[bytes], last: int) -> None:
        written.append(str(path))
        if len(written) == last:
            raise Fatal(f"{path}: the end", "io.cpp:69")
        write_file(path, pieces)

    for last in (4, 5, 6):
        written.clear()
        for module in (snapshot, weights, hdf5_file):
            monkeypatch.setattr(module, "write_file", partial(until, last=last))
        assert engine_runs.ours(folder, *TRAIN).code == 134
        states = {path.name.split(".")[0] for path in folder.glob("*.solverstate*") if path.suffix != ".torchcaffe"}
        assert states == {"out_iter_10"}
    ending = ".h5" if format_ == "HDF5" else ""
    kinds = (f"caffemodel{ending}", f"solverstate{ending}.torchcaffe", f"solverstate{ending}")
    assert written == [f"out_iter_{n}.{kind}" for n in (10, 20) for kind in kinds]
    assert snapshot.read_resume_file(str(folder / f"out_iter_10.solverstate{ending}")) is not None


@quick(60)
@given(data=st.data())
def test_a_damaged_snapshot(trained_small: Path, tmp_path_factory, data: st.DataObject) -> None:
    """A damaged solverstate is read or refused. Every flipped bit of a resume file is noticed."""
    good = {
        name: (trained_small / name).read_bytes()
        for name in ("out_iter_20.solverstate", "out_iter_20.solverstate.torchcaffe")
    }
    name = data.draw(st.sampled_from(list(good)))
    content = data.draw(damaged([good[name]], SNAPSHOT_PIECES))
    folder = tmp_path_factory.getbasetemp()
    for each in good:
        (folder / each).write_bytes(content if each == name else good[each])
    path = str(folder / "out_iter_20.solverstate")
    try:
        with bounds():
            state, history = snapshot.read_state(path, [])
            side = snapshot.read_resume_file(path)
    except FormatError as error:
        assert str(error).startswith(path)
    else:
        assert sum(array.nbytes for array in history) <= len(
            content if name in path else good["out_iter_20.solverstate"]
        )
        assert (side is None) == (content != good[name])
        assert isinstance(state.iter, int)
