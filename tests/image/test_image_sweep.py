"""A sweep inside: on a mounted folder, as a user whom the image does not know, on the CPU."""

import csv
import re
import shutil

import pytest

from tests.helpers.containers import CHECKOUT, SOMEBODY

pytestmark = pytest.mark.slow

SHORT = "sizes=[60] conditions=[base,S1T] directions=[A2B] seeds=[0]"


@pytest.fixture
def somebodys(image):
    """The mounted folder belongs to SOMEBODY; calls are his."""
    shutil.chown(image.work, SOMEBODY, SOMEBODY)
    image.work.chmod(0o755)
    return lambda *command, **options: image(*command, user=f"{SOMEBODY}:{SOMEBODY}", **options)


def test_the_demo_net_trains_in_an_empty_folder_and_all_that_is_written_is_the_callers(image, somebodys):
    said = somebodys("make", "demo-sweep", f"SET={SHORT}", GPUS="")
    assert "No GPU here" in said and "demo: done in" in said

    with open(image.work / "results" / "demo" / "runs.csv") as file:
        runs = {row["condition"]: row for row in csv.DictReader(file)}
    assert runs["base"]["status"] == runs["S1T"]["status"] == "ok"
    assert float(runs["base"]["accuracy"]) > 0.5, "five classes: chance is 0.2"
    assert (image.work / "results" / "demo" / "figures" / "accuracy.png").stat().st_size > 10_000
    assert {file.stat().st_uid for file in image.work.rglob("*")} == {SOMEBODY}

    assert "nothing to do" in somebodys("make", "demo-sweep", f"SET={SHORT}", GPUS="")


def test_a_mounted_checkout_is_what_runs(image, somebodys):
    # given a checkout with an experiment of its own, then that one is planned
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(CHECKOUT / name, image.work)
    for name in ("tools", "caffeformat", "experiments", "prototxt", "solvers", "data/cards", "data/classes"):
        shutil.copytree(CHECKOUT / name, image.work / name, ignore=shutil.ignore_patterns("__pycache__"))
    demo = (image.work / "experiments" / "demo.yaml").read_text()
    (image.work / "experiments" / "mine.yaml").write_text(re.sub(r"(?m)^seeds: \[.*?\]", "seeds: [7]", demo))
    shutil.chown(image.work, SOMEBODY, SOMEBODY)
    said = somebodys("make", "mine-sweep", "DRY_RUN=1")
    assert "B2A/n0001/S7T/seed7" in said and "models/mine/" in said

    with open(image.work / "requirements.txt", "a") as file:
        file.write("another-package==1.0\n")
    refused = somebodys("make", "mine-sweep", status=2)
    assert "/work/requirements.txt is not the one that this image was built with" in refused


def test_a_folder_that_the_user_may_not_write_is_one_clear_error(image):
    image.work.chmod(0o755)
    said = image("make", "demo-sweep", user=f"{SOMEBODY}:{SOMEBODY}", status=2)
    assert "error: " in said and "Permission denied" in said and "Traceback" not in said
