"""What benchmarks/train.py trains: images, prototxts, and how much there is to compute in them."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))

from caffeformat import blobs, datum, lmdb_file, prototxt  # noqa: E402
from caffeformat.caffeformat_pb2 import TRAIN, LayerParameter, NetParameter, NetState, SolverParameter  # noqa: E402
from tools.nets.surgery import RENAMED, freeze  # noqa: E402
from tools.protocol.conditions import Condition  # noqa: E402
from tools.protocol.weighted_layers import Block, weighted_blocks  # noqa: E402
from torchcaffe.nets.net import Net  # noqa: E402
from torchcaffe.nets.parsed_net import ParsedNet  # noqa: E402

IMAGES = 1024  # read again and again


@dataclass(frozen=True)
class Experiment:
    """`template` is a folder of prototxt/, `shape` that of the images, CHW; the classes are the template's if None."""

    template: str
    condition: str
    batch: int
    shape: tuple[int, int, int] = (3, 64, 64)
    classes: int | None = 100

    @property
    def name(self) -> str:
        return f"{self.template}, {self.condition}, batch {self.batch}"

    @property
    def file(self) -> str:
        return f"{self.template}_{self.condition}_{self.batch}"

    @property
    def images(self) -> str:
        return "x".join(map(str, self.shape))


ALEXNET = [
    Experiment("alexnet", condition, batch)
    for batch in (64, 256)
    for condition in ("base", "FTall", *(f"S{n}T" for n in range(1, 8)))
]
SMALL = [Experiment("alexnet_quarter", "base", 64), Experiment("mini", "base", 50, (1, 28, 28), 5)]


def write_images(exp: Experiment, folder: Path) -> None:
    """An LMDB of images of noise and their mean, if they are not in `folder` yet."""
    if (folder / exp.images).exists():
        return
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (IMAGES, *exp.shape), np.uint8)
    labels = random.integers(0, exp.classes, IMAGES).tolist()
    items = [(lmdb_file.key(i, f"{i}.png"), datum.encode(images[i], labels[i])) for i in range(IMAGES)]
    lmdb_file.write(folder / exp.images, items)
    (folder / f"{exp.images}.binaryproto").write_bytes(blobs.mean_bytes(images.mean(0, dtype=np.float32)))


def write_net(exp: Experiment, folder: Path) -> NetParameter:
    """The net of `exp`, for training only; layers are frozen, and renamed if they start anew, as in tools/rendering."""
    file = CHECKOUT / "prototxt" / exp.template / "train_val.prototxt"
    net = prototxt.read_net(file)
    trained = [layer for layer in net.layer if all(rule.phase == TRAIN for rule in layer.include)]
    del net.layer[:]
    net.layer.extend(trained)
    data = net.layer[0]
    data.data_param.source, data.data_param.batch_size = exp.images, exp.batch
    data.transform_param.mean_file = f"{exp.images}.binaryproto"
    layers = weighted_blocks(net, file)
    layers[-1].main.inner_product_param.num_output = exp.classes
    _set_condition(layers, Condition.parse(exp.condition))
    (folder / f"{exp.file}.prototxt").write_text(prototxt.to_text(net))
    return net


def _set_condition(layers: list[Block], condition: Condition) -> None:
    depth = len(layers) - 1 if condition.depth is None else condition.depth
    for block in layers[:depth] if condition.frozen else []:
        freeze(block.main)
    for block in layers[depth:] if condition.origin else []:
        block.main.name += RENAMED


def write_solver(exp: Experiment, folder: Path, iterations: int, display: int, snapshot: str = "") -> str:
    """The name of a solver file, all paths in it relative to `folder`; with `snapshot` it writes one at the end."""
    solver = SolverParameter(
        net=f"{exp.file}.prototxt", base_lr=0.001, lr_policy="fixed", momentum=0.9, weight_decay=0.0005,
        max_iter=iterations, display=display, random_seed=1, solver_mode=SolverParameter.CPU,
        snapshot_after_train=bool(snapshot), snapshot_prefix=snapshot or "none",
    )  # fmt: skip
    name = f"{exp.file}.solver.prototxt"
    (folder / name).write_text(prototxt.to_text(solver))
    return name


def operations_an_image(exp: Experiment, folder: Path) -> float:
    """Floating point operations an image that training takes: the products of convolutions and inner products.

    A layer's forward product costs two a weight and place of the top; so does the gradient of its weights, if they
    learn, and that of its bottom, if anything below learns. Padding is counted as if it were multiplied.
    """
    net = Net(ParsedNet(*_read(exp, folder)), NetState(phase=TRAIN))
    total, below = 0, False
    for layer, top in zip(net.layers, net.tops, strict=True):
        if layer.type in ("Convolution", "InnerProduct"):
            learns = layer.learns[0]
            places = int(np.prod(top[0].shape[2:]))
            total += 2 * layer.blobs[0].count * places * (1 + learns + below)
            below |= learns
    return total


def _read(exp: Experiment, folder: Path) -> tuple[NetParameter, list[str]]:
    """The net on an Input layer instead of its LMDB."""
    net = prototxt.read_net(folder / f"{exp.file}.prototxt")
    crop = net.layer[0].transform_param.crop_size
    source = LayerParameter(name="data", type="Input", top=net.layer[0].top)
    source.input_param.shape.add(dim=(1, exp.shape[0], crop, crop))
    source.input_param.shape.add(dim=(1,))
    net.layer[0].CopyFrom(source)
    return net, [layer.name for layer in net.layer]
