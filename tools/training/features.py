"""What a layer of a trained net answers to images: its features, through the engine itself."""

import tempfile
from pathlib import Path

import numpy as np

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import NetParameter
from tools.common.errors import UserError
from tools.common.files import write_atomic
from tools.training.engine import Engine
from tools.training.engine_outputs import outputs, what_makes

_BATCH = 50  # images at a time, at most


def features(engine: Engine, net: Path, weights: Path, layer: str, lmdb: Path, images: int) -> np.ndarray:
    """The answers of `layer` to the first `images` of `lmdb`: float32, images x values.

    `net` is a run's train_val.prototxt: of its TEST phase all is used but the place of the images. In-place layers
    behind the layer (its ReLU) are part of it. Raises UserError where there is no such layer or the engine fails.
    """
    batch = max(n for n in range(1, _BATCH + 1) if images % n == 0)
    cut, top = _cut(net, layer, lmdb, batch)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / f"{layer.replace('/', '-')}.prototxt"
        write_atomic(model, prototxt.to_text(cut))
        values = outputs(engine, model, weights, images // batch, [top])[top]
    if not len(values) or len(values) % images:
        raise UserError(f"{net}: {engine.name} printed {len(values)} values of {layer} for {images} images")
    return values.reshape(images, -1)


def _cut(file: Path, layer: str, lmdb: Path, batch: int) -> tuple[NetParameter, str]:
    """The TEST net of `file` as far as `layer`, on the images of `lmdb`; and the layer's top."""
    net = prototxt.read_net(file)
    found = [x for x in net.layer if x.name == layer and x.top and x.type != "Data"]
    if not found:
        names = ", ".join(x.name for x in net.layer if x.type in ("Convolution", "InnerProduct", "Pooling"))
        raise UserError(f"{file}: no layer {layer!r}; there are {names}")
    top = found[0].top[0]
    cut = NetParameter(name=net.name)
    cut.layer.extend(what_makes({top}, net))
    (data,) = (x for x in cut.layer if x.type == "Data")
    data.data_param.source, data.data_param.batch_size = str(lmdb), batch
    return cut, top
