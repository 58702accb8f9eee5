"""A script's arrays in a net of each layer type, against pycaffe: held over passes, and written through flat views."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from tests.helpers.both_engines import distance
from tests.helpers.net_of_each_layer import NETS
from tests.helpers.real_caffe import RealCaffe

ONLY_HERE = {"Pooling stochastic"}  # on a CPU
PROGRAM = """
caffe.set_random_seed(1)
net = caffe.Net(given["path"], 0)
def keep(name, *arrays):
    out[name] = np.concatenate([np.ravel(array) for array in arrays] or [np.zeros(1)]).astype(np.float32)
def run():
    caffe.set_random_seed(2)
    net.clear_param_diffs()
    net.forward(x=given["x"], label=given["label"])
    net.backward()
run()
weights = [blob.data for blobs in net.params.values() for blob in blobs]
diffs = [blob.diff for blobs in net.params.values() for blob in blobs]
tops = [net.blobs[name].data for name in ("a", "b", "loss")]
keep("first", *(weights + diffs + tops))
for array in weights:
    array.reshape(-1)[::3] *= 0.5
run()
for index, array in enumerate(weights):
    keep("weights %d" % index, array)
for index, array in enumerate(diffs):
    keep("diff %d" % index, array)
keep("tops", *tops)
tops[0].reshape(-1)[:300] = 0.25
caffe.set_random_seed(2)
names = list(net._layer_names)
net.forward(start=names[names.index("first") + 1])
keep("from a", *tops)
keep("asked", *[net.blobs[name].data for name in ("a", "b", "loss")])
"""


@pytest.mark.parametrize("name", sorted(NETS.keys() - ONLY_HERE))
def test_arrays_are_pycaffes(real_caffe: RealCaffe, tmp_path: Path, name: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(NETS[name])
    random = np.random.default_rng(3)
    x, label = random.standard_normal((8, 4, 9, 9)).astype(np.float32), random.integers(0, 5, 8).astype(np.float32)
    right = real_caffe.run(PROGRAM, path=str(path), x=x, label=label)
    found: dict[str, np.ndarray] = {}
    exec(PROGRAM, {"caffe": caffe, "np": np, "given": {"path": path, "x": x, "label": label}, "out": found})
    assert found.keys() == right.keys()
    for key in right:
        is_rounding = np.abs([found[key], right[key]]).max() < 1e-6  # of a sum that is 0, below a normalization
        assert is_rounding or distance(found[key], right[key]) < 2e-4, key
