"""Work on the device that is recorded once and then done again at one call: a CUDA graph, and its likeness on the CPU.

A CUDA graph does the same kernels on the same memory again. So what the work reads must lie where it lay when it was
recorded; what it leaves, in blobs and as its result, lies in the same tensors each time, with new values. Whoever keeps
a result takes a copy. Nothing of the host is done again: no Python, no draw, no log line.
"""

from collections.abc import Callable

import torch

from torchcaffe.common.blob import Blob
from torchcaffe.common.log import Fatal

Work = Callable[[], torch.Tensor | None]


class Recording:
    """What a work leaves in `blobs`, and its result."""

    def __init__(self, work: Work, blobs: list[Blob]):
        self._work, self._blobs = work, blobs
        self._result: torch.Tensor | None = None
        self._left: list[tuple[torch.Tensor | None, torch.Tensor | None]] | None = None

    def replay(self) -> torch.Tensor | None:
        """Does the work again. The blobs hold what it leaves, whatever was done with them meanwhile."""
        raise NotImplementedError

    def _record(self) -> None:
        self._result = self._work()
        self._left = [blob.tensors() for blob in self._blobs]

    def _attach(self) -> None:
        for blob, tensors in zip(self._blobs, self._left, strict=True):
            blob.attach(*tensors)


class Graph(Recording):
    """A CUDA graph. The work is recorded at once, but not done before the first replay; it must have been done before
    in the ordinary way, since libraries set themselves up at their first call."""

    def __init__(self, work: Work, blobs: list[Blob]):
        super().__init__(work, blobs)
        self._graph = torch.cuda.CUDAGraph()
        try:
            # thread_local: a thread that reads data ahead may go on meanwhile.
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._record()
        except RuntimeError as error:
            cannot = f"the step cannot be captured as a CUDA graph: {str(error).splitlines()[0]}; use --step=eager"
            raise Fatal(cannot, "solver.cpp:57") from None

    def replay(self) -> torch.Tensor | None:
        self._graph.replay()
        self._attach()
        return self._result


class Likeness(Recording):
    """The same as a user sees it, by doing the work once more: what it leaves is moved to where it was left first."""

    def replay(self) -> torch.Tensor | None:
        if self._left is None:
            self._record()
            return self._result
        result = self._work()
        if result is not None:
            self._result.copy_(result)
        for blob, places in zip(self._blobs, self._left, strict=True):
            for place, found in zip(places, blob.tensors(), strict=True):
                if place is not None and place is not found:
                    place.copy_(found)
        self._attach()
        return self._result


def record(work: Work, blobs: list[Blob], device: torch.device) -> Recording:
    return Graph(work, blobs) if device.type == "cuda" else Likeness(work, blobs)
