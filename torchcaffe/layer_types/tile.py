"""Tile: the bottom several times, one after the other along an axis.

Source followed: BVLC Caffe's tile_layer.cpp.
"""

import torch

from torchcaffe.layer_types.base import Blob, Layer


class Tile(Layer):
    """`tiles` copies of the bottom along `axis`. Its gradient is the sum of theirs."""

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_not_in_place(bottom, top)
        param = self.param.tile_param
        self.check(param.HasField("tiles"), "Number of tiles must be specified: give tiles")
        self.check(param.tiles > 0, f"Number of tiles must be positive; found tiles: {param.tiles}")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = list(bottom[0].shape)
        self._axis = self.axis(self.param.tile_param.axis, bottom[0])
        shape[self._axis] *= self.param.tile_param.tiles
        top[0].reshape(*shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = torch.cat([bottom[0].value] * self.param.tile_param.tiles, self._axis)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            sizes = (self.param.tile_param.tiles, bottom[0].shape[self._axis])
            bottom[0].grad = top[0].gradient().unflatten(self._axis, sizes).sum(self._axis)
