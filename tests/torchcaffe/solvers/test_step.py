"""An iteration that is recorded and replayed gives the same numbers, bit for bit, as one that runs layer by layer.

On the CPU the recording is CpuReplay (recording.py) or, stricter, a tape of the PyTorch calls that a CUDA graph would
hold (tests/helpers/call_tape.py). test_gpu.py tests real CUDA graphs.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

import torchcaffe as caffe
from tests.helpers import engine_runs, small_net, solver_steps
from tests.helpers.call_tape import on_tape
from tests.helpers.step_runs import ACCURACY, SOLVERS, STATIC, experiment, outcome
from torchcaffe.common import context
from torchcaffe.solvers import step
from torchcaffe.solvers.recording import Recording


@pytest.mark.parametrize("settings", SOLVERS.values(), ids=SOLVERS.keys())
def test_a_static_run_writes_the_bytes_and_the_lines_of_a_plain_one(tmp_path: Path, small_data: Path, settings) -> None:
    """Weights, history, random state, every loss and rate; crop, mirror and dropout included."""
    plain, streamed, resident = (
        outcome(experiment(tmp_path / name, small_data, settings, ACCURACY), *small_net.TRAIN, *flags)
        for name, flags in {"plain": (), "static": (STATIC,), "held": (STATIC, "--data=resident")}.items()
    )
    assert len(plain[0]) == 6
    assert len(plain[1]) > 100
    assert streamed == plain
    assert resident == plain


def test_a_static_run_resumes_to_the_bytes_of_one_without_a_break(tmp_path: Path, small_data: Path) -> None:
    settings = 'base_lr: 0.05 momentum: 0.9 lr_policy: "step" gamma: 0.5 stepsize: 7'
    straight = experiment(tmp_path / "straight", small_data, settings)
    right, _ = outcome(straight, *small_net.TRAIN)
    for flags in ((STATIC,), (STATIC, "--data=resident"), ("--data=resident",)):
        folder = tmp_path / "resumed"
        shutil.copytree(straight, folder)
        for path in folder.glob("out_iter_20*"):
            path.unlink()
        assert outcome(folder, *small_net.RESUME, *flags)[0] == right, flags
        shutil.rmtree(folder)


@pytest.fixture(params=["CPU replay", "tape"])
def static(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Steps of solvers that a script creates are static, with either kind of recording."""
    caffe.set_mode_cpu()
    if request.param == "tape":
        on_tape(monkeypatch)
    yield
    context.set_execution()


FIXED = 'base_lr: 0.1 momentum: 0.9 lr_policy: "fixed"'
FROZEN = "param { lr_mult: 0 } param { lr_mult: 0 }"


def fed_solver(folder: Path, settings: str = FIXED, mults: str = solver_steps.MULTS) -> caffe.SGDSolver:
    """A solver whose batch is set by `feed`; `mults` are the multipliers of the convolution."""
    (folder / "net.prototxt").write_text(solver_steps.NET.format(mults=mults))
    text = f'net: "{folder}/net.prototxt" random_seed: 3 solver_mode: CPU snapshot_prefix: "{folder}/out" {settings}'
    (folder / "solver.prototxt").write_text(text)
    solver = caffe.get_solver(folder / "solver.prototxt")
    feed(solver, 1)
    return solver


def feed(solver: caffe.SGDSolver, seed: int, count: int = 8) -> None:
    random = np.random.default_rng(seed)
    solver.net.blobs["x"].reshape(count, 2, 6, 6)
    solver.net.blobs["label"].reshape(count)
    solver.net.blobs["x"].data = random.standard_normal((count, 2, 6, 6)).astype(np.float32)
    solver.net.blobs["label"].data = random.integers(0, 5, count).astype(np.float32)


def everything(solver: caffe.SGDSolver) -> dict[str, np.ndarray]:
    arrays = {f"blob {name}": blob.data.copy() for name, blob in solver.net.blobs.items()}
    arrays |= {f"grad {name}": blob.diff.copy() for name, blob in solver.net.blobs.items()}
    for name, blobs in solver.net.params.items():
        for index, blob in enumerate(blobs):
            arrays |= {f"weights {name} {index}": blob.data.copy(), f"diff {name} {index}": blob.diff.copy()}
    return arrays


def agree(folder: Path, work: object, *settings: str) -> None:
    """After `work` on a solver, all blobs are the same whether its steps are static or eager."""
    left = []
    for way in ("eager", "static"):
        context.set_execution(step=way)
        solver = fed_solver(folder, *settings)
        work(solver)
        left.append(everything(solver))
    assert left[0].keys() == left[1].keys()
    for name, right in left[0].items():
        assert np.array_equal(left[1][name], right), name


def test_blobs_hold_what_the_last_step_left_in_them(tmp_path: Path, static: None) -> None:
    agree(tmp_path, lambda solver: solver.step(6))


def test_a_pass_of_ones_own_between_two_steps_disturbs_nothing(tmp_path: Path, static: None) -> None:
    def work(solver: caffe.SGDSolver) -> None:
        for _ in range(6):
            solver.step(1)
            solver.net.forward()
            solver.net.backward()

    agree(tmp_path, work)


def test_batches_set_from_outside_are_read_and_may_change_their_shape(tmp_path: Path, static: None) -> None:
    def work(solver: caffe.SGDSolver) -> None:
        for seed in range(14):
            feed(solver, seed, count=8 if seed < 7 else 5)
            solver.step(1)

    agree(tmp_path, work)


def test_weights_that_a_script_sets_or_shares_are_those_that_are_trained(tmp_path: Path, static: None) -> None:
    def work(solver: caffe.SGDSolver) -> None:
        solver.step(5)
        solver.net.params["ip"][0].data = np.full(solver.net.params["ip"][0].shape, 0.01, np.float32)
        solver.step(5)
        other = caffe.Net(tmp_path / "net.prototxt", caffe.TRAIN)
        for name, blobs in other.params.items():
            for index, blob in enumerate(blobs):
                blob.data = solver.net.params[name][index].data * 0.5
        solver.net.share_with(other)
        solver.step(5)

    agree(tmp_path, work)


def test_a_restored_snapshot_is_gone_on_from_also_where_steps_are_recorded(tmp_path: Path, static: None) -> None:
    """The frozen convolution has momentum in the snapshot, but had none when its update was recorded."""

    def work(solver: caffe.SGDSolver) -> None:
        solver.step(5)
        solver.snapshot()
        state = f"{tmp_path}/out_iter_5.solverstate"
        solver.core.updater.history[0].add_(0.5)
        solver.snapshot()
        solver.core.updater.history[0].zero_()
        solver.step(5)
        solver.restore(state)
        solver.step(5)

    agree(tmp_path, work, FIXED, FROZEN)


@pytest.mark.parametrize("policy", solver_steps.POLICIES)
def test_every_policy_keeps_its_rate(tmp_path: Path, static: None, policy: str) -> None:
    agree(
        tmp_path,
        lambda solver: solver.step(12),
        f"base_lr: 0.1 momentum: 0.9 max_iter: 50 {solver_steps.POLICIES[policy]}",
    )


def recordings(solver: caffe.SGDSolver) -> tuple[int, bool]:
    """How many passes are recorded, and whether the update is."""
    found = solver.core._step
    assert isinstance(found, step.StaticStep)
    assert all(isinstance(each, Recording) for each in found._recorded_passes.values())
    return len(found._recorded_passes), found._recorded_update is not None


def test_steps_are_recorded_after_two_and_the_update_unless_its_numbers_change(tmp_path: Path, static: None) -> None:
    context.set_execution(step="static")
    for settings, expected in {
        FIXED: (1, True),
        f"{FIXED} iter_size: 2": (2, True),
        f"{FIXED} clip_gradients: 1": (1, False),
        'base_lr: 0.1 momentum: 0.9 lr_policy: "inv" gamma: 0.1 power: 0.75': (1, False),
        'base_lr: 0.1 momentum: 0.9 lr_policy: "step" gamma: 0.1 stepsize: 2': (1, True),
        f'{FIXED} type: "Adam"': (1, False),
        'base_lr: 0.1 lr_policy: "fixed" type: "AdaGrad"': (1, True),
    }.items():
        solver = fed_solver(tmp_path, settings)
        solver.step(2)
        assert recordings(solver) == (0, False)
        solver.step(8)
        assert recordings(solver) == expected, settings


def test_a_recorded_result_lies_where_it_lay_and_the_losses_shown_are_no_part_of_it(tmp_path, static) -> None:
    context.set_execution(step="static")
    solver = fed_solver(tmp_path, 'base_lr: 0.1 momentum: 0.9 lr_policy: "fixed" average_loss: 6')
    solver.step(3)
    places = [blob.value.data_ptr() for blob in solver.net.blobs.values()]
    solver.step(5)
    assert [blob.value.data_ptr() for blob in solver.net.blobs.values()] == places
    losses = [float(loss) for loss, _ in solver.core.smoothed._waiting]
    assert len(set(losses)) == 5, "the losses of different iterations share their memory"
    assert losses == sorted(losses, reverse=True)


FROM_FILES = {
    "HDF5Data": 'type: "HDF5Data" top: "data" top: "label" hdf5_data_param { source: "rows" batch_size: 3 }',
    "ImageData": 'type: "ImageData" top: "data" top: "label" image_data_param { source: "images" batch_size: 1 }',
    "DummyData": """type: "DummyData" top: "data" top: "label" dummy_data_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 }
        shape { dim: 2 } data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 3 } }""",
}
BEHIND = """
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "scale" type: "Power" bottom: "pool" top: "pool" power_param { scale: 0.01 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def make_files(folder: Path) -> None:
    """`rows`, a list of one HDF5 file, and `images`, a list of images of two sizes."""
    random = np.random.default_rng(2)
    with h5py.File(folder / "rows.h5", "w") as file:
        file["data"] = random.standard_normal((7, 3, 6, 6)).astype(np.float32) * 100
        file["label"] = random.integers(0, 5, 7).astype(np.float32)
    (folder / "rows").write_text("rows.h5\n")
    for index in range(6):
        cv2.imwrite(str(folder / f"{index}.png"), random.integers(0, 256, (6 + index // 4, 7, 3), np.uint8))
    (folder / "images").write_text("".join(f"{index}.png {index % 5}\n" for index in range(6)))


@pytest.mark.parametrize("kind", FROM_FILES)
def test_other_layers_of_data_feed_a_recorded_step_also_with_images_of_other_sizes(tmp_path: Path, kind: str) -> None:
    found = []
    for flags in ((), (STATIC,), (STATIC, "--data=resident")):
        folder = tmp_path / "-".join(("run", *flags))
        folder.mkdir()
        make_files(folder)
        (folder / "net.prototxt").write_text(f'layer {{ name: "data" {FROM_FILES[kind]} }} {BEHIND}')
        (folder / "solver.prototxt").write_text(f"{small_net.RUN} base_lr: 0.05 momentum: 0.9\n")
        found.append(outcome(folder, *small_net.TRAIN, *flags))
    assert len(found[0][1]) > 40
    assert found[1] == found[2] == found[0]


SHARED = """
layer { name: "s1" type: "Scale" bottom: "ip" top: "s1" param { name: "s" } scale_param { filler { value: 1 } } }
layer { name: "flat" type: "Reshape" bottom: "s1" top: "flat" reshape_param { shape { dim: 0 dim: 5 dim: 1 } } }
layer { name: "s2" type: "Scale" bottom: "flat" top: "s2" param { name: "s" share_mode: PERMISSIVE }
  scale_param { num_axes: 2 filler { value: 1 } } }
"""
INTO_FILE = 'bottom: "ip" bottom: "label" hdf5_output_param { file_name: "o" }'


@pytest.mark.parametrize(
    ("settings", "layers", "reason"),
    [
        ("debug_info: true", "", "debug_info: true prints each layer's values"),
        ("snapshot_diff: true", "", "snapshot_diff: true replaces each gradient by its update"),
        ("iter_size: 2", SHARED, "with iter_size, gradients add up in parameters that are shared in another shape"),
        ("", f'layer {{ name: "out" type: "HDF5Output" {INTO_FILE} }}', "the layer out (HDF5Output) works on the host"),
    ],
)
def test_what_cannot_be_recorded_runs_layer_by_layer_and_the_log_says_why(
    tmp_path, small_data, settings, layers, reason
):
    folder = experiment(tmp_path / "run", small_data, f"base_lr: 0.05 max_iter: 1 snapshot: 0 {settings}", layers)
    text = (folder / "solver.prototxt").read_text().replace("max_iter: 20 snapshot: 10", "")
    (folder / "solver.prototxt").write_text(text)
    run = engine_runs.ours(folder, *small_net.TRAIN, STATIC)
    said = f"I solver.cpp:57] The step is not recorded but runs layer by layer: {reason}"
    assert run.lines("The step") == [said], run.log[-2000:]
    assert run.lines("Iteration 0, loss")
