"""RecurrentLayer, the base class of layers that are a net unrolled in time.

Source followed: BVLC Caffe's recurrent_layer.cpp.
"""

from collections.abc import Callable
from typing import ClassVar, Protocol

import numpy as np
import torch

from caffeformat.caffeformat_pb2 import TRAIN, LayerParameter, NetParameter
from torchcaffe.common import log
from torchcaffe.common.context import Context
from torchcaffe.layer_types.base import Blob, BlobVec, Fatal, Layer
from torchcaffe.layer_types.recurrent_steps import Steps
from torchcaffe.layer_types.unrolled import Unrolled
from torchcaffe.random.rng import State

_QUIET = np.errstate(over="ignore", invalid="ignore")  # a net that diverges is no mistake of NumPy's caller


class InnerNet(Protocol):
    """What a recurrent layer uses of a Net."""

    layers: list[Layer]
    by_name: dict[str, Blob]
    debug_info: bool

    def forward(self, start: int = 0, end: int | None = None) -> torch.Tensor: ...

    def backward(self, start: int | None = None, end: int = 0) -> None: ...

    def reshape(self) -> None: ...

    def owned(self) -> list[tuple[Layer, int]]:
        """Layer and index of each parameter that is not another layer's."""


class RecurrentLayer(Layer):
    """T timesteps of N independent streams: the bottoms are x, (T, N, ...), and cont, (T, N).

    Where cont is 0, a sequence begins: the hidden state before does not count. A further bottom (N, ...) is an input
    that is the same for all timesteps. The top is (T, N, num_output).

    The hidden state after the last timestep is where the next forward pass begins. With expose_hidden, it is a bottom
    and a top, (1, N, num_output) each. No gradient goes through it from batch to batch, nor through exposed ones.

    The parameters are those of the unrolled net, the same for all timesteps. They get a gradient even if lr_mult is 0.

    The layers of the unrolled net run for `debug_info` and in bfloat16; else `steps_type` computes the same, faster.
    """

    n_bottoms: ClassVar = (0, None)  # layer_setup counts them
    n_tops: ClassVar = (0, None)
    hidden: ClassVar[dict[str, str]]  # blobs of the unrolled net: hidden state before -> after T timesteps, `{T}` for T
    output: ClassVar[str]  # the blob that is the top
    steps_type: ClassVar[type[Steps]]
    build_net: Callable[[NetParameter], InnerNet]  # set by the net of this layer, before `setup`

    def __init__(self, param: LayerParameter, context: Context, where: str):
        super().__init__(param, context, where)
        self._exposed = len(self.hidden) if param.recurrent_param.expose_hidden else 0

    def unroll(self, unrolled: Unrolled) -> None:
        """Adds the layers of the type."""
        raise NotImplementedError

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index != 1

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        least = 2 + self._exposed
        self._check_count("bottom", len(bottom), (least, least + 1))
        self._check_count("top", len(top), (1 + self._exposed, 1 + self._exposed))
        self.check(self.param.recurrent_param.num_output > 0, "num_output must be positive; it is not given, or 0")
        self.check(not self.param.blobs, "`blobs` in the prototxt, which BVLC Caffe ignores; give them in a caffemodel")
        self._check_axes(bottom)
        self._steps, streams = bottom[0].shape[:2]
        log.info(
            "recurrent_layer.cpp:20",
            f"Initializing recurrent layer: assuming input batch contains {self._steps} timesteps of {streams} "
            "independent streams.",
        )
        self._has_static = len(bottom) > least
        self._inputs = ["x", "cont", *(["x_static"] if self._has_static else [])]
        if self._has_static:
            static = bottom[2].shape
            self.check(
                static[:1] == (streams,), f"'{bottom[2].name}' is of {static}; its first size is to be {streams}"
            )
        try:
            self._net = self.build_net(self._unrolled(bottom))
        except Fatal as error:
            raise self.refuse(f"in its unrolled net: {error}") from None
        self._net.debug_info = self.param.recurrent_param.debug_info
        self._last = len(self._net.layers) - 2  # the pseudo-loss behind it does not run
        self._before = [self._net.by_name[name] for name in self.hidden]
        self._after = [self._net.by_name[name.format(T=self._steps)] for name in self.hidden.values()]
        self._memory = [torch.zeros_like(blob.value).reshape(-1) for blob in self._before]
        self._take_parameters()
        self._layer_by_layer = self._net.debug_info or self.context.operands != self.context.dtype
        self._run: Steps | None = None

    def _unrolled(self, bottom: list[Blob]) -> NetParameter:
        net = NetParameter()
        inputs = {name: blob.shape for name, blob in zip(self._inputs, bottom, strict=False)}
        self.unroll(Unrolled(net, self.param.recurrent_param, inputs))
        if self.name:
            for layer in net.layer:
                layer.name = f"{self.name}_{layer.name}"
        loss = f"{self.output}_pseudoloss"  # so that the outputs get a gradient
        net.layer.add(name=loss, type="Reduction", bottom=[self.output], top=[loss], loss_weight=[1])
        return net

    def _take_parameters(self) -> None:
        """Makes the parameters of the unrolled net this layer's."""
        owned = self._net.owned()
        self.blobs = BlobVec(layer.blobs[index] for layer, index in owned)
        self.learns = [True] * len(self.blobs)
        self._users: list[tuple[Layer, int, int]] = []  # a layer that uses a parameter, the index there and here
        place = 0
        for layer in self._net.layers:
            for index, blob in enumerate(layer.blobs):
                mine = next(i for i, own in enumerate(self.blobs) if own is blob)
                self._users.append((layer, index, mine))
                if (layer, index) in owned:
                    log.info("recurrent_layer.cpp:150", f"Adding parameter {place}: {layer.param.param[index].name}")
                place += 1
        self._bound = list(self.blobs)

    def _check_axes(self, bottom: list[Blob]) -> None:
        x, cont = bottom[0], bottom[1]
        axes = "(timesteps, streams, ...)"
        self.check(len(x.shape) >= 2, f"'{x.name}' must have at least 2 axes, {axes}; it is of {x.shape}")
        self.check(cont.shape == x.shape[:2], f"'{cont.name}' is of {cont.shape}; {x.shape[:2]} are needed")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._check_axes(bottom)
        steps, streams = bottom[0].shape[:2]
        changed = f"input number of timesteps changed: {steps}, but the net is unrolled for {self._steps}"
        self.check(steps == self._steps, changed)
        hidden = (1, streams, self.param.recurrent_param.num_output)
        for name, blob in zip(self._inputs, bottom, strict=False):
            self._net.by_name[name].reshape(*blob.shape)
        for blob in self._before:
            blob.reshape(*hidden)
        self._net.reshape()
        for blob, after in zip(bottom[len(self._inputs) :], self._before, strict=False):
            self.check(blob.shape == after.shape, f"shape mismatch: '{blob.name}' is of {blob.shape}, not {hidden}")
        count = self._before[0].count
        self._memory = [memory if memory.numel() >= count else memory.new_zeros(count) for memory in self._memory]
        top[0].reshape(*self._net.by_name[self.output].shape)
        for blob in top[1:]:
            blob.reshape(*hidden)

    @_QUIET
    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._bind()
        exposed = bottom[len(self._inputs) :]
        before = [blob.value for blob in exposed] or [self._carried(index) for index in range(len(self._before))]
        inputs = [blob.value for blob in bottom[: len(self._inputs)]]
        forward = self._forward_layer_by_layer if self._layer_by_layer else self._forward_steps
        top[0].value, after = forward(inputs, before)
        for index, state in enumerate(after):
            if exposed:
                top[1 + index].value = state.clone()
            else:
                self._carried(index).copy_(state)

    def _forward_steps(
        self, inputs: list[torch.Tensor], before: list[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        shape = (self._steps, inputs[0].shape[1], self.param.recurrent_param.num_output)
        if self._run is None or self._run.shape != shape:
            self._run = self.steps_type(self.context, *shape)
        return self._run.forward(self.blobs, inputs, before)

    def _forward_layer_by_layer(
        self, inputs: list[torch.Tensor], before: list[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        for name, value in zip(self._inputs, inputs, strict=True):
            self._net.by_name[name].value = value
        for blob, value in zip(self._before, before, strict=True):
            blob.value = value.clone()
        self._net.forward(0, self._last)
        return self._net.by_name[self.output].value, [blob.value for blob in self._after]

    def _carried(self, index: int) -> torch.Tensor:
        """Where a hidden state is kept from pass to pass. With fewer streams, the first ones go on, as in Caffe."""
        blob = self._before[index]
        return self._memory[index][: blob.count].view(blob.shape)

    def _bind(self) -> None:
        """Lets the unrolled net use this layer's parameters, which may have become another layer's."""
        others = [index for index, blob in enumerate(self.blobs) if blob is not self._bound[index]]
        if not others:
            return
        used = [mine for _, _, mine in self._users]
        stale = self.phase == TRAIN and any(used.count(index) > 1 for index in others)
        self.check(
            not stale,
            "shares the weights of its hidden state with another layer; when BVLC Caffe trains, it uses the shared "
            "ones in the first timestep only: give each layer its own, or join their streams (Concat the bottoms along "
            "axis 1, one layer, Slice)",
        )
        for layer, index, mine in self._users:
            layer.blobs[index] = self.blobs[mine]
        self._bound = list(self.blobs)

    def release_saved(self) -> None:
        for layer in self._net.layers if self._layer_by_layer else ():
            layer.release_saved()

    @_QUIET
    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.check(not propagate_down[1], "Cannot backpropagate to sequence indicators.")
        wanted = propagate_down[: len(self._inputs)]
        if self._layer_by_layer or self._run is None:  # None: there was no forward pass
            self._net.by_name[self.output].grad = top[0].gradient()
            self._net.backward(self._last)
            found = [self._net.by_name[name].grad for name in self._inputs]
        else:
            inputs = [blob.value for blob in bottom[: len(self._inputs)]]
            found = self._run.backward(self.blobs, inputs, top[0].gradient(), wanted)
        for blob, down, grad in zip(bottom, wanted, found, strict=False):
            if down:
                blob.grad = grad

    def state(self) -> State:
        """The hidden states with which the next pass begins."""
        return {f"hidden.{index}": memory.numpy(force=True).copy() for index, memory in enumerate(self._memory)}

    def restore(self, state: State) -> None:
        for index, memory in enumerate(self._memory):
            saved = torch.from_numpy(state[f"hidden.{index}"])
            self.check(saved.shape == memory.shape, "the resume file is of a net with other sizes; remove it")
            memory.copy_(saved)
