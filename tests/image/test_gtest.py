"""BVLC Caffe's own tests, compiled as it is and run in the image."""

import re

import pytest

pytestmark = pytest.mark.slow


def test_every_cpu_test_of_caffe_passes(image):
    said = image.shell("cd /src/caffe && caffe-gtest --gtest_filter='-*GPU*'", target="gtest")
    passed = re.search(r"^\[  PASSED  \] (\d+) tests", said, re.M)
    assert passed and int(passed[1]) > 1000 and "[  FAILED  ]" not in said
