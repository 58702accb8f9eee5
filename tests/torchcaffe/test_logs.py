"""The whole log beside Caffe's, line for line, for the settings of solvers and nets that change what it says."""

import re
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from tests.helpers import engine_runs

NET = """
name: "Small"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { scale: 0.0078125 mean_value: 128 }
  data_param { source: "train" batch_size: 10 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST not_stage: "other" }
  transform_param { scale: 0.0078125 mean_value: 120 mean_value: 128 mean_value: 130 crop_size: 60 mirror: true }
  data_param { source: "val" batch_size: 7 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST stage: "other" }
  transform_param { scale: 0.0078125 crop_size: 60 } data_param { source: "train" batch_size: 30 backend: LMDB } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE kernel_size: 20 stride: 20 } }
layer { name: "pool_t" type: "ReLU" bottom: "pool" top: "pool_t" }
layer { name: "flat" type: "Pooling" bottom: "pool_t" top: "flat" pooling_param { pool: AVE global_pooling: true } }
layer { name: "ip" type: "InnerProduct" bottom: "flat" top: "ip" param { name: "w" } param { lr_mult: 2 }
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "ip2" type: "InnerProduct" bottom: "ip" top: "ip2" param { name: "w" }
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.1 } } }
layer { name: "score" type: "InnerProduct" bottom: "ip2" top: "score"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "accuracy" type: "Accuracy" bottom: "score" bottom: "label" top: "accuracy" top: "class" }
layer { name: "top2" type: "Accuracy" bottom: "score" bottom: "label" top: "top2" accuracy_param { top_k: 2 } }
layer { name: "aux" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "a_loss" loss_weight: 0.3 }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" }
"""

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


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_the_log_is_caffes_line_for_line(caffe: Path, tmp_path: Path, settings: dict) -> None:
    write(tmp_path, settings)
    right = engine_runs.real(caffe, tmp_path, "train", "--solver=solver.prototxt")
    found = engine_runs.ours(tmp_path, "train", "--solver=solver.prototxt")
    assert (found.code, right.code) == (0, 0), found.log[-2000:] + right.log[-2000:]
    engine_runs.same(found, right)


@pytest.mark.parametrize("settings", [{}, {"display": 0}, {"iter_size": 2}], ids=["displayed", "tests only", "in two"])
def test_the_sizes_of_debug_info_are_caffes(caffe: Path, tmp_path: Path, settings: dict) -> None:
    """Caffe adds up the absolute values in float32, so that a few last digits differ."""
    write(tmp_path, {"debug_info": "true", "max_iter": 10, "base_lr": 0.01} | settings)
    right = engine_runs.real(caffe, tmp_path, "train", "--solver=solver.prototxt")
    found = engine_runs.ours(tmp_path, "train", "--solver=solver.prototxt")
    assert (found.code, right.code) == (0, 0), found.log[-2000:] + right.log[-2000:]
    lines = len(found.lines("[Forward]", "[Backward]"))
    assert lines > 100
    assert engine_runs.same(found, right, last_digits=lines // 20) < lines // 20


def test_debug_info_of_a_net_holds_where_there_is_no_solver(caffe: Path, tmp_path: Path) -> None:
    write(tmp_path, {"max_iter": 1, "snapshot": 1}, net=NET + "debug_info: true")
    engine_runs.real(caffe, tmp_path, "train", "--solver=solver.prototxt")
    arguments = ("test", "--model=net.prototxt", "--weights=out_iter_1.caffemodel", "--iterations=2")
    right, found = engine_runs.real(caffe, tmp_path, *arguments), engine_runs.ours(tmp_path, *arguments)
    assert (found.code, right.code) == (0, 0), found.log[-2000:] + right.log[-2000:]
    engine_runs.same(found, right)
    assert found.lines("[Forward]")
    assert not found.lines("[Backward]")


@pytest.mark.slow
def test_several_weights_are_loaded_one_after_the_other(caffe: Path, tmp_path: Path) -> None:
    write(tmp_path, {"max_iter": 3, "snapshot_prefix": '"first"'})
    engine_runs.real(caffe, tmp_path, "train", "--solver=solver.prototxt")
    (tmp_path / "net.prototxt").write_text(NET.replace('"ip2"', '"ip2_b"'))
    write(tmp_path, {"max_iter": 3, "snapshot_prefix": '"second"'}, net=NET.replace('name: "ip2"', 'name: "other"'))
    engine_runs.real(caffe, tmp_path, "train", "--solver=solver.prototxt")
    arguments = ("train", "--solver=solver.prototxt", "--weights=first_iter_3.caffemodel, second_iter_3.caffemodel")
    write(tmp_path, {"max_iter": 3}, net=NET.replace('name: "score"', 'name: "new"'))
    right, found = engine_runs.real(caffe, tmp_path, *arguments), engine_runs.ours(tmp_path, *arguments)
    assert (found.code, right.code) == (0, 0), found.log[-2000:] + right.log[-2000:]
    engine_runs.same(found, right)
    assert found.lines().count("I net.cpp:746] Ignoring source layer score") == 4  # two files, two nets


def test_levels_and_stages_of_the_command_line_reach_the_train_net(caffe: Path, tmp_path: Path) -> None:
    extra = 'layer { name: "x" type: "Silence" bottom: "top2" include { min_level: 2 stage: "quiet" } }\n'
    write(tmp_path, {"max_iter": 2}, net=NET + extra)
    arguments = ("train", "-solver", "solver.prototxt", "--level=2", "--stage=quiet,more")
    right, found = engine_runs.real(caffe, tmp_path, *arguments), engine_runs.ours(tmp_path, *arguments)
    assert (found.code, right.code) == (0, 0), found.log[-2000:] + right.log[-2000:]
    engine_runs.same(found, right)
    assert not [line for line in found.lines("Train net output") if " top2 = " in line]


@pytest.mark.slow
def test_without_its_side_file_a_resumed_run_logs_what_caffe_logs(caffe: Path, tmp_path: Path) -> None:
    write(tmp_path, {})
    engine_runs.real(caffe, tmp_path, "train", "--solver=solver.prototxt")
    arguments = ("train", "--solver=solver.prototxt", "--snapshot=out_iter_10.solverstate")
    right, found = engine_runs.real(caffe, tmp_path, *arguments), engine_runs.ours(tmp_path, *arguments)
    assert (found.code, right.code) == (0, 0), found.log[-2000:] + right.log[-2000:]
    engine_runs.same(found, right)


def write(folder: Path, settings: dict, net: str = NET) -> None:
    if not (folder / "train").exists():
        engine_runs.make_data(folder)
    (folder / "net.prototxt").write_text(net)
    given = {"base_lr": 0.0001, "test_iter": 3} | settings
    text = engine_runs.solver_text(**{name: value for name, value in given.items() if value is not None})
    dropped = [name for name, value in given.items() if value is None]
    lines = [line for line in text.splitlines() if line.split(":")[0] not in dropped]
    (folder / "solver.prototxt").write_text("\n".join(lines).replace("test_state: {", "test_state {"))


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
        assert len([line for line in log if SPEED.search(line)]) == 4, engine  # displays at 0, 5, 10, 15
    assert found["torchcaffe"] == found["caffe"]
    assert {name: len(matches) for name, matches in found["caffe"].items()} == {
        "iteration": 12,
        "train": 32,
        "test": 24,
        "rate": 4,
    }
