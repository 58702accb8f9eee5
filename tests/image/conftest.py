"""The image that TEST_IMAGE names, `cpu` or `cuda`, as `make test-image` or `make test-image-cuda` builds it first.

Without that setting every test here is skipped: an image takes minutes, and an engine.
"""

import json
import subprocess
from pathlib import Path

import pytest
from containers import CHECKOUT, TARGET, Containers


@pytest.fixture
def only(image):
    """`only("cuda")` skips a test in the other image."""

    def check(target: str) -> None:
        if target != TARGET:
            pytest.skip(f"only in the image {target}")

    return check


@pytest.fixture
def image(tmp_path: Path) -> Containers:
    if not TARGET:
        pytest.skip("make test-image")
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
