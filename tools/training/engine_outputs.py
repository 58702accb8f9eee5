"""The values of a net's outputs, from `caffe test`: BVLC Caffe and torchcaffe alike print every one of them.

    values = outputs(engine, Path("scores.prototxt"), Path("net.caffemodel"), batches=10, names=["fc7", "label"])
    values["label"]              # float32, flat: batch by batch, in each the images in order, in each its values

A value has six digits. A million of them take BVLC Caffe and this reader some seconds.
"""

import os
import re
from array import array
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from caffeformat.caffeformat_pb2 import TRAIN, LayerParameter, NetParameter
from tools.common.progress import progress
from tools.training.engine import Engine
from tools.training.gpus import gpu_slot
from tools.training.process import RunFailed, drive, said_last

_VALUE = re.compile(r"\] Batch (\d+), (\S+) = (\S+)\s*$")


def outputs(
    engine: Engine, model: Path, weights: Path, batches: int, names: Iterable[str], log: Path = Path(os.devnull)
) -> dict[str, np.ndarray]:
    """Runs `caffe test` for `batches` batches, and returns the values of the outputs `names`.

    What the engine says is kept in `log`.

    Raises RunFailed where the engine ends badly; an output that it never names has no values.
    """
    values = {name: array("f") for name in names}
    tail: deque[str] = deque(maxlen=6)
    at = 0
    with progress(str(model), batches, "batches") as update:

        def take(line: str) -> None:
            nonlocal at
            match = _VALUE.search(line)
            if not match:
                tail.append(line.strip())
                return
            if int(match[1]) > at:
                at = int(match[1])
                update(1)
            if match[2] in values:
                values[match[2]].append(float(match[3]))

        arguments = ["test", f"--model={model}", f"--weights={weights}", f"--iterations={batches}"]
        with gpu_slot(engine) as gpu:
            status, command = drive(engine, arguments, gpu, log, take)
    if status:
        raise RunFailed(f"{command}: failed {said_last(status, tail)}")
    return {name: np.frombuffer(found, np.float32) for name, found in values.items()}


def what_makes(blobs: set[str], net: NetParameter) -> list[LayerParameter]:
    """The layers of `net` in its TEST phase that these blobs come from, in the net's order."""
    needed, kept = set(blobs), []
    for layer in reversed([x for x in net.layer if not _only_in_training(x)]):
        if needed & set(layer.top):
            needed.update(layer.bottom)
            kept.append(layer)
    return kept[::-1]


def _only_in_training(layer: LayerParameter) -> bool:
    return bool(layer.include) and all(rule.HasField("phase") and rule.phase == TRAIN for rule in layer.include)
