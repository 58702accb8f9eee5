"""A small net computes on one thread, as the commands call for; any other on as many as the process has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.both_engines import net_of

PROGRAM = """
import sys, torch
from torchcaffe import commands
from torchcaffe.flags import Flags
commands.time(Flags(model=sys.argv[1], iterations=1))
print(torch.get_num_threads())
"""
CONV = """layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param {
  num_output: 16 kernel_size: 3 } }"""
PRODUCT = 'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 100 } }'
WINDOWS = """layer { name: "pool" type: "Pooling" bottom: "x" top: "pool"
  pooling_param { kernel_size: 7 stride: 1 } }"""
LRN = """layer { name: "lrn" type: "LRN" bottom: "x" top: "lrn"
  lrn_param { local_size: 7 norm_region: WITHIN_CHANNEL } }"""
POOL = 'layer { name: "pool" type: "Pooling" bottom: "x" top: "pool" pooling_param { kernel_size: 2 } }'


@pytest.mark.parametrize(
    ("layer", "shape", "threads"),
    [
        (PRODUCT, (32, 784), 1),  # 2.5 million multiplications
        (PRODUCT, (64, 784), 2),
        (CONV, (32, 3, 12, 12), 1),  # 1.4 million
        (CONV, (32, 8, 16, 16), 2),  # 7 million
        (PRODUCT, (1, 7000), 2),  # 0.7 million weights, which an update reads and writes
        (WINDOWS, (1, 30, 32, 32), 1),
        (WINDOWS, (4, 30, 32, 32), 2),  # 4 million values in 80 thousand windows
        (LRN, (1, 30, 32, 32), 1),
        (LRN, (4, 30, 32, 32), 2),
        (POOL, (4, 3, 64, 64), 1),  # 60 thousand values
        (POOL, (64, 3, 64, 64), 2),  # a million
    ],
)
def test_a_small_net_takes_one_thread(tmp_path: Path, layer: str, shape: tuple[int, ...], threads: int) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer, x=shape))
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, env=environment)
    assert done.stdout == f"{threads}\n", done.stderr
