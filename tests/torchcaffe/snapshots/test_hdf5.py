"""HDF5 snapshots: the same files as Caffe's, each engine continues from the other's, and damaged ones are refused."""

import re
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import torchcaffe
from tests.helpers import engine_runs
from tests.helpers.both_engines import Figures, distance
from tests.helpers.small_net import NET, RUN, TRAIN, experiment, fatal

ADAM = 'type: "Adam" base_lr: 0.002 momentum: 0.9 snapshot_format: HDF5'
RESUME = (*TRAIN, "--snapshot=out_iter_10.solverstate.h5")
CONTINUED = 1e-4  # of weights and history after ten more iterations of a net that learns


@pytest.fixture(scope="module")
def trained(caffe: Path, small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each engine after 20 iterations of Adam, with snapshots at 10 and 20 and the log."""
    folders = {}
    for engine in ("real", "ours"):
        folder = folders[engine] = experiment(tmp_path_factory.mktemp(engine), small_data, ADAM)
        run = go(caffe, engine, folder, *TRAIN)
        assert run.code == 0, run.log[-2000:]
        (folder / "log").write_text(run.log)
    return folders


def go(caffe: Path, engine: str, folder: Path, *arguments: str) -> engine_runs.Run:
    return engine_runs.real(caffe, folder, *arguments) if engine == "real" else engine_runs.ours(folder, *arguments)


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Everything in an HDF5 file; groups as empty arrays."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update(
                {name: np.array(item[()], item.dtype) if isinstance(item, h5py.Dataset) else np.empty(0)}
            )
        )
    return found


def apart(found: Path, right: Path) -> float:
    """The largest distance of any array. Names, types and shapes must be equal."""
    mine, theirs = arrays(found), arrays(right)
    assert {name: (array.dtype, array.shape) for name, array in mine.items()} == {
        name: (array.dtype, array.shape) for name, array in theirs.items()
    }
    words = [name for name, array in mine.items() if array.dtype.kind == "S"]
    assert all(mine[name] == theirs[name] for name in words)
    return max(distance(mine[name], theirs[name]) for name in mine if name not in words)


def test_the_files_and_the_log_are_caffes(trained, figures: Figures) -> None:
    for ending in ("caffemodel.h5", "solverstate.h5"):
        name = f"out_iter_10.{ending}"
        figures.note(
            "HDF5 snapshots after 10 iterations", apart(trained["ours"] / name, trained["real"] / name), CONTINUED
        )
    right, found = (engine_runs.Run(0, (trained[engine] / "log").read_text()) for engine in ("real", "ours"))
    engine_runs.same(found, right, last_digits=10)
    assert len(found.lines("HDF5 file")) == 4


@pytest.mark.parametrize("first", ["real", "ours"])
def test_a_run_goes_on_in_the_other_engine(caffe, trained, tmp_path: Path, figures: Figures, first: str) -> None:
    logs = {}
    for second in ("real", "ours"):
        folder = tmp_path / second
        shutil.copytree(trained[first], folder)
        (folder / "out_iter_10.solverstate.h5.torchcaffe").unlink(missing_ok=True)
        logs[second] = go(caffe, second, folder, *RESUME)
        assert logs[second].code == 0, logs[second].log[-2000:]
    for ending in ("caffemodel.h5", "solverstate.h5"):
        names = [tmp_path / engine / f"out_iter_20.{ending}" for engine in ("ours", "real")]
        figures.note("HDF5 snapshots, resumed in the other engine", apart(*names), CONTINUED)
    lines = [logs[engine].lines("Resuming", "restoring", "Snapshotting", "Iteration 10") for engine in ("ours", "real")]
    assert lines[0] == lines[1]


def test_a_resumed_run_equals_one_without_a_break_bit_for_bit(trained, tmp_path: Path) -> None:
    folder = tmp_path / "resumed"
    shutil.copytree(trained["ours"], folder)
    for path in folder.glob("out_iter_20*"):
        path.unlink()
    assert engine_runs.ours(folder, *RESUME).code == 0
    for ending in ("caffemodel.h5", "solverstate.h5"):
        name = f"out_iter_20.{ending}"
        assert (folder / name).read_bytes() == (trained["ours"] / name).read_bytes()


def test_weights_of_either_engine_start_the_same_run_in_both(caffe, trained, tmp_path: Path) -> None:
    """One layer is renamed, so the weights of the old one are ignored."""
    for source in ("real", "ours"):
        found = {}
        for engine in ("real", "ours"):
            folder = tmp_path / source / engine
            shutil.copytree(trained[source], folder)
            (folder / "net.prototxt").write_text(NET.replace('name: "ip"', 'name: "ip_T"'))
            found[engine] = go(caffe, engine, folder, *TRAIN, "--weights=out_iter_20.caffemodel.h5")
            assert found[engine].code == 0, found[engine].log[-2000:]
        words = ("Finetuning", "Ignoring source layer", "Iteration 0,")
        assert found["ours"].lines(*words) == found["real"].lines(*words)
        assert "I net.cpp:801] Ignoring source layer ip" in found["ours"].lines()


def test_a_shared_blob_stands_with_its_owner_only(real_caffe, tmp_path: Path) -> None:
    shared = "".join(
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" param {{ name: "w" }} '
        'inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }\n'
        for name, bottom in (("one", "x"), ("two", "one"))
    )
    net = f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 3 }} }} }}\n{shared}'
    (tmp_path / "net.prototxt").write_text(net)
    settings = f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" random_seed: 3 solver_mode: CPU '
    for engine in ("real", "ours"):
        text = f'{settings} snapshot_format: HDF5 snapshot_prefix: "{tmp_path}/{engine}"'
        (tmp_path / f"{engine}.prototxt").write_text(text)
    program = 'caffe.set_mode_cpu(); solver = caffe.get_solver(given["solver"]); solver.snapshot()'
    real_caffe.run(program, solver=str(tmp_path / "real.prototxt"))
    torchcaffe.set_mode_cpu()
    ours = torchcaffe.get_solver(tmp_path / "ours.prototxt")
    ours.snapshot()
    model = "iter_0.caffemodel.h5"
    assert apart(tmp_path / f"ours_{model}", tmp_path / f"real_{model}") == 0
    assert set(arrays(tmp_path / f"ours_{model}")) >= {"data/one/0", "data/one/1", "data/two/1"}
    assert "data/two/0" not in arrays(tmp_path / f"ours_{model}")
    before = ours.net.params["two"][0].data.copy()
    ours.net.params["one"][0].data[...] = 0
    ours.net.copy_from(tmp_path / f"real_{model}")
    assert np.array_equal(ours.net.params["two"][0].data, before)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3000])


def no_hdf5(path: Path) -> None:
    path.write_bytes(b"nothing of the kind")


def other_shape(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        group = file["history" if "history" in file else "data/ip"]
        del group["0"]
        group["0"] = np.zeros((7, 7), np.float32)


def one_too_few(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["history/3" if "history" in file else "data/ip/1"]


def one_too_many(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["history/99" if "history" in file else "data/ip/2"] = np.zeros(3, np.float32)


def huge(path: Path) -> None:
    """An array that claims a terabyte, although the file is small."""
    with h5py.File(path, "r+") as file:
        group = file["history" if "history" in file else "data/ip"]
        del group["0"]
        group.create_dataset("0", (1 << 20, 1 << 18), np.float32, chunks=(1024, 1024))


def words(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        group = file["history" if "history" in file else "data/ip"]
        shape = group["1"].shape
        del group["1"]
        group["1"] = np.full(shape, b"word")


BROKEN = {
    cut: "damaged",
    no_hdf5: "not an HDF5 snapshot|not a caffemodel",
    other_shape: r"Cannot load blob from hdf5; shape mismatch. Source shape is 7 7 \(49\)",
    one_too_few: "Incorrect length of history blobs|Incompatible number of blobs for layer ip",
    one_too_many: "Incorrect length of history blobs|Incompatible number of blobs for layer ip",
    huge: "shape mismatch",
    words: "floats are needed",
}


@pytest.mark.parametrize("kind", ["caffemodel", "solverstate"])
@pytest.mark.parametrize("damage", BROKEN, ids=lambda damage: damage.__name__)
def test_a_broken_file_is_refused_in_one_line(caffe, trained, tmp_path: Path, damage, kind: str) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(trained["ours"], folder)
    damage(folder / f"out_iter_10.{kind}.h5")
    found, right = engine_runs.ours(folder, *RESUME), engine_runs.real(caffe, folder, *RESUME)
    assert right.code != 0
    assert (found.code, found.log.count("Traceback")) == (134, 0)
    (line,) = [line for line in found.log.splitlines() if "Check failed: " in line]
    assert f"out_iter_10.{kind}.h5" in line
    assert re.search(BROKEN[damage], line), line
    if damage in (other_shape, one_too_few, one_too_many):
        assert fatal(found) == fatal(right)


def test_without_h5py_it_is_told_before_training(small_data, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    folder = experiment(tmp_path, small_data, ADAM)
    found = engine_runs.ours(folder, *TRAIN)
    assert found.code == 134
    assert "solver.prototxt: snapshot_format: HDF5 needs the Python package h5py: `pip install h5py`" in found.log
    assert not list(folder.glob("out_iter*"))
    (folder / "x.solverstate.h5").write_bytes(b"")
    (folder / "solver.prototxt").write_text(f"{RUN} base_lr: 0.1")
    found = engine_runs.ours(folder, *TRAIN, "--snapshot=x.solverstate.h5")
    assert (found.code, "x.solverstate.h5 needs the Python package h5py" in found.log) == (134, True)


def test_a_layer_that_hdf5_cannot_hold_is_told_before_training(caffe, small_data, tmp_path: Path) -> None:
    """Caffe trains to the first snapshot and fails there."""
    folder = experiment(tmp_path, small_data, ADAM)
    (folder / "net.prototxt").write_text(NET.replace('name: "conv" type', 'name: "conv/3x3" type'))
    right, found = engine_runs.real(caffe, folder, *TRAIN), engine_runs.ours(folder, *TRAIN)
    assert found.code == {-6: 134}.get(right.code, right.code) == 134
    assert "HDF5 cannot hold the layer conv/3x3: its name contains a /; use BINARYPROTO" in found.log
    assert fatal(found) == fatal(right)
