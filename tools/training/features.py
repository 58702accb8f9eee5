"""Features: the output of one layer of a trained net for the images of an LMDB, computed by the engine."""

import tempfile
from pathlib import Path

import numpy as np

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import NetParameter
from tools.common.errors import UserError
from tools.common.files import write_atomic
from tools.training.engine import Engine
from tools.training.engine_outputs import layers_producing, output_values

_MAX_BATCH = 50  # images


def layer_features(engine: Engine, net: Path, weights: Path, layer: str, lmdb: Path, images: int) -> np.ndarray:
    """The output of `layer` for the first `images` images of `lmdb`: float32, images x values.

    `net` is a run's train_val.prototxt. Its TEST phase is used as it is, with `lmdb` as its source. In-place layers
    that follow the layer (its ReLU) are included. Raises UserError if there is no such layer or the engine fails.
    """
    batch = max(n for n in range(1, _MAX_BATCH + 1) if images % n == 0)
    cut, top = _cut_at(net, layer, lmdb, batch)
    with tempfile.TemporaryDirectory() as folder:
        cut_file = Path(folder) / f"{layer.replace('/', '-')}.prototxt"
        write_atomic(cut_file, prototxt.to_text(cut))
        values = output_values(engine, cut_file, weights, images // batch, [top])[top]
    if not len(values) or len(values) % images:
        raise UserError(f"{net}: {engine.name} printed {len(values)} values of {layer} for {images} images")
    return values.reshape(images, -1)


def _cut_at(file: Path, layer: str, lmdb: Path, batch: int) -> tuple[NetParameter, str]:
    """The TEST net of `file` up to `layer`, reading `lmdb`; and the top of the layer."""
    net = prototxt.read_net(file)
    matching = [x for x in net.layer if x.name == layer and x.top and x.type != "Data"]
    if not matching:
        names = ", ".join(x.name for x in net.layer if x.type in ("Convolution", "InnerProduct", "Pooling"))
        raise UserError(f"{file}: no layer {layer!r}; there are {names}")
    top = matching[0].top[0]
    cut = NetParameter(name=net.name)
    cut.layer.extend(layers_producing({top}, net))
    (data,) = (x for x in cut.layer if x.type == "Data")
    data.data_param.source, data.data_param.batch_size = str(lmdb), batch
    return cut, top
