"""The image that TEST_IMAGE names, `cpu` or `cuda`, as `make test-image` or `make test-image-cuda` builds it first.

Without that setting no test here is collected: an image takes minutes, and an engine.
"""

import json
import subprocess
from pathlib import Path

import pytest

from tests.helpers.containers import CHECKOUT, TARGET, Containers

collect_ignore = {"cpu": ["test_cuda.py"], "cuda": ["test_gtest.py"]}.get(TARGET, [])
collect_ignore_glob = [] if TARGET else ["test_*.py"]


@pytest.fixture
def image(tmp_path: Path) -> Containers:
    tmp_path.chmod(0o777)
    return Containers(tmp_path)


@pytest.fixture
def config(image) -> dict:
    """The image's configuration, as the OCI's specification of images has it."""
    script = ". docker/engine.sh && choose_engine && echo $engine && $engine inspect --type image $(image $1)"
    shell = ["sh", "-ec", script, "docker/tests", TARGET]
    engine, _, found = subprocess.run(shell, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.partition(
        "\n"
    )
    about = json.loads(found)
    return about["OCIv1"]["config"] if engine == "buildah" else about[0]["Config"]
