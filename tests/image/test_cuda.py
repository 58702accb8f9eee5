"""The image for GPUs: the code that it holds, and what it does without a GPU."""

import re
from collections import Counter

import pytest

pytestmark = pytest.mark.slow

NATIVE = ["sm_52", "sm_61", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]


def architectures(image, option: str) -> Counter:
    """How many kernels or files libcaffe has for each architecture; only the stage that built it has cuobjdump."""
    said = image("cuobjdump", option, "/opt/caffe/lib/libcaffe.so.1.0.0", target="build-cuda")
    return Counter(re.findall(r"\.(sm_\d+)\.", said))


def test_libcaffe_has_native_code_for_each_gpu_that_is_claimed(image):
    found = architectures(image, "--list-elf")
    assert sorted(found) == NATIVE
    assert len(set(found.values())) == 1, "each has as much as the others"


def test_libcaffe_has_ptx_for_newer_gpus(image):
    assert sorted(architectures(image, "--list-ptx")) == ["sm_90"]


def test_without_a_gpu_it_tells_what_it_trains_on_and_why(image):
    assert re.search(r"training +note +on the CPU, \d+ cores: no NVIDIA GPU here", image("make", "doctor"))


def test_asking_for_a_gpu_that_is_not_there_ends_with_cudas_own_words(image):
    said = image.shell("! caffe device_query --gpu 0 2>&1")
    assert "CUDA driver version is insufficient" in said or "no CUDA-capable device" in said
