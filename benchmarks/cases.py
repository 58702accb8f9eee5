"""The nets that the training benchmarks run: images, prototxts and solvers. Paths in them are relative to a folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffeformat import blobs, datum, lmdb_file, prototxt
from caffeformat.caffeformat_pb2 import TRAIN, NetParameter, SolverParameter
from tools.common.checkout import CHECKOUT
from tools.nets.surgery import set_condition
from tools.protocol.conditions import Condition
from tools.protocol.experiment import load
from tools.protocol.weighted_layers import weighted_layers


@dataclass(frozen=True)
class Case:
    """A net of prototxt/ under a condition, with a batch size, on images of `shape` (CHW)."""

    template: str
    condition: str
    batch: int
    shape: tuple[int, int, int] = (3, 64, 64)
    classes: int = 100

    @property
    def name(self) -> str:
        return f"{self.template}, {self.condition}, batch {self.batch}"

    @property
    def file(self) -> str:
        """The stem of its files' names."""
        return f"{self.template}_{self.condition}_{self.batch}"

    @property
    def images(self) -> str:
        """The name of its LMDB, which cases of the same shape share."""
        return "x".join(map(str, self.shape))


def write_images(case: Case, folder: Path, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Writes an LMDB of `count` noise images and their mean.

    Returns the images (uint8, NCHW), their labels and the mean (float32, CHW).
    """
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (count, *case.shape), np.uint8)
    labels = random.integers(0, case.classes, count)
    mean = images.mean(0, dtype=np.float32)
    datums = ((lmdb_file.key(i, f"{i}.png"), datum.encode(images[i], int(labels[i]))) for i in range(count))
    lmdb_file.write(folder / case.images, datums)
    (folder / f"{case.images}.binaryproto").write_bytes(blobs.mean_bytes(mean))
    return images, labels, mean


def write_net(case: Case, folder: Path) -> NetParameter:
    """Writes the net of `case`, for training only, with the layers frozen and renamed as in the pipeline."""
    file = CHECKOUT / "prototxt" / case.template / "train_val.prototxt"
    net = prototxt.read_net(file)
    trained = [layer for layer in net.layer if all(rule.phase == TRAIN for rule in layer.include)]
    del net.layer[:]
    net.layer.extend(trained)
    data = net.layer[0]
    data.data_param.source, data.data_param.batch_size = case.images, case.batch
    data.transform_param.mean_file = f"{case.images}.binaryproto"
    weighted = weighted_layers(net, file)
    weighted.blocks[-1].main.inner_product_param.num_output = case.classes
    exp = load(CHECKOUT / "experiments" / "tiny.yaml", f"model={case.template}")
    set_condition(exp, net, weighted, Condition.parse(case.condition))
    (folder / f"{case.file}.prototxt").write_text(prototxt.to_text(net))
    return net


def write_solver(
    case: Case, folder: Path, iterations: int, display: int, snapshot: str = "", gpu: int | None = None
) -> str:
    """Writes a solver and returns its name. `snapshot`: the prefix of a snapshot at the end; empty for none."""
    solver = SolverParameter(
        net=f"{case.file}.prototxt", base_lr=0.001, lr_policy="fixed", momentum=0.9, weight_decay=0.0005,
        max_iter=iterations, display=display, random_seed=1, solver_mode=SolverParameter.CPU,
        snapshot_after_train=bool(snapshot), snapshot_prefix=snapshot or "none",
    )  # fmt: skip
    if gpu is not None:
        solver.solver_mode, solver.device_id = SolverParameter.GPU, gpu
    name = f"{case.file}.solver.prototxt"
    (folder / name).write_text(prototxt.to_text(solver))
    return name
