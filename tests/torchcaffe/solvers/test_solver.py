"""Whole trainings in both engines: the log is Caffe's line for line, for many settings."""

import re
import shutil
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from caffeformat import blobs, prototxt
from tests.helpers import engine_runs
from tests.helpers.both_engines import Figures
from tests.helpers.log_runs import write
from tests.helpers.small_net import TRAIN
from tests.helpers.snapshot_distance import compare_snapshots
from tools.caffe_log import LogReader

SETTINGS = {
    "as usual": {},
    "several test nets": {
        "test_iter": "3 test_iter: 2",
        "test_state": '{ } test_state { stage: "other" }',
        "test_compute_loss": "true",
    },
    "smoothed losses": {"average_loss": 4, "display": 3},
    "several batches a step": {"iter_size": 3},
    "clipped": {"clip_gradients": 0.001},
    "steps": {"lr_policy": '"multistep"', "stepvalue": "3 stepvalue: 8", "gamma": 0.5},
    "no display": {"display": 0},
    "no first test, no last snapshot": {"test_initialization": "false", "snapshot_after_train": "false", "snapshot": 0},
    "nets apart": {"train_net": '"net.prototxt"', "test_net": '"net.prototxt"', "net": None},
    "no prefix": {"snapshot_prefix": None},
    "old type": {"solver_type": "SGD"},
    "an untidy end": {"max_iter": 13},
    "a seed and an L1": {"random_seed": 12345, "regularization_type": '"L1"', "weight_decay": 0.001},
}


FAST = ("as usual", "several batches a step")


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(x, marks=pytest.mark.slow) for x in SETTINGS if x not in FAST)])
def test_the_log_is_caffes_line_for_line(caffe: Path, tmp_path: Path, name: str) -> None:
    write(tmp_path, SETTINGS[name])
    right = engine_runs.real(caffe, tmp_path, "train", "--solver=solver.prototxt")
    found = engine_runs.ours(tmp_path, "train", "--solver=solver.prototxt")
    assert (found.code, right.code) == (0, 0), found.log[-2000:] + right.log[-2000:]
    engine_runs.same(found, right)


# What Caffe's own tools/extra/parse_log.py looks for in a line, and what it takes from its first two words.
OF_PARSE_LOG = {
    "iteration": r"Iteration (\d+)",
    "train": r"Train net output #(\d+): (\S+) = ([.\deE+-]+)",
    "test": r"Test net output #(\d+): (\S+) = ([.\deE+-]+)",
    "rate": r"lr = ([-+]?[0-9]*\.?[0-9]+([eE]?[-+]?[0-9]+)?)",
}

SPEED = re.compile(r"Iteration \d+ \(-?[\d.e+-]+ iter/s, [\d.e-]+s/\d+ iters\), loss = [\d.e+-]+$")


@pytest.mark.slow
def test_caffes_own_reader_of_logs_finds_the_same_in_both(caffe: Path, tmp_path: Path) -> None:
    write(tmp_path, {})
    found = {}
    for engine, run in (("caffe", partial(engine_runs.real, caffe)), ("torchcaffe", engine_runs.ours)):
        log = run(tmp_path, "train", "--solver=solver.prototxt").log.splitlines()
        start = next(i for i, line in enumerate(log) if "Solving" in line)
        lines = [line for line in log[start:] if "Restarting" not in line]  # another thread's
        times = [datetime.strptime(" ".join(line.split()[:2]), "I%m%d %H:%M:%S.%f") for line in lines]
        assert times == sorted(times), engine
        found[engine] = {
            name: [m.groups() for line in log if (m := re.search(pattern, line))]
            for name, pattern in OF_PARSE_LOG.items()
        }
        shown = log
        if engine == "caffe":  # its first rate is of a float that it never sets (iterations_last_ of solver.hpp)
            shown = [re.sub(r"(Iteration 0 \()-?(?:nan|inf) ", r"\g<1>0 ", line) for line in log]
        assert len([line for line in shown if SPEED.search(line)]) == 4, engine  # displays at 0, 5, 10, 15
    assert found["torchcaffe"] == found["caffe"]
    assert {name: len(matches) for name, matches in found["caffe"].items()} == {
        "iteration": 12,
        "train": 32,
        "test": 24,
        "rate": 4,
    }


# Of weights and history after ten iterations. A unit that turns off in one engine alone makes 1e-3.
CONTINUED = 1e-2


@pytest.fixture(scope="module")
def plateau(caffe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, engine_runs.Run]:
    """One seeded run of each engine, with crop, mirror and dropout, while AlexNet has not begun to learn."""
    done = {}
    for engine in ("caffe", "torchcaffe"):
        folder = tmp_path_factory.mktemp(engine)
        engine_runs.make_experiment(
            folder, engine_runs.slim_alexnet(), max_iter=100, test_interval=25, snapshot=50, display=1
        )
        done[engine] = (
            engine_runs.real(caffe, folder, *TRAIN) if engine == "caffe" else engine_runs.ours(folder, *TRAIN)
        )
        assert done[engine].code == 0, done[engine].log[-2000:]
    return done


@pytest.mark.slow
def test_a_seeded_log_is_caffes_line_for_line(plateau: dict[str, engine_runs.Run], figures: Figures) -> None:
    """Every line: solver and net dump, layers, shapes, losses, tests, rates, snapshots; only the speed differs."""
    right, found = plateau["caffe"].lines(), plateau["torchcaffe"].lines()
    restarts = [line for line in right if "Restarting data" in line]
    assert len(restarts) > 5
    # Caffe's prefetch thread prints these lines at any time, and reads ahead at the end: place and number vary.
    right, found = ([line for line in lines if "Restarting data" not in line] for lines in (right, found))
    assert found == right
    assert len([line for line in right if "Test net output" in line]) == 2 * 5
    figures.note("seeded AlexNet run: log lines that differ", sum(a != b for a, b in zip(found, right, strict=True)), 0)


@pytest.mark.slow
def test_the_lines_about_the_data_are_as_many(plateau: dict[str, engine_runs.Run]) -> None:
    right, found = (len(plateau[engine].lines("Restarting data")) for engine in ("caffe", "torchcaffe"))
    assert abs(right - found) <= 1


@pytest.mark.slow
def test_the_pipelines_reader_reads_both_logs_to_the_same_tables(plateau: dict[str, engine_runs.Run]) -> None:
    tables = {}
    for engine, run in plateau.items():
        reader = LogReader()
        for line in run.log.splitlines():
            reader.feed(line)
        log = reader.finish()
        assert (log.finished, log.attempts, log.fatal) == (True, 1, [])
        tables[engine] = [
            {name: value for name, value in row.items() if name != "Seconds"}
            for table in (log.train, log.test)
            for row in table.rows()
        ]
    assert len(tables["caffe"]) == 101 + 5
    assert tables["torchcaffe"] == tables["caffe"]


@pytest.mark.slow
def test_weights_and_history_are_where_caffes_are_after_ten_iterations(learning, figures: Figures) -> None:
    apart = compare_snapshots(learning["torchcaffe"], learning["caffe"], 10)
    figures.note("10 iterations of a net that learns: weights and history", apart, CONTINUED)


@pytest.mark.slow
def test_a_resumed_frozen_layer_moves_by_its_old_momentum_as_in_caffe(caffe, learning, tmp_path, figures) -> None:
    ends = {}
    for engine in ("caffe", "torchcaffe"):
        folder = ends[engine] = tmp_path / engine
        shutil.copytree(learning["caffe"], folder)
        net = engine_runs.slim_alexnet(xavier=True)
        for layer in net.layer:
            for param in layer.param if layer.name == "conv1" else []:
                param.lr_mult = 0
        (folder / "net.prototxt").write_text(prototxt.to_text(net))
        (folder / "solver.prototxt").write_text(engine_runs.solver_text(max_iter=12, snapshot=12))
        resume = (*TRAIN, "--snapshot=out_iter_10.solverstate")
        run = engine_runs.real(caffe, folder, *resume) if engine == "caffe" else engine_runs.ours(folder, *resume)
        assert run.code == 0, run.log[-2000:]
    before, after = (blobs.layer_blob_bytes(ends["caffe"] / f"out_iter_{n}.caffemodel") for n in (10, 12))
    assert before["conv1"][0] != after["conv1"][0]
    figures.note("frozen, with momentum left", compare_snapshots(ends["torchcaffe"], ends["caffe"], 12), 1e-5)


@pytest.mark.parametrize("snapshot", ["", "snapshot: 0", "snapshot: 0 snapshot_format: HDF5"])
def test_a_folder_that_is_missing_is_told_before_the_first_iteration_though_caffe_loses_the_net(
    caffe: Path, tmp_path: Path, snapshot: str
) -> None:
    text = """
layer { name: "d" type: "DummyData" top: "x" top: "t" dummy_data_param { shape { dim: 4 dim: 6 } shape { dim: 4 dim: 3 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "gaussian" std: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "loss" }
"""
    (tmp_path / "net.prototxt").write_text(text)
    solver = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 4 display: 1 random_seed: 3 '
    (tmp_path / "solver.prototxt").write_text(f'{solver} snapshot_prefix: "nowhere/s" {snapshot}')
    theirs = engine_runs.real(caffe, tmp_path, "train", "--solver=solver.prototxt")
    assert theirs.code == -6 and theirs.lines("Iteration 3,")
    ours = engine_runs.ours(tmp_path, "train", "--solver=solver.prototxt")
    assert ours.code == 134 and not ours.lines("Iteration 0")
    assert ours.lines("Cannot write to snapshot prefix 'nowhere/s' (No such file or directory).  Make sure that the")
    (tmp_path / "solver.prototxt").write_text(f'{solver} snapshot_prefix: "nowhere/s" snapshot_after_train: false')
    assert engine_runs.ours(tmp_path, "train", "--solver=solver.prototxt").code == 0


OLD_NET = """
layers { name: "data" type: DUMMY_DATA top: "x" top: "label" dummy_data_param { data_filler { type: "gaussian" }
  data_filler { type: "constant" value: 1 } shape { dim: 4 dim: 5 } shape { dim: 4 } } }
layers { name: "ip" type: INNER_PRODUCT bottom: "x" top: "ip" blobs_lr: 1 blobs_lr: 2
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "ip" bottom: "label" top: "loss" }
"""
SHORT = 'base_lr: 0.1 lr_policy: "fixed" max_iter: 4 display: 1 random_seed: 2 solver_mode: CPU snapshot_prefix: "out" '


def test_a_net_of_old_layers_within_the_solver_trains_where_caffe_ends(caffe: Path, tmp_path: Path) -> None:
    """As BVLC's lenet_consolidated_solver.prototxt: Caffe upgrades nets in files of their own only."""
    (tmp_path / "net.prototxt").write_text(OLD_NET)
    (tmp_path / "apart.prototxt").write_text(SHORT + 'net: "net.prototxt"')
    (tmp_path / "within.prototxt").write_text(f"{SHORT} net_param {{ {OLD_NET} }}")
    ended = engine_runs.real(caffe, tmp_path, "train", "--solver=within.prototxt")
    assert ended.code and "end < layers_.size() (-1 vs. 0)" in ended.log
    right = engine_runs.real(caffe, tmp_path, "train", "--solver=apart.prototxt")
    found = engine_runs.ours(tmp_path, "train", "--solver=within.prototxt")
    assert (found.code, right.code) == (0, 0)
    assert found.lines("loss = ") == right.lines("loss = ") != []


@pytest.mark.parametrize(
    ("nets", "line"),
    [('train_net: "net.prototxt"', "135"), ('net: "net.prototxt"', "132")],
    ids=["one for each", "one for each at least"],
)
def test_too_few_test_iter_are_told_as_in_caffe_with_the_line(
    caffe: Path, tmp_path: Path, nets: str, line: str
) -> None:
    (tmp_path / "net.prototxt").write_text(OLD_NET)
    tests = 'test_net: "net.prototxt" test_net: "net.prototxt" test_interval: 1'
    (tmp_path / "solver.prototxt").write_text(f"{SHORT} {nets} {tests}\ntest_iter: 1\n")
    right = engine_runs.real(caffe, tmp_path, "train", "--solver=solver.prototxt")
    found = engine_runs.ours(tmp_path, "train", "--solver=solver.prototxt")
    text = "(1 vs. 2) test_iter must be specified for each test network."
    assert f"solver.cpp:{line}] Check failed: param_.test_iter_size()" in right.log and text in right.log
    assert f"solver.cpp:{line}] Check failed: solver.prototxt:2: {text}" in found.log
