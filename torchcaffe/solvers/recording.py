"""Device work that is recorded once and then replayed with one call: a CUDA graph, or a substitute on the CPU.

A CUDA graph runs the same kernels on the same memory again. So inputs must stay in the memory where they were at the
recording. Results, in blobs and as the return value, are written to the same tensors at each replay: to keep a result,
copy it. Nothing that the host did is repeated: no Python code, no random draw of the host, no log line.
"""

from collections.abc import Callable

import torch

from torchcaffe.common.blob import Blob
from torchcaffe.common.log import Fatal

Work = Callable[[], torch.Tensor | None]
Tensors = tuple[torch.Tensor | None, torch.Tensor | None]  # value and gradient of a blob


class Recording:
    """A recorded `work`, with the tensors that it left in `blobs` and the tensor that it returned."""

    def __init__(self, work: Work, blobs: list[Blob]):
        self._work, self._blobs = work, blobs
        self._result: torch.Tensor | None = None
        self._tensors: list[Tensors] = []

    def replay(self) -> torch.Tensor | None:
        """Runs the work again and returns its result. Attaches the recorded tensors to the blobs, which may hold others
        by now."""
        raise NotImplementedError

    def _record(self) -> None:
        self._result = self._work()
        self._tensors = [blob.tensors() for blob in self._blobs]

    def _attach(self) -> None:
        for blob, tensors in zip(self._blobs, self._tensors, strict=True):
            blob.attach(*tensors)


class CudaGraph(Recording):
    """A CUDA graph. The constructor records the work but does not run it; `replay` runs it.

    The work must have run normally before, because libraries initialize themselves at their first call. Raises Fatal
    for work that cannot be recorded.
    """

    def __init__(self, work: Work, blobs: list[Blob]):
        super().__init__(work, blobs)
        self._graph = torch.cuda.CUDAGraph()
        try:
            # thread_local: a thread that reads data ahead may use the GPU meanwhile.
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._record()
        except RuntimeError as error:
            cannot = f"the step cannot be captured as a CUDA graph: {str(error).splitlines()[0]}; use --step=eager"
            raise Fatal(cannot, "solver.cpp:57") from None

    def replay(self) -> torch.Tensor | None:
        self._graph.replay()
        self._attach()
        return self._result


class CpuReplay(Recording):
    """Behaves like a CUDA graph, but runs the work again and copies the results into the tensors of the first run."""

    def __init__(self, work: Work, blobs: list[Blob]):
        super().__init__(work, blobs)
        self._recorded = False

    def replay(self) -> torch.Tensor | None:
        if not self._recorded:
            self._record()
            self._recorded = True
            return self._result
        _copy(self._work(), self._result)
        for blob, recorded in zip(self._blobs, self._tensors, strict=True):
            for target, source in zip(recorded, blob.tensors(), strict=True):
                _copy(source, target)
        self._attach()
        return self._result


def _copy(source: torch.Tensor | None, target: torch.Tensor | None) -> None:
    if target is not None and target is not source:
        assert source is not None, "every run of recorded work leaves the same tensors"
        target.copy_(source)


def record(work: Work, blobs: list[Blob], device: torch.device) -> Recording:
    """`work`, recorded in the way that suits `device`."""
    return CudaGraph(work, blobs) if device.type == "cuda" else CpuReplay(work, blobs)
