"""The smoothed loss: the mean of the last average_loss losses, as Solver::UpdateSmoothedLoss computes it."""

import numpy as np
import pytest
import torch

from torchcaffe.solvers.smoothing import SmoothedLoss

LOSSES = np.random.default_rng(1).uniform(0, 5, 2500).astype(np.float32)


def update_smoothed_loss(losses: np.ndarray, window: int) -> np.float32:
    """Caffe's function, in float32."""
    kept: list[np.float32] = []
    smoothed = np.float32(0)
    for index, loss in enumerate(losses):
        if len(kept) < window:
            kept.append(loss)
            smoothed = (smoothed * np.float32(len(kept) - 1) + loss) / np.float32(len(kept))
        else:
            smoothed += (loss - kept[index % window]) / np.float32(window)
            kept[index % window] = loss
    return smoothed


def smoothed_loss(losses: np.ndarray, window: int) -> SmoothedLoss:
    smoothed = SmoothedLoss(window)
    for iteration, loss in enumerate(losses):
        smoothed.add(torch.tensor(loss), iteration)
    return smoothed


@pytest.mark.parametrize("window", [1, 4, 100])
@pytest.mark.parametrize("count", [1, 3, 50, 2500])
def test_the_value_is_caffes_bit_for_bit(window: int, count: int) -> None:
    smoothed = smoothed_loss(LOSSES[:count], window)
    assert smoothed.value() == update_smoothed_loss(LOSSES[:count], window)
    assert smoothed.value() == pytest.approx(LOSSES[:count][-window:].mean(), rel=1e-4)


def test_a_restored_state_continues_bit_for_bit() -> None:
    whole, first = smoothed_loss(LOSSES[:50], 7), smoothed_loss(LOSSES[:20], 7)
    second = SmoothedLoss(7)
    second.restore(first.state())
    for iteration in range(20, 50):
        second.add(torch.tensor(LOSSES[iteration]), iteration)
    assert second.value() == whole.value()


def test_a_restart_forgets_earlier_losses() -> None:
    smoothed = smoothed_loss(LOSSES[:9], 4)
    smoothed.restart(9)
    smoothed.add(torch.tensor(2.0), 9)
    assert smoothed.value() == 2
