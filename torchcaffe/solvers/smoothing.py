"""The loss in the log line `Iteration N, loss = ...`: the mean over the last average_loss iterations.

Source followed: BVLC Caffe's Solver::UpdateSmoothedLoss, with its rounding to float32.
"""

import numpy as np
import torch

State = dict[str, np.ndarray]


class SmoothedLoss:
    """Keeps losses as tensors until a line is printed, so that the host does not wait for a GPU in every iteration."""

    def __init__(self, window: int):
        self._window = window
        self.restart(0)

    def restart(self, start: int) -> None:
        """Forgets all losses; training begins at iteration `start`."""
        self._start = start
        self._losses: list[np.float32] = []
        self._smoothed = np.float32(0)
        self._waiting: list[tuple[torch.Tensor, int]] = []

    def add(self, loss: torch.Tensor, iteration: int) -> None:
        self._waiting.append((loss, iteration))
        if len(self._waiting) == 1000:
            self.value()

    def value(self) -> np.float32:
        """The smoothed loss."""
        if self._waiting:
            losses = torch.stack([loss for loss, _ in self._waiting]).numpy(force=True).astype(np.float32)
            for loss, (_, iteration) in zip(losses, self._waiting, strict=True):
                self._smooth(loss, iteration)
            self._waiting.clear()
        return self._smoothed

    def _smooth(self, loss: np.float32, iteration: int) -> None:
        if len(self._losses) < self._window:
            self._losses.append(loss)
            count = len(self._losses)
            self._smoothed = (self._smoothed * np.float32(count - 1) + loss) / np.float32(count)
            return
        place = (iteration - self._start) % self._window
        self._smoothed += (loss - self._losses[place]) / np.float32(self._window)
        self._losses[place] = loss

    def state(self) -> State:
        smoothed = np.array(self.value())
        return {"smoothed": smoothed, "losses": np.array(self._losses, np.float32), "start": np.array(self._start)}

    def restore(self, state: State) -> None:
        """Goes back to an earlier `state()`."""
        self.restart(int(state["start"]))
        self._smoothed = np.float32(state["smoothed"])
        self._losses = list(state["losses"].astype(np.float32))
