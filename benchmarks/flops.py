"""The floating point operations of a training step, counted in the net itself."""

import numpy as np

from caffeformat.caffeformat_pb2 import TRAIN, LayerParameter, NetParameter, NetState
from torchcaffe.nets.net import Net
from torchcaffe.nets.parsed_net import ParsedNet


def training_flops_per_image(net: NetParameter, channels: int) -> int:
    """The operations for one image in the matrix products of convolutions and inner products.

    `net` is for training only; its first layer is the Data layer, of images with `channels` channels.

    The forward product of a layer takes two operations for each weight and position of its top. The gradient of its
    weights takes as many, if they learn, and so does that of its bottom, if a layer below learns. Padding counts as if
    it were multiplied.
    """
    built = Net(ParsedNet(_on_an_input(net, channels), [layer.name for layer in net.layer]), NetState(phase=TRAIN))
    total, learns_below = 0, False
    for layer, tops in zip(built.layers, built.tops, strict=True):
        if layer.type in ("Convolution", "InnerProduct"):
            learns = layer.learns[0]
            positions = int(np.prod(tops[0].shape[2:]))
            total += 2 * layer.blobs[0].count * positions * (1 + learns + learns_below)
            learns_below |= learns
    return total


def _on_an_input(net: NetParameter, channels: int) -> NetParameter:
    """The net with an Input layer for one image instead of its Data layer: no LMDB is read."""
    copy = NetParameter()
    copy.CopyFrom(net)
    crop = copy.layer[0].transform_param.crop_size
    source = LayerParameter(name="data", type="Input", top=copy.layer[0].top)
    source.input_param.shape.add(dim=(1, channels, crop, crop))
    source.input_param.shape.add(dim=(1,))
    copy.layer[0].CopyFrom(source)
    return copy
