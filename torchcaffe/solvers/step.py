"""One iteration of training: forward and backward over iter_size batches, then the update.

`Step` runs it layer by layer. `StaticStep` runs the same net and the same update rule in fixed memory. After two normal
iterations it replays recordings of them (recording.py): two CUDA graphs, one of the passes and one of the update. The
results are the same because:

- Data from the host are copied to the memory that the recorded passes read. If the data set is resident on the device,
  these data are the indices, crops and mirrors of a batch.
- An update is recorded together with its learning rate, when that is the same as in the iteration before. With another
  rate, and so under a policy that changes it in every iteration, the update runs normally: a few kernels per parameter.
  Both ways use the same fused kernel, which gets the rate from the host.
- Weights and history stay in their memory, even when a snapshot is restored. If the weights move, or a batch has
  another shape, everything is recorded again.
- Dropout on a GPU draws from PyTorch's generator of the device, which advances in the same way with every replay.
"""

from functools import partial

import torch

from caffeformat.caffeformat_pb2 import SolverParameter
from torchcaffe.common import log
from torchcaffe.nets.net import Net
from torchcaffe.solvers.recording import Recording, record
from torchcaffe.solvers.sgd import SGD

_WARM_UP = 2  # normal iterations before the first recording


def create(net: Net, updater: SGD, param: SolverParameter) -> "Step":
    """The step that the net's context asks for. If it cannot be static, a log line says why."""
    wanted, on_gpu = net.context.step, net.context.on_gpu
    if wanted == "eager" or (wanted == "auto" and not on_gpu):
        return Step(net, updater, param.iter_size)
    reason = _reason_not_to_record(net, param)
    if reason:
        log.info("solver.cpp:57", f"The step is not recorded but runs layer by layer: {reason}")
        return Step(net, updater, param.iter_size)
    how = "is captured as CUDA graphs" if on_gpu else "runs from fixed memory"
    log.info("solver.cpp:57", f"The step {how} after {_WARM_UP} iterations")
    return StaticStep(net, updater, param.iter_size)


def _reason_not_to_record(net: Net, param: SolverParameter) -> str:
    """Why the step cannot be recorded; empty if it can."""
    if param.debug_info:
        return "debug_info: true prints each layer's values"
    if param.snapshot_diff:
        return "snapshot_diff: true replaces each gradient by its update"
    if param.iter_size > 1 and net.params.any_reshaped():
        return "with iter_size, gradients add up in parameters that are shared in another shape"
    on_host = [f"{layer.name} ({layer.type})" for layer in net.layers if not layer.recordable]
    return f"the layer {on_host[0]} works on the host" if on_host else ""


class Step:
    """An iteration that runs layer by layer."""

    def __init__(self, net: Net, updater: SGD, iter_size: int):
        self._net, self._updater, self._iter_size = net, updater, iter_size

    def forward_backward(self) -> torch.Tensor:
        """Runs the passes of iter_size batches, whose gradients add up. Returns the mean loss, a tensor
        that stays as it is."""
        total = self._passes(0)
        for index in range(1, self._iter_size):
            total = total + self._passes(index)
        return total / self._iter_size if self._iter_size > 1 else total

    def update(self, rate: float, iteration: int) -> None:
        """Updates the weights by their gradients."""
        self._updater.apply(rate, iteration)

    def _passes(self, index: int) -> torch.Tensor:
        """Runs both passes of batch `index` in an iteration. Returns the loss, a tensor that stays as
        it is."""
        loss = self._net.forward()
        self._net.backward()
        return loss


class StaticStep(Step):
    """An iteration that is recorded and replayed, in fixed memory."""

    def __init__(self, net: Net, updater: SGD, iter_size: int):
        super().__init__(net, updater, iter_size)
        tops_from_host = [tops for layer, tops in zip(net.layers, net.tops, strict=True) if layer.from_host]
        self._inputs = [blob for tops in tops_from_host for blob in tops]
        self._parameters = [param.blob for param in net.params.learnable]
        self._set_memory([], [])

    def _set_memory(self, buffers: list[torch.Tensor], weights: list[torch.Tensor]) -> None:
        """Fixes the memory of the inputs and of the parameters. Drops all recordings."""
        self._buffers, self._weights = buffers, weights
        self._iterations = 0
        # The key: whether the passes add to gradients (all batches of an iteration except the first) or start them.
        self._recorded_passes: dict[bool, Recording] = {}
        self._recorded_update: Recording | None = None
        self._recorded_scalars: tuple[float, ...] | None = None
        self._last_scalars: tuple[float, ...] | None = None

    def _passes(self, index: int) -> torch.Tensor:
        self._net.fetch()
        self._fill_buffers()
        adds = index > 0
        if self._iterations < _WARM_UP or self._net.is_hooked:
            return self._compute()
        if adds not in self._recorded_passes:
            blobs = [*self._net.blobs, *self._parameters]
            self._recorded_passes[adds] = record(self._compute, blobs, self._net.context.device)
        loss = self._recorded_passes[adds].replay()
        assert loss is not None, "_compute returns a loss"
        return loss.clone()  # the next replay overwrites it

    def _compute(self) -> torch.Tensor:
        loss = self._net.forward(fetched=True)
        self._net.backward()
        return loss

    def _fill_buffers(self) -> None:
        """Copies the fetched data to the memory that the recorded passes read."""
        if not self._memory_is_valid():
            buffers = [torch.empty_like(blob.value) for blob in self._inputs]
            self._set_memory(buffers, [blob.value for blob in self._parameters])
        for blob, buffer in zip(self._inputs, self._buffers, strict=True):
            if blob.value is not buffer:
                buffer.copy_(blob.value)
                blob.value = buffer

    def _memory_is_valid(self) -> bool:
        """Whether inputs still have the shape of their buffers, and parameters are still in the same tensors."""
        same_shapes = [tuple(buffer.shape) for buffer in self._buffers] == [blob.shape for blob in self._inputs]
        weights = [id(blob.value) for blob in self._parameters]
        return same_shapes and weights == [id(weight) for weight in self._weights]

    def update(self, rate: float, iteration: int) -> None:
        scalars = self._updater.scalars(rate, iteration)
        if scalars is None or not self._recorded_passes or scalars != self._last_scalars:
            self._updater.apply(rate, iteration)
        else:
            if self._recorded_update is None or scalars != self._recorded_scalars:
                work = partial(self._updater.apply, rate, iteration)
                self._recorded_update = record(work, [], self._net.context.device)
                self._recorded_scalars = scalars
            self._recorded_update.replay()
        self._last_scalars = scalars
        self._iterations += 1
