"""Copies of weights in bfloat16: they are those of the present weights, however these changed, and stay in memory."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import engine_runs, small_net, step_runs
from torchcaffe.common.blob import Blob
from torchcaffe.common.context import Context
from torchcaffe.common.rounded import Rounded, same_order
from torchcaffe.solvers import fused

BF16 = "--precision=bf16"
SOLVERS = ("SGD", "Nesterov", "Adam", "three batches", "clipped", "with snapshot_diff", "L1", "with tests")


def weights() -> Blob:
    blob = Blob(Context(), (3, 5))
    blob.data = np.random.default_rng(1).standard_normal((3, 5)).astype(np.float32)
    return blob


def turned(weight: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
    out = torch.empty(weight.shape[::-1], dtype=torch.bfloat16) if out is None else out
    return out.copy_(weight.t())


def test_a_copy_follows_every_change_in_the_same_memory() -> None:
    blob = weights()
    first = blob.rounded.of(blob.value)
    place = first.data_ptr()
    blob.data = np.full((3, 5), 1 / 3, np.float32)
    assert torch.equal(blob.rounded.of(blob.value), blob.value.bfloat16())
    blob.value.mul_(3)
    assert torch.equal(blob.rounded.of(blob.value), blob.value.bfloat16())
    assert torch.equal(blob.rounded.of(blob.value, turned), blob.value.bfloat16().t())
    assert blob.rounded.of(blob.value).data_ptr() == place
    blob.value = torch.full((3, 5), 0.1)
    assert torch.equal(blob.rounded.of(blob.value, turned), blob.value.bfloat16().t())


def test_weights_whose_changes_pytorch_does_not_count_are_rounded_each_time() -> None:
    blob = weights()
    with torch.inference_mode():
        blob.value = blob.value * 1
        blob.rounded.of(blob.value)
        blob.value.mul_(3)
        assert torch.equal(blob.rounded.of(blob.value), blob.value.bfloat16())


def test_weights_that_did_not_change_are_not_rounded_again() -> None:
    calls = []

    def counted(weight: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
        calls.append(1)
        return same_order(weight, out)

    blob = weights()
    for _ in range(3):
        blob.rounded.of(blob.value, counted)
    assert len(calls) == 1
    blob.values()  # what a snapshot reads
    blob.rounded.of(blob.value, counted)
    assert len(calls) == 1


def test_what_numpy_writes_is_seen_however_long_it_has_held_the_array() -> None:
    blob = weights()
    held = blob.data
    blob.rounded.of(blob.value)
    for value in (1, 2):
        held[...] = value
        assert bool((blob.rounded.of(blob.value) == value).all())


def test_a_solver_writes_the_copies_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "_PIECE", 4)
    blob = weights()
    copies = blob.rounded.of(blob.value), blob.rounded.of(blob.value, turned)
    before = blob.value.clone()
    settings = (0.0, 0.9, 0.0, False)
    fused.step_at_once(blob, torch.ones(3, 5, dtype=torch.bfloat16), torch.zeros(3, 5), settings)
    assert torch.equal(blob.value, before - 1)
    assert torch.equal(copies[0], blob.value.bfloat16())
    blob.rounded.write(blob.value)
    assert torch.equal(copies[1], blob.value.bfloat16().t())


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_training_equals_one_that_rounds_all_weights_for_each_product(
    tmp_path: Path, small_data: Path, monkeypatch: pytest.MonkeyPatch, solver: str
) -> None:
    """Bit for bit: the snapshots, in float32, and every line of the log."""
    folders = [step_runs.experiment(tmp_path / name, small_data, step_runs.SOLVERS[solver]) for name in ("a", "b")]
    monkeypatch.setattr(fused, "_PIECE", 64)
    kept = step_runs.outcome(folders[0], *small_net.TRAIN, BF16)
    monkeypatch.setattr(Rounded, "of", lambda self, weight, arrange=same_order: arrange(weight, None))
    assert step_runs.outcome(folders[1], *small_net.TRAIN, BF16) == kept


@pytest.mark.slow
def test_layers_that_share_weights_use_the_same_ones(
    tmp_path: Path, small_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = 'inner_product_param { num_output: 5 weight_filler { type: "xavier" } } param { name: "w" }'
    second = f"""layer {{ name: "ip2" type: "InnerProduct" bottom: "conv" top: "ip2" {shared} }}
layer {{ name: "loss2" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss2" }}"""
    outcomes = []
    for name in ("kept", "rounded for each product"):
        folder = step_runs.experiment(tmp_path / name, small_data, step_runs.SOLVERS["with tests"], second)
        net = folder / "net.prototxt"
        net.write_text(net.read_text().replace('top: "ip"', 'top: "ip" param { name: "w" }', 1))
        outcomes.append(step_runs.outcome(folder, *small_net.TRAIN, BF16))
        monkeypatch.setattr(Rounded, "of", lambda self, weight, arrange=same_order: arrange(weight, None))
    assert outcomes[0] == outcomes[1]


@pytest.mark.slow
def test_a_resumed_run_in_bf16_equals_one_without_a_break(tmp_path: Path, small_data: Path) -> None:
    settings = step_runs.SOLVERS["with tests"]
    folder = step_runs.experiment(tmp_path, small_data, settings)
    straight, _ = step_runs.outcome(folder, *small_net.TRAIN, BF16)
    for file in folder.glob("out_iter_20*"):
        file.unlink()
    resumed, _ = step_runs.outcome(folder, *small_net.RESUME, BF16)
    assert resumed == straight
    assert engine_runs.ours(folder, *small_net.RESUME).code == 0, "in fp32 it goes on, too: a snapshot is float32"
