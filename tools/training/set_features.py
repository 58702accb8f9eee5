"""What a trained net gives for the images of an LMDB: the features of its layers, and its probabilities.

`caffe test` prints them. The features of layer n are what it gives to the next layer; those of a convolution are the
mean of each channel.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import NetParameter, PoolingParameter, SolverParameter
from tools.common.files import write_atomic
from tools.nets.templates import render
from tools.protocol import layout
from tools.protocol.experiment import Experiment
from tools.protocol.heads import headline_of
from tools.protocol.layout import Run
from tools.protocol.weighted_layers import Block, weighted_blocks
from tools.training.engine import Engine
from tools.training.engine_outputs import layers_above, output_values
from tools.training.process import RunFailed

_PROBABILITIES, _FEATURES = "probabilities", "features"  # the added tops; features1 is what layer 1 gives to the next


@dataclass(frozen=True)
class SetFeatures:
    """labels: (N,). probabilities: (N, Z) of the net's own classes. of_layer: depth n -> (N, D). All float32."""

    labels: np.ndarray
    probabilities: np.ndarray
    of_layer: dict[int, np.ndarray]


@dataclass(frozen=True)
class FeaturesNet:
    """The TEST net of a run up to its classifier, over an LMDB, with these outputs added."""

    text: str
    layers: dict[int, str]  # depth n -> the name of layer n
    label: str
    batch: int  # images

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def features(self, engine: Engine, model: Path, weights: Path, images: int) -> SetFeatures:
        """Writes the net to `model` and runs it on the first `images` images of its LMDB. Raises RunFailed."""
        write_atomic(model, self.text)
        names = [self.label, _PROBABILITIES, *(f"{_FEATURES}{n}" for n in self.layers)]
        values = output_values(engine, model, weights, -(-images // self.batch), names)
        count = len(values[self.label])
        if count < images or count % self.batch:
            raise RunFailed(f"{model}: {count} labels of {images} images; caffe test must print one of each")
        arrays = {name: array.reshape(count, -1)[:images] for name, array in values.items()}
        of_layer = {n: arrays[f"{_FEATURES}{n}"] for n in self.layers}
        return SetFeatures(arrays[self.label][:, 0], arrays[_PROBABILITIES], of_layer)


def features_net(exp: Experiment, run: Run, depths: set[int], lmdb: Path, mean: Path) -> FeaturesNet:
    """The net of `run` over `lmdb`, with `mean` subtracted, for the features of these depths and of the last one."""
    file = run.folder / layout.NET
    rendered = render(exp, run)
    net = prototxt.parse(rendered.net, NetParameter(), str(file))
    solver = prototxt.parse(rendered.solver, SolverParameter(), str(file))
    blocks = weighted_blocks(net, file, solver)
    accuracy = headline_of(net, file, solver).accuracy
    logits, label = accuracy.bottom
    tops = {n: blocks[n].main.bottom[0] for n in sorted(depths | {len(blocks) - 1})}
    cut = NetParameter(name=net.name, layer=layers_above(accuracy, net, solver))
    (data,) = (x for x in cut.layer if x.type == "Data")
    data.data_param.source = str(lmdb)
    if data.transform_param.HasField("mean_file"):
        data.transform_param.mean_file = str(mean)
    has_softmax = any(layer.type == "Softmax" and logits in layer.top for layer in cut.layer)
    kind = "Flatten" if has_softmax else "Softmax"
    cut.layer.add(name=_PROBABILITIES, type=kind, bottom=[logits], top=[_PROBABILITIES])
    for n, top in tops.items():
        _give_out(cut, blocks[n - 1], top, f"{_FEATURES}{n}")
    layers = {n: blocks[n - 1].main.name for n in tops}
    return FeaturesNet(prototxt.to_text(cut), layers, label, data.data_param.batch_size)


def _give_out(net: NetParameter, block: Block, bottom: str, top: str) -> None:
    """Adds an output for `bottom`, which other layers read: for a convolution, the mean of each channel."""
    layer = net.layer.add(name=top, bottom=[bottom], top=[top], type="Flatten")
    if block.main.type != "InnerProduct":
        layer.type = "Pooling"
        layer.pooling_param.pool = PoolingParameter.AVE
        layer.pooling_param.global_pooling = True
