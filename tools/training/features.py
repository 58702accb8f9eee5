"""Features: the output of one layer of a trained net for the images of an LMDB, computed by the engine."""

import tempfile
from pathlib import Path

import numpy as np

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import TEST, NetParameter, SolverParameter
from tools.common.errors import UserError
from tools.common.files import write_atomic
from tools.protocol.net_graph import graph_of
from tools.training.engine import Engine
from tools.training.engine_outputs import layers_producing, output_values

_MAX_BATCH = 50  # images


def layer_features(
    engine: Engine, net: Path, solver: SolverParameter, weights: Path, layer: str, lmdb: Path, images: int
) -> np.ndarray:
    """The output of `layer` for the first `images` images of `lmdb`: float32, images x values.

    `net` is a run's train_val.prototxt. Its TEST phase is used as it is, in the state that `solver` gives it, with
    `lmdb` as its source. In-place layers that follow the layer (its ReLU) are included. Raises UserError if there is no
    such layer in that phase or the engine fails.
    """
    batch = max(n for n in range(1, _MAX_BATCH + 1) if images % n == 0)
    cut, top = _cut_at(net, solver, layer, lmdb, batch)
    with tempfile.TemporaryDirectory() as folder:
        cut_file = Path(folder) / f"{layer.replace('/', '-')}.prototxt"
        write_atomic(cut_file, prototxt.to_text(cut))
        values = output_values(engine, cut_file, weights, images // batch, [top])[top]
    if not len(values) or len(values) % images:
        raise UserError(f"{net}: {engine.name} printed {len(values)} values of {layer} for {images} images")
    return values.reshape(images, -1)


def _cut_at(file: Path, solver: SolverParameter, layer: str, lmdb: Path, batch: int) -> tuple[NetParameter, str]:
    """The TEST net of `file` up to `layer`, reading `lmdb`; and the top of the layer."""
    net = prototxt.read_net(file)
    tested = [net.layer[at] for at in graph_of(net, TEST, solver).layers]
    matching = [x for x in tested if x.name == layer and x.top and x.type != "Data"]
    if not matching:
        names = ", ".join(x.name for x in tested if x.type in ("Convolution", "InnerProduct", "Pooling"))
        raise UserError(f"{file}: no layer {layer!r}; there are {names} in the TEST phase")
    top = matching[0].top[0]
    cut = NetParameter(name=net.name)
    cut.layer.extend(layers_producing({top}, net, solver))
    (data,) = (x for x in cut.layer if x.type == "Data")
    data.data_param.source, data.data_param.batch_size = str(lmdb), batch
    return cut, top
