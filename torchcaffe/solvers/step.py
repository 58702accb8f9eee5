"""One iteration of training: forward and backward over iter_size batches, then the update.

`Step` runs it layer by layer. `StaticStep` runs the same net and the same update from fixed memory and, once they have
been done twice in the ordinary way, from recordings (graph.py): two CUDA graphs an iteration, the passes' and the
update's. What the host decides stays right in them:

- Data from the host are copied to where the passes read them. Where a data set is held on the device, these are the
  indices, crops and mirrors of a batch.
- An update is recorded with its rate once that has been the same twice in a row. At any other, and so under a policy
  that changes it in each iteration, it is done in the ordinary way, a few kernels a parameter. In both it is the same
  fused kernel, one pass over memory, which takes the rate from the host.
- Weights and history stay where they are, also when a snapshot is restored. If weights do not, or if a batch has
  another shape, all is recorded anew.
- Dropout on a GPU draws from PyTorch's generator of the device, which goes on from replay to replay as it does
  without.
"""

from functools import partial

import torch

from caffeformat.caffeformat_pb2 import SolverParameter
from torchcaffe.common import log
from torchcaffe.nets.net import Net
from torchcaffe.solvers.recording import Recording, record
from torchcaffe.solvers.sgd import SGD

_WARM_UP = 2  # iterations done in the ordinary way


def create(net: Net, updater: SGD, param: SolverParameter) -> "Step":
    """The step that the net's context asks for; where it cannot be static, a log line says why."""
    wanted, on_gpu = net.context.step, net.context.on_gpu
    if wanted == "eager" or (wanted == "auto" and not on_gpu):
        return Step(net, updater, param.iter_size)
    obstacle = _obstacle(net, param)
    if obstacle:
        log.info("solver.cpp:57", f"The step is not recorded but runs layer by layer: {obstacle}")
        return Step(net, updater, param.iter_size)
    how = "is captured as CUDA graphs" if on_gpu else "runs from fixed memory"
    log.info("solver.cpp:57", f"The step {how} once {_WARM_UP} iterations are done")
    return StaticStep(net, updater, param.iter_size)


def _obstacle(net: Net, param: SolverParameter) -> str:
    """What keeps a step from being recorded: nothing if empty."""
    if param.debug_info:
        return "debug_info: true prints each layer's values"
    if param.snapshot_diff:
        return "snapshot_diff: true keeps each update in the place of its gradient"
    if param.iter_size > 1 and net.params.any_reshaped():
        return "with iter_size, gradients add up in parameters that are shared in another shape"
    named = [f"{layer.name} ({layer.type})" for layer in net.layers if not layer.recordable]
    return f"the layer {named[0]} works on the host" if named else ""


class Step:
    """An iteration, layer by layer."""

    def __init__(self, net: Net, updater: SGD, iter_size: int):
        self._net, self._updater, self._iter_size = net, updater, iter_size

    def forward_backward(self) -> torch.Tensor:
        """The loss, the mean over iter_size batches, in memory of its own; adds their gradients."""
        total = None
        for index in range(self._iter_size):
            loss = self._passes(index)
            total = loss if total is None else total + loss
        return total / self._iter_size

    def update(self, rate: float, iteration: int) -> None:
        """Changes the weights by their gradients."""
        self._updater.apply(rate, iteration)

    def _passes(self, index: int) -> torch.Tensor:
        """Forward and backward of the batch `index` of an iteration; the loss, which the next batch may overwrite."""
        loss = self._net.forward()
        self._net.backward()
        return loss


class StaticStep(Step):
    """An iteration from fixed memory, recorded."""

    def __init__(self, net: Net, updater: SGD, iter_size: int):
        super().__init__(net, updater, iter_size)
        fed = [tops for layer, tops in zip(net.layers, net.tops, strict=True) if layer.from_host]
        self._inputs = [blob for tops in fed for blob in tops]
        self._parameters = [param.blob for param in net.params.learnable]
        self._lie_in([], [])

    def _lie_in(self, buffers: list[torch.Tensor], weights: list[torch.Tensor]) -> None:
        """From now on inputs lie in `buffers` and parameters in `weights`. Forgets all that was recorded."""
        self._buffers, self._weights = buffers, weights
        self._iterations = 0
        self._recorded_passes: dict[bool, Recording] = {}  # those that add to gradients, and those that begin them
        self._recorded_update: Recording | None = None
        self._recorded_scalars: tuple | None = None
        self._last_scalars: tuple | None = None

    def _passes(self, index: int) -> torch.Tensor:
        self._net.fetch()
        self._fill_buffers()
        adds = index > 0
        if self._iterations < _WARM_UP:
            return self._compute()
        if adds not in self._recorded_passes:
            blobs = [*self._net.blobs, *self._parameters]
            self._recorded_passes[adds] = record(self._compute, blobs, self._net.context.device)
        return self._recorded_passes[adds].replay()

    def _compute(self) -> torch.Tensor:
        loss = self._net.forward(fetched=True)
        self._net.backward()
        return loss

    def _fill_buffers(self) -> None:
        """Puts what was fetched where the recorded passes read it."""
        if not self._fits():
            buffers = [torch.empty_like(blob.value) for blob in self._inputs]
            self._lie_in(buffers, [blob.value for blob in self._parameters])
        for blob, buffer in zip(self._inputs, self._buffers, strict=True):
            if blob.value is not buffer:
                buffer.copy_(blob.value)
                blob.value = buffer

    def _fits(self) -> bool:
        """Whether inputs have the shape, and parameters the place, of what is recorded."""
        same = [tuple(buffer.shape) for buffer in self._buffers] == [blob.shape for blob in self._inputs]
        weights = [id(blob.value) for blob in self._parameters]
        return same and weights == [id(weight) for weight in self._weights]

    def update(self, rate: float, iteration: int) -> None:
        scalars = self._updater.scalars(rate, iteration)
        if scalars is None or not self._recorded_passes or scalars != self._last_scalars:
            self._updater.apply(rate, iteration)
        else:
            if scalars != self._recorded_scalars:
                work = partial(self._updater.apply, rate, iteration)
                self._recorded_update = record(work, [], self._net.context.device)
                self._recorded_scalars = scalars
            self._recorded_update.replay()
        self._last_scalars = scalars
        self._iterations += 1
