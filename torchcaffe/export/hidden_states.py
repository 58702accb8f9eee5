"""The hidden states of LSTM and RNN as inputs and outputs.

Caffe's layers keep them from pass to pass; an exported file is a function, and keeps nothing.
"""

from copy import deepcopy
from dataclasses import replace
from typing import cast

from caffeformat.caffeformat_pb2 import BlobShape, LayerParameter
from torchcaffe.export.inference import InferenceNet
from torchcaffe.layer_types.recurrent import RecurrentLayer
from torchcaffe.nets.net import Net

RECURRENT = ("LSTM", "RNN")


def static_input(layer: LayerParameter) -> str | None:
    """The blob that a layer with expose_hidden reads at all timesteps alike, or None."""
    return layer.bottom[2] if len(layer.bottom) > 1 + len(layer.top) else None


def expose(inference: InferenceNet, net: Net) -> InferenceNet:
    """A copy in which every LSTM and RNN has expose_hidden: `lstm1` reads lstm1_h_0 and lstm1_c_0, which are inputs,
    and gives lstm1_h_T and lstm1_c_T, which are outputs.

    `net` was built from `inference`. Gives `inference` itself if all have it already.
    """
    parsed = inference.parsed
    taken = {name for layer in parsed.param.layer for name in (layer.name, *layer.top)}
    layers, data, states = [], dict(inference.data), dict(inference.states)

    def unused(name: str) -> str:
        while name in taken:
            name += "_"
        taken.add(name)
        return name

    for layer, place in zip(parsed.param.layer, parsed.places, strict=True):
        if layer.type in RECURRENT and not layer.recurrent_param.expose_hidden:
            made = cast(RecurrentLayer, next(made for made in net.layers if made.name == layer.name))
            shape = BlobShape(dim=(1, net.by_name[layer.bottom[1]].shape[1], layer.recurrent_param.num_output))
            before = [unused(f"{layer.name}_{name}") for name in made.hidden]
            after = [unused(f"{layer.name}_{name[0]}_T") for name in made.hidden]
            for blob in before:
                source = LayerParameter(name=blob, type="Input", top=[blob])
                source.input_param.shape.append(shape)
                layers.append((source, place))
                data[blob] = (source, 0, place)
            layer = deepcopy(layer)  # the net that was given stays as it is
            layer.recurrent_param.expose_hidden = True
            layer.bottom.extend(before)
            layer.top.extend(after)
            states.update(zip(before, after, strict=True))
        layers.append((layer, place))
    if states == inference.states:
        return inference
    outputs = [*inference.outputs, *states.values()]
    return replace(inference, parsed=parsed.with_layers(layers), data=data, outputs=outputs, states=states)
