"""With --precision=bf16 a processor that has them runs bfloat16 instructions: oneDNN says which ones it takes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import engine_runs, small_net
from torchcaffe.common import cpu

# conv2 is done as products of matrices; its maps are 3 x 3.
DEEPER = """
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 128 kernel_size: 8 stride: 16 weight_filler { type: "xavier" } } }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
  convolution_param { num_output: 128 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv2" top: "ip"
  inner_product_param { num_output: 64 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
_RUN = re.compile(r"^onednn_verbose,v1,primitive,exec,cpu,(convolution|matmul|inner_product),([^,]+),[^,]*,([^,]+),")


@pytest.mark.slow
@pytest.mark.skipif(not cpu.has_bf16(), reason="this processor has neither avx512_bf16 nor amx_bf16")
def test_all_products_take_the_bf16_instructions(tmp_path: Path, small_data: Path) -> None:
    folder = small_net.experiment(tmp_path / "run", small_data, "")
    data = small_net.NET.partition('layer {\n  name: "conv"')[0]
    (folder / "net.prototxt").write_text(data + DEEPER)
    (folder / "solver.prototxt").write_text(
        'net: "net.prototxt" lr_policy: "fixed" base_lr: 0.01 max_iter: 2 snapshot_after_train: false'
    )
    command = [sys.executable, "-m", "torchcaffe", *small_net.TRAIN, "--precision=bf16"]
    environment = {**os.environ, "ONEDNN_VERBOSE": "1", "PYTHONPATH": str(engine_runs.CHECKOUT)}
    environment |= {"TORCHCAFFE_WARM": "0"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    runs = [match.groups() for line in done.stdout.splitlines() if (match := _RUN.match(line))]
    kinds = {kind for kind, _, _ in runs}
    assert "convolution" in kinds
    assert kinds & {"matmul", "inner_product"}
    for kind, implementation, tensors in runs:
        with_bf16 = r"avx512_core_(bf16|amx|fp16)|avx10_\d_512"  # AVX10 contains AVX512_BF16
        assert re.search(with_bf16, implementation), (kind, implementation)
        assert "f32" not in re.sub(r"bia[^ ]*", "", tensors), (kind, tensors)
    assert len(runs) >= 2 * 20, "conv1: two an iteration, conv2: 9 + 9 + 9, ip: three"
