"""What an exported net is checked against: real BVLC Caffe if it is at hand, else torchcaffe itself."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import TEST, NetParameter, NetState
from torchcaffe.common.context import Context
from torchcaffe.common.log import Fatal
from torchcaffe.nets import reader
from torchcaffe.nets.net import Net
from torchcaffe.snapshots import weights

Arrays = dict[str, np.ndarray]
_PLACES = (".caffe/pycaffe", "../.caffe/pycaffe")

# Runs in the interpreter of pycaffe. Names of blobs are no names of files or arguments: they have a word in front.
_PROGRAM = """
import sys
import numpy as np
import caffe
folder, weights, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
caffe.set_mode_cpu()
net = caffe.Net(folder + "/net.prototxt", weights, caffe.TEST)
for i in range(count):
    given = dict(np.load(folder + "/given%d.npz" % i))
    for name in list(net.blobs):
        if "in " + name in given:
            net.blobs[name].reshape(*given["in " + name].shape)
    net.reshape()
    for name in list(net.blobs):
        if "in " + name in given:
            net.blobs[name].data[...] = given["in " + name]
    net.forward()
    out = dict(("data " + name, blob.data.copy()) for name, blob in net.blobs.items())
    diffs = [name for name in net.blobs if "diff " + name in given]
    for name in diffs:
        net.blobs[name].diff[...] = given["diff " + name]
    if diffs:
        for blobs in net.params.values():
            for blob in blobs:
                blob.diff[...] = 0
        net.backward()
        for name, blobs in net.params.items():
            for k, blob in enumerate(blobs):
                out["grad %s %d" % (name, k)] = blob.diff.copy()
    np.savez(folder + "/found%d.npz" % i, **out)
print(caffe.__version__)
"""


@dataclass(frozen=True)
class Case:
    """Inputs by blob, and the gradients of outputs to begin a backward pass with; none without any."""

    inputs: Arrays
    diffs: Arrays


@dataclass(frozen=True)
class Answers:
    """For each case the blobs by name and, after a backward pass, `grad LAYER INDEX`. `by` names the program."""

    by: str
    cases: list[Arrays]
    note: str = ""


def find_pycaffe(named: str) -> Path | None:
    """The interpreter in which `import caffe` is BVLC Caffe: `named`, else PYCAFFE, `pycaffe` on the PATH, .caffe/.

    Raises Fatal if the one that is named is not there.
    """
    name = named or os.environ.get("PYCAFFE", "")
    if name in ("none", "0"):
        return None
    for place in [name] if name else ["pycaffe", *_PLACES]:
        if found := shutil.which(place):
            return Path(found).absolute()
    if name:
        raise Fatal(f"--pycaffe={name}: no such executable; name the Python in which `import caffe` is BVLC Caffe")
    return None


def ask(param: NetParameter, caffemodel: Path, cases: Sequence[Case], pycaffe: Path | None, otherwise: str) -> Answers:
    """What the net computes in `cases`, by BVLC Caffe in `pycaffe`, or if it is None, or fails, by torchcaffe,
    which is called `otherwise`."""
    note = ""
    if pycaffe:
        try:
            return _ask_caffe(param, caffemodel, cases, pycaffe)
        except RuntimeError as error:
            note = f"{pycaffe} could not run this net: {error}"
    return Answers(otherwise, [compute(param, caffemodel, case) for case in cases], note)


def _ask_caffe(param: NetParameter, caffemodel: Path, cases: Sequence[Case], pycaffe: Path) -> Answers:
    """Raises RuntimeError if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "net.prototxt").write_text(prototxt.to_text(param), encoding="utf-8")
        for index, case in enumerate(cases):
            given = {f"in {name}": array for name, array in case.inputs.items()}
            given |= {f"diff {name}": array for name, array in case.diffs.items()}
            _save(Path(folder, f"given{index}.npz"), given)
        command = [str(pycaffe), "-c", _PROGRAM, folder, str(caffemodel.absolute()), str(len(cases))]
        environment = os.environ | {"GLOG_minloglevel": "2", "GLOG_logtostderr": "1"}
        for name in ("PYTHONPATH", "PYTHONHOME"):
            environment.pop(name, None)
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "stack trace" not in line and line.strip()]
            said = next((line for line in lines if line.startswith("F")), lines[-1] if lines else "no message")
            raise RuntimeError(f"exit {done.returncode}: {said[:300]}")
        found = []
        for index in range(len(cases)):
            with np.load(Path(folder, f"found{index}.npz")) as arrays:
                found.append({name.removeprefix("data "): array for name, array in arrays.items()})
    return Answers(f"BVLC Caffe {done.stdout.split()[-1]}", found)


def _save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    np.savez(path, **dict(arrays))  # type: ignore[arg-type]  # numpy's types take the names for other arguments


def compute(param: NetParameter, caffemodel: Path, case: Case, dtype: torch.dtype = torch.float32) -> Arrays:
    """What torchcaffe computes in one case."""
    net = Net(reader.from_message(param, "the net"), NetState(phase=TEST), Context(dtype=dtype))
    weights.load(net, caffemodel)
    inputs = {name: array for name, array in case.inputs.items() if name in net.by_name}  # the net may be a part of it
    for name, array in inputs.items():
        net.by_name[name].reshape(*array.shape)
    net.reshape()
    for name, array in inputs.items():
        net.by_name[name].data = array
    net.forward()
    out = {blob.name: np.array(blob.data) for blob in net.blobs}
    if case.diffs:
        for name, array in case.diffs.items():
            net.by_name[name].diff = array
        net.backward()
        for layer in net.layers:
            out |= {f"grad {layer.name} {index}": np.array(blob.diff) for index, blob in enumerate(layer.blobs)}
    return out
