"""What a data layer brings, in both engines: batches, and whole runs."""

from pathlib import Path

import torchcaffe
from tests.helpers import engine_runs
from tests.helpers.both_engines import Figures
from tests.helpers.real_caffe import Arrays, RealCaffe
from torchcaffe.common import context, hdf5_file
from torchcaffe.random.c_rand import CRand

# C's rand() goes on from request to request: each begins as a new process would.
BATCHES = """
import ctypes
ctypes.CDLL(None).srand(1)
caffe.set_mode_cpu()
caffe.set_random_seed(given["seed"])
net = caffe.Net(given["net"], given["phase"])
for i in range(given["count"]):
    for name, array in net.forward().items():
        out[f"{i} {name}"] = array.copy()
"""


def batches_of_both(
    real: RealCaffe, folder: Path, text: str, phase: int, count: int, seed: int = 3
) -> tuple[Arrays, Arrays]:
    """The outputs of `count` forward passes, ours and Caffe's: `0 data`, ..."""
    found = batches(folder, text, phase, count, seed)
    return found, real.run(BATCHES, net=str(folder / "net.prototxt"), phase=phase, count=count, seed=seed)


def batches(folder: Path, text: str, phase: int, count: int, seed: int = 3) -> Arrays:
    """Ours alone."""
    path = folder / "net.prototxt"
    path.write_text(text)
    torchcaffe.set_mode_cpu()
    torchcaffe.set_random_seed(seed)
    forget_earlier_runs()
    net = torchcaffe.Net(path, phase)
    return {f"{i} {name}": array.copy() for i in range(count) for name, array in net.forward().items()}


def forget_earlier_runs() -> None:
    """Starts C's rand() again, and forgets which lines that are logged once per run were logged."""
    context.current().c_rand = CRand()
    hdf5_file.log_datatype_class.cache_clear()


def equal_batches(figures: Figures, what: str, found: Arrays, right: Arrays) -> None:
    assert found.keys() == right.keys()
    for name in right:
        assert found[name].dtype == right[name].dtype, name
        figures.note_arrays(f"{what}: batches", found[name], right[name], 0)


SOLVER = """
net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 max_iter: 12 display: 1 snapshot: 6
snapshot_prefix: "out" random_seed: 5 solver_mode: CPU
"""

LEARN = """
layer { name: "score" type: "InnerProduct" bottom: "%s" top: "score" inner_product_param { num_output: 9
  weight_filler { type: "gaussian" std: 0.001 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
"""


def training_is_caffes_and_resumes_exactly(caffe: Path, folder: Path, data_layer: str, bottom: str) -> None:
    """Training on `bottom` and `label` of `data_layer` logs what Caffe logs, and a resumed run is equal."""
    (folder / "net.prototxt").write_text(data_layer + LEARN % bottom)
    (folder / "solver.prototxt").write_text(SOLVER)
    forget_earlier_runs()
    arguments = ("train", "--solver=solver.prototxt")
    found, right = engine_runs.ours(folder, *arguments), engine_runs.real(caffe, folder, *arguments)
    assert (found.code, right.code) == (0, 0), found.log[-2000:] + right.log[-2000:]
    engine_runs.same(found, right)
    straight = engine_runs.ours(folder, *arguments).lines("loss = ")  # C's rand() is further on: another order
    weights = (folder / "out_iter_12.caffemodel").read_bytes()
    resumed = engine_runs.ours(folder, *arguments, "--snapshot=out_iter_6.solverstate")
    assert resumed.lines("loss = ")[-7:] == straight[-7:]
    assert (folder / "out_iter_12.caffemodel").read_bytes() == weights


def hdf5_layer(source: str, settings: str = "batch_size: 4", tops: str = "x label vectors") -> str:
    """`source` is one of the lists of the fixture `hdf5_files`."""
    names = " ".join(f'top: "{top}"' for top in tops.split())
    return f"""layer {{ name: "it" type: "HDF5Data" {names} hdf5_data_param {{ source: "{source}" {settings} }} }}"""
