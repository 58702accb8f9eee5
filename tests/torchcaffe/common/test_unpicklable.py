"""What cannot be pickled in pycaffe cannot be pickled here."""

import copy
import pickle
from pathlib import Path

import pytest

import torchcaffe as caffe
from tests.helpers.both_engines import net_of
from tests.helpers.real_caffe import RealCaffe

IP = 'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 3 } }'
PROGRAM = """
import pickle
net = caffe.Net(given["path"], 1)
try:
    pickle.dumps(net)
except RuntimeError as error:
    out["text"] = np.array(str(error))
"""


def test_nets_solvers_and_blobs_are_neither_pickled_nor_copied(real_caffe: RealCaffe, tmp_path: Path) -> None:
    path, solver = tmp_path / "net.prototxt", tmp_path / "solver.prototxt"
    path.write_text(net_of(IP, x=(2, 3)))
    solver.write_text(f'net: "{path}" base_lr: 0.1 lr_policy: "fixed"')
    assert "is not enabled" in str(real_caffe.run(PROGRAM, path=str(path))["text"])
    net = caffe.Net(path, caffe.TEST)
    for each in (net, net.blobs, net.params["ip"], net.blobs["x"], caffe.SGDSolver(solver)):
        for call in (pickle.dumps, copy.deepcopy):
            with pytest.raises(RuntimeError, match=r"Pickling of \w+ instances is not enabled"):
                call(each)
    assert pickle.loads(pickle.dumps(net.blobs["x"].data)).shape == (2, 3)
