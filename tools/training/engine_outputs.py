"""The values of a net's output blobs, read from the log of `caffe test`, which prints every one of them.

    values = output_values(engine, Path("scores.prototxt"), Path("net.caffemodel"), batches=10, names=["fc7", "label"])
    values["label"]     # float32, flat: the batches in order, in a batch its images in order, of an image its values

BVLC Caffe and torchcaffe print the same lines. Values have six digits. A million of them take a few seconds.
"""

import os
import re
from array import array
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from caffeformat.caffeformat_pb2 import TEST, LayerParameter, NetParameter, SolverParameter
from tools.caffe_log import LogReader
from tools.caffe_log.rows import number
from tools.common.progress import progress
from tools.protocol.net_graph import graph_of
from tools.training import output
from tools.training.engine import Engine
from tools.training.gpus import gpu_slot
from tools.training.output import OutputFault
from tools.training.process import RunFailed, describe_exit, run_engine

_VALUE = re.compile(r"\] Batch (\d{1,9}), (.+) = (\S+)\s*$")


def output_values(
    engine: Engine, net: Path, weights: Path, batches: int, names: Iterable[str], log: Path = Path(os.devnull)
) -> dict[str, np.ndarray]:
    """Runs `caffe test` on `net` (a prototxt) for `batches` batches. Returns the values of the outputs `names`.

    Each array is flat and float32. An output that the engine never prints gives an empty array. The engine's log is
    written to `log`. Raises RunFailed if the engine fails, or prints more batches or a GB for one batch.
    """
    values = {name: array("f") for name in names}
    reader = LogReader()
    batch = size = 0
    with progress(str(net), batches, "batches") as update:

        def read_line(line: str) -> None:
            nonlocal batch, size
            size += len(line)
            if size > output.MOST:
                raise OutputFault(f"printed more than {output.MOST:,} bytes for one batch")
            match = _VALUE.search(line)
            value = number(match[3]) if match else None
            if match is None or value is None:
                reader.feed(line)
                return
            if int(match[1]) != batch:
                if not batch < int(match[1]) < batches:
                    raise OutputFault(f"printed batch {match[1]} after batch {batch}; {batches} were asked for, from 0")
                batch, size = int(match[1]), 0
                update(1)
            if match[2] in values:
                values[match[2]].append(value)

        arguments = ["test", f"--model={net}", f"--weights={weights}", f"--iterations={batches}"]
        with gpu_slot(engine) as gpu:
            most = output.MOST * batches if log == Path(os.devnull) else output.MOST
            status, command = run_engine(engine, arguments, gpu, log, read_line, most=most)
    if status:
        messages = reader.finish()
        raise RunFailed(f"{command}: failed {describe_exit(status, messages.fatal or messages.tail)}")
    return {name: np.frombuffer(printed, np.float32) for name, printed in values.items()}


def layers_producing(
    blobs: Iterable[str], net: NetParameter, solver: SolverParameter | None = None
) -> list[LayerParameter]:
    """The layers that compute these blobs in the TEST phase of `net`, in the order of the net, for `caffe test`.

    `solver` has the state of its test net.
    """
    return _for_caffe_test(net, graph_of(net, TEST, solver).producing(blobs))


def layers_above(
    layer: LayerParameter, net: NetParameter, solver: SolverParameter | None = None
) -> list[LayerParameter]:
    """The layers that compute what `layer` of `net` reads in the TEST phase, likewise.

    Layers that change a blob in place after `layer` has read it are left out.
    """
    graph = graph_of(net, TEST, solver)
    position = next(at for at in graph.layers if net.layer[at] == layer)
    return _for_caffe_test(net, graph.above(position))


def _for_caffe_test(net: NetParameter, positions: Iterable[int]) -> list[LayerParameter]:
    """These layers; without rules on stages and levels, because `caffe test` has none."""
    layers = []
    for position in sorted(positions):
        layer = LayerParameter()
        layer.CopyFrom(net.layer[position])
        if any(
            rule.stage or rule.not_stage or rule.HasField("min_level") or rule.HasField("max_level")
            for rule in (*layer.include, *layer.exclude)
        ):
            del layer.include[:], layer.exclude[:]
        layers.append(layer)
    return layers
