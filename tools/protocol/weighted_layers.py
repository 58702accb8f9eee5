"""The weighted layers of a net, in order: the n of SnT counts these."""

from dataclasses import dataclass
from pathlib import Path

from caffeformat.caffeformat_pb2 import LayerParameter, NetParameter
from tools.common.errors import UserError

MAIN = ("Convolution", "Deconvolution", "InnerProduct")
BESIDE = ("BatchNorm", "Scale", "Bias", "PReLU")  # they belong to the weighted layer before them


@dataclass
class Block:
    """A weighted layer and the normalization that goes with it: what is frozen or renamed together."""

    layers: list[LayerParameter]

    @property
    def main(self) -> LayerParameter:
        return self.layers[0]


def weighted_blocks(net: NetParameter, file: Path) -> list[Block]:
    """The weighted layers of `net` in the file's order, at least two; the last one gives the classes' scores.

    Raises UserError for a net in an old format, or one whose layers cannot be counted.
    """
    if net.layers:
        raise UserError(
            f"{file}: the old `layers {{ type: CONVOLUTION }}` format; upgrade it with upgrade_net_proto_text"
        )
    blocks: list[Block] = []
    for layer in net.layer:
        if layer.type in MAIN:
            blocks.append(Block([layer]))
        elif layer.type in BESIDE and blocks and blob_count(layer):
            blocks[-1].layers.append(layer)
        elif layer.type in BESIDE and blob_count(layer):
            raise UserError(f"{file}: layer {layer.name!r} ({layer.type}) stands before the first weighted layer")
    names = [layer.name for block in blocks for layer in block.layers]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(
            f"{file}: two weighted layers are named {min(twice)!r}; Caffe copies by name, so each needs its own"
        )
    if len(blocks) < 2 or blocks[-1].main.type == "Deconvolution":
        raise UserError(
            f"{file}: {len(blocks)} weighted layers; a net here has two or more, the last of which scores the classes"
        )
    return blocks


def blob_count(layer: LayerParameter) -> int:
    """How many parameter blobs Caffe gives a layer (its LayerSetUp), at least as many as it has `param` blocks."""
    one_bottom = len(layer.bottom) == 1
    count = {
        "Convolution": 1 + layer.convolution_param.bias_term,
        "Deconvolution": 1 + layer.convolution_param.bias_term,
        "InnerProduct": 1 + layer.inner_product_param.bias_term,
        "BatchNorm": 3,
        "Scale": one_bottom + layer.scale_param.bias_term,
        "Bias": int(one_bottom),
        "PReLU": 1,
    }[layer.type]
    return max(count, len(layer.param))
