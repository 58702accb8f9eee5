"""The thread that reads ahead takes no part of PyTorch's threads. Batches themselves: tests/torchcaffe/data/."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from caffeformat import datum, lmdb_file
from torchcaffe.layer_types.base_data import _channels_last

PROGRAM = """
import os, sys, threading
import numpy as np, torch
import torchcaffe as caffe
torch.rand(2**20).add_(1)  # brings PyTorch's own threads
net = caffe.Net(sys.argv[1], caffe.TRAIN)
before = set(os.listdir("/proc/self/task"))
for _ in range(3):
    net.forward()
new = set(os.listdir("/proc/self/task")) - before
readers = {str(each.native_id) for each in threading.enumerate() if each.name.startswith("data layer")}
print(len(readers), len(new - readers))
"""


def test_reading_ahead_starts_no_threads_of_openmp(tmp_path: Path) -> None:
    """With a second team libgomp counts more threads than cores, and each product waits for threads to wake."""
    assert threads(tmp_path, batch_size=40) == ["1", "0"]  # the layer's own thread, and no other


def test_a_small_batch_is_read_without_a_thread(tmp_path: Path) -> None:
    assert threads(tmp_path, batch_size=5) == ["0", "0"]
    assert threads(tmp_path, batch_size=6) == ["1", "0"]


def threads(folder: Path, batch_size: int) -> list[str]:
    """How many threads of data layers there are after three batches of 3x64x64, and how many others are new."""
    shape = (3, 64, 64)
    images = [(lmdb_file.key(i, f"{i}.jpg"), datum.encode(np.full(shape, i, np.uint8), i)) for i in range(40)]
    if not (folder / "lmdb").exists():
        lmdb_file.write(folder / "lmdb", images)
    data = f'data_param {{ source: "{folder}/lmdb" backend: LMDB batch_size: {batch_size} }}'
    path = folder / "net.prototxt"
    path.write_text(f'layer {{ name: "d" type: "Data" top: "x" {data} }} layer {{ type: "Silence" bottom: "x" }}')
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "GLOG_minloglevel": "2"}
    call = [sys.executable, "-c", PROGRAM, path]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, timeout=120, check=True)
    return done.stdout.split()


@pytest.mark.parametrize("shape", [(5, 1, 4, 6), (5, 3, 4, 6), (5, 9, 4, 6), (5, 9, 1, 1)], ids=str)
def test_the_order_in_memory_is_changed_and_the_values_are_not(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    found = _channels_last(images)
    assert found.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(found.numpy(), images)
