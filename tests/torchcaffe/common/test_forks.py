"""A fork of a script that has computed on several threads computes, too."""

import os
import subprocess
import sys
from pathlib import Path

from tests.helpers.both_engines import net_of

CONV = """layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param { num_output: 16
  kernel_size: 3 weight_filler { type: "constant" value: 0.5 } } }"""
PROGRAM = r"""
import os, sys
import numpy as np
import torchcaffe as caffe
x = np.ones((32, 8, 16, 16), np.float32)
net = caffe.Net(sys.argv[1], caffe.TEST)
net.forward(x=x)
child = os.fork()
os.write(1, b"%f\n" % net.forward(x=2 * x)["conv"].sum())  # print may write the end of the line after the other's text
if child:
    os.waitpid(child, 0)
os._exit(0)
"""


def test_a_net_computes_in_a_fork_of_a_process_that_has_used_threads(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(CONV, x=(32, 8, 16, 16)))
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "GLOG_minloglevel": "2"}
    call = [sys.executable, "-c", PROGRAM, path]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, timeout=120, check=True)
    parent, child = done.stdout.split()
    assert float(parent) == float(child) == 32 * 16 * 14 * 14 * 8 * 9
