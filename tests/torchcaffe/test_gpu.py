"""On a GPU: the numbers of the CPU, a captured step that equals an eager one, resume, precision, memory.

Skipped if PyTorch sees no GPU. The same code is tested on the CPU in test_step.py, test_recording_of_all_types.py,
test_resident.py and test_context.py.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import torchcaffe as caffe
from tests.helpers import engine_runs, small_net
from tests.helpers.both_engines import distance
from tests.helpers.net_of_each_layer import NETS
from tests.helpers.step_runs import ACCURACY, SOLVERS, experiment, outcome
from torchcaffe.common import context

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU"),
]

GPU = "--gpu=0"
SETTINGS = "base_lr: 0.05 momentum: 0.9"
SUMS = 2e-5  # of a blob's largest value: the order in which a GPU adds up
MARGIN = 64 << 20  # bytes that a run of the small net may hold


@pytest.fixture(autouse=True)
def back_on_the_cpu() -> Iterator[None]:
    yield
    caffe.set_mode_cpu()
    caffe.set_precision("fp32")
    context.set_execution()


def use(device: str) -> None:
    caffe.set_mode_cpu() if device == "cpu" else caffe.set_device(0)


def solver_of(folder: Path, net: str, settings: str = 'base_lr: 0.01 momentum: 0.9 lr_policy: "fixed"'):
    (folder / "net.prototxt").write_text(net)
    (folder / "solver.prototxt").write_text(
        f'net: "{folder}/net.prototxt" random_seed: 1 snapshot_prefix: "{folder}/s" {settings}'
    )
    return caffe.get_solver(folder / "solver.prototxt")


def feed(net: caffe.Net, random: np.random.Generator) -> None:
    net.blobs["x"].data = random.standard_normal((8, 4, 9, 9)).astype(np.float32) * 2
    net.blobs["label"].data = random.integers(0, 5, 8).astype(np.float32)


def arrays(net: caffe.Net) -> dict[str, np.ndarray]:
    """All data and gradients."""
    named = {f"blob {name}": blob for name, blob in net.blobs.items()}
    named |= {f"weights {name} {i}": blob for name, many in net.params.items() for i, blob in enumerate(many)}
    return {f"{name} {part}": getattr(blob, part).copy() for name, blob in named.items() for part in ("data", "diff")}


@pytest.mark.parametrize("name", NETS)
def test_a_layer_computes_what_it_does_on_the_cpu(tmp_path: Path, name: str) -> None:
    """Seeded weights are equal bit for bit. Dropout draws other numbers on a GPU, so it runs in the test phase."""
    found = {}
    for device in ("cpu", "cuda"):
        use(device)
        (tmp_path / "net.prototxt").write_text(NETS[name])
        caffe.set_random_seed(1)
        net = caffe.Net(tmp_path / "net.prototxt", caffe.TEST if name == "Dropout" else caffe.TRAIN)
        feed(net, np.random.default_rng(1))
        net.forward()
        net.backward()
        found[device] = arrays(net)
    for key, right in found["cpu"].items():
        if key.startswith("weights") and key.endswith("data") and name not in ("BatchNorm",):
            assert np.array_equal(found["cuda"][key], right), key
        assert distance(found["cuda"][key], right) <= SUMS or np.abs(found["cuda"][key] - right).max() < 1e-6, key


@pytest.mark.parametrize("name", NETS)
def test_a_captured_step_leaves_what_an_eager_one_does(tmp_path: Path, name: str) -> None:
    """Dropout too: replays draw the same numbers as eager steps. Only sums by atomic additions may differ."""
    found = {}
    for way in ("eager", "static"):
        use("cuda")
        context.set_execution(step=way)
        solver, random = solver_of(tmp_path, NETS[name]), np.random.default_rng(1)
        for _ in range(8):
            feed(solver.net, random)
            solver.step(1)
        found[way] = arrays(solver.net)
    for key, right in found["eager"].items():
        assert distance(found["static"][key], right) <= SUMS or np.abs(found["static"][key] - right).max() < 1e-6, key


@pytest.mark.parametrize("settings", SOLVERS.values(), ids=SOLVERS.keys())
def test_captured_and_resident_runs_write_the_bytes_of_an_eager_streamed_one(tmp_path, small_data, settings) -> None:
    """Weights, history, generators and losses, with changes of the rate, tests and snapshots."""
    plain, *others = (
        outcome(experiment(tmp_path / "-".join(flags), small_data, settings, ACCURACY), *small_net.TRAIN, GPU, *flags)
        for flags in (
            ("--step=eager", "--data=streamed"),
            ("--step=static", "--data=streamed"),
            ("--step=eager", "--data=resident"),
            ("--step=auto", "--data=auto"),
        )
    )
    assert len(plain[0]) == 6
    assert len(plain[1]) > 100
    for found in others:
        assert found == plain


def test_a_run_says_that_it_is_captured_and_where_its_data_are(tmp_path: Path, small_data: Path) -> None:
    run = engine_runs.ours(small_net.experiment(tmp_path / "run", small_data, SETTINGS), *small_net.TRAIN, GPU)
    assert run.code == 0, run.log[-2000:]
    assert run.lines("Using GPUs", "GPU 0: ")[0] == "I caffe.cpp:204] Using GPUs 0"
    assert len(run.lines("90 images of 1.106 MB are held on the GPU")) == 1
    assert len(run.lines("The step is captured as CUDA graphs after 2 iterations")) == 1


def test_seeded_weights_are_the_cpus_and_the_first_losses_too(tmp_path: Path) -> None:
    """AlexNet, crop and mirror: before it learns, the loss does not depend on the dropout that each device draws."""
    logs, weights = {}, {}
    for device, flags in (("cpu", ()), ("cuda", (GPU,))):
        folder = tmp_path / device
        folder.mkdir()
        engine_runs.make_experiment(
            folder, engine_runs.slim_alexnet(), max_iter=1, snapshot=0, display=1, test_interval=1
        )
        run = engine_runs.ours(folder, "train", "--solver=solver.prototxt", *flags)
        logs[device] = [float(re.search(r" = (\S+)", line)[1]) for line in run.lines("net output", "Iteration 0, loss")]
        (folder / "solver.prototxt").write_text(engine_runs.solver_text(max_iter=0, snapshot=0))
        assert engine_runs.ours(folder, "train", "--solver=solver.prototxt", *flags).code == 0
        weights[device] = (folder / "out_iter_0.caffemodel").read_bytes()
    assert weights["cuda"] == weights["cpu"]
    assert len(logs["cpu"]) > 5
    assert np.allclose(logs["cuda"], logs["cpu"], rtol=2e-3)


def test_a_resumed_run_equals_one_without_a_break_bit_for_bit(tmp_path: Path, small_data: Path) -> None:
    straight = small_net.experiment(tmp_path / "straight", small_data, SETTINGS)
    right, _ = outcome(straight, *small_net.TRAIN, GPU)
    folder = tmp_path / "resumed"
    shutil.copytree(straight, folder)
    for path in folder.glob("out_iter_20*"):
        path.unlink()
    assert outcome(folder, *small_net.RESUME, GPU)[0] == right


@pytest.mark.parametrize(("first", "second"), [((GPU,), ()), ((), (GPU,))], ids=["GPU to CPU", "CPU to GPU"])
def test_a_run_is_resumed_on_the_other_device_with_its_data_cursor(tmp_path, small_data, first, second) -> None:
    folder = small_net.experiment(tmp_path / "run", small_data, SETTINGS)
    assert engine_runs.ours(folder, *small_net.TRAIN, *first).code == 0
    run = engine_runs.ours(folder, *small_net.RESUME, *second)
    assert run.code == 0, run.log[-2000:]
    assert not run.lines("is ignored")


def test_fp32_is_without_tf32_and_tf32_and_bf16_are_what_they_say() -> None:
    caffe.set_device(0)
    random = torch.Generator("cuda").manual_seed(1)
    a, b = (torch.randn(1024, 1024, device="cuda", generator=random) for _ in range(2))
    x, w = (torch.randn(8, 64, 16, 16, device="cuda", generator=random) for _ in range(2))
    exact = (a.double() @ b.double(), torch.conv2d(x.double(), w[:, :, :3, :3].double()))
    errors = {}
    for precision in ("fp32", "tf32"):
        caffe.set_precision(precision)
        pairs = zip((a @ b, torch.conv2d(x, w[:, :, :3, :3])), exact, strict=True)
        errors[precision] = [float((found - right).norm() / right.norm()) for found, right in pairs]
    assert max(errors["fp32"]) < 2e-6
    if torch.cuda.get_device_capability()[0] >= 8:
        assert all(1e-5 < error < 2e-3 for error in errors["tf32"])


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_run_in_less_precision_learns_as_one_in_fp32(tmp_path: Path, small_data: Path, precision: str) -> None:
    losses = []
    for name in ("fp32", precision):
        folder = small_net.experiment(tmp_path / name, small_data, "base_lr: 0.01 momentum: 0.9")
        run = engine_runs.ours(folder, *small_net.TRAIN, GPU, f"--precision={name}")
        assert run.code == 0, run.log[-2000:]
        losses.append([float(line.rsplit("= ", 1)[1]) for line in run.lines("Iteration") if "loss" in line])
    assert np.allclose(*losses, rtol=0.05, atol=0.02)


def test_a_step_does_not_wait_for_the_gpu_and_its_memory_does_not_grow(tmp_path: Path, small_data: Path) -> None:
    folder = small_net.experiment(tmp_path / "run", small_data, f"{SETTINGS} display: 0")
    use("cuda")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with contextlib.chdir(folder):
        text = (folder / "solver.prototxt").read_text().replace("display: 1", "")
        (folder / "solver.prototxt").write_text(text)
        solver = caffe.get_solver(folder / "solver.prototxt")
        solver.step(5)
        held = torch.cuda.memory_allocated()
        torch.cuda.set_sync_debug_mode("error")
        try:
            solver.step(4)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        solver.step(20)
    assert torch.cuda.memory_allocated() - held < 1 << 20
    assert torch.cuda.max_memory_allocated() - before < MARGIN


def test_runs_share_a_gpu(tmp_path: Path, small_data: Path) -> None:
    """Three at a time: each gives the result that it gives alone."""
    folders = [small_net.experiment(tmp_path / str(i), small_data, SETTINGS) for i in range(4)]
    command = [sys.executable, "-m", "torchcaffe", *small_net.TRAIN, GPU]
    environment = {**os.environ, "PYTHONPATH": str(engine_runs.CHECKOUT)}
    assert subprocess.run(command, cwd=folders[0], env=environment, stderr=subprocess.DEVNULL).returncode == 0
    started = [subprocess.Popen(command, cwd=f, env=environment, stderr=subprocess.DEVNULL) for f in folders[1:]]
    assert [process.wait() for process in started] == [0, 0, 0]
    assert len({(folder / "out_iter_20.caffemodel").read_bytes() for folder in folders}) == 1


def test_time_and_device_query_and_test_run_there(tmp_path: Path, small_data: Path) -> None:
    folder = small_net.experiment(tmp_path / "run", small_data, SETTINGS)
    (folder / "net.prototxt").write_text(small_net.NET.replace("mirror: true", ""))  # each test would mirror otherwise
    assert engine_runs.ours(folder, *small_net.TRAIN, GPU).code == 0
    timed = engine_runs.ours(folder, "time", "--model=net.prototxt", "--iterations=2", GPU)
    assert (timed.code, len(timed.lines("Average Forward-Backward"))) == (0, 1)
    command = ("test", "--model=net.prototxt", "--weights=out_iter_20.caffemodel", "--iterations=2")
    here, there = (engine_runs.ours(folder, *command, *flags).lines("Loss:")[0] for flags in ((GPU,), ()))
    assert float(here.split()[-1]) == pytest.approx(float(there.split()[-1]), rel=1e-5)
    asked = engine_runs.ours(folder, "device_query", "--gpu=all")
    assert len(asked.lines("Number of multiprocessors:     ")) == torch.cuda.device_count()


def test_a_data_set_too_large_for_its_share_is_streamed(tmp_path, small_data, monkeypatch) -> None:
    monkeypatch.setattr("torchcaffe.resident.SHARE", 1e-9)
    run = engine_runs.ours(small_net.experiment(tmp_path / "run", small_data, SETTINGS), *small_net.TRAIN, GPU)
    assert run.code == 0, run.log[-2000:]
    assert len(run.lines("they are read batch by batch")) == 1
