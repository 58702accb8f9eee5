"""The stages of an experiment in a project whose runs are trained: each complete, and what makes it incomplete."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.common.files import load_json, write_json
from tools.planning.stages import ORDER, stages_of
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import split_of
from tools.summarize import summarize


def complete(exp: Experiment) -> list[str]:
    return [name for name, stages in stages_of(exp, "caffe").items() if all(stage.is_complete for stage in stages)]


PREPARED = ["fetch", "split", "pack", "mean"]


def test_data_stages_are_complete_after_their_verbs_and_tables_follow(trained: Experiment) -> None:
    assert complete(trained) == PREPARED
    summarize(trained, "caffe")
    assert complete(trained) == [*PREPARED, "summarize"]


def test_the_stages_are_in_the_graphs_order(trained: Experiment) -> None:
    assert tuple(stages_of(trained, "caffe")) == ORDER
    seeds = load(Path("experiments/quick.yaml"), "seeds=[0,1]")
    assert [len(stages) for stages in stages_of(seeds, "caffe").values()] == [1, 2, 2, 2, 1, 1, 1, 1]


DAMAGE: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "a list is edited": (lambda folder: (folder / "B" / "n0004.txt").write_text("x 0\n"), ["fetch", "pack", "mean"]),
    "an LMDB is removed": (lambda folder: shutil.rmtree(folder / "12x12-gray/A/val"), ["fetch", "split", "mean"]),
    "a mean is edited": (
        lambda folder: (folder / "12x12-gray/B/n0012/mean.binaryproto").write_bytes(b"x"),
        ["fetch", "split", "pack"],
    ),
    "the split is gone": (lambda folder: (folder / "split.json").unlink(), ["fetch"]),
}


@pytest.mark.parametrize(("damage", "left"), DAMAGE.values(), ids=DAMAGE)
def test_an_output_that_changes_makes_its_stage_incomplete(
    trained: Experiment, damage: Callable[[Path], None], left: list[str]
) -> None:
    damage(split_of(trained, 0).folder)
    assert complete(trained) == left


def test_a_split_lmdbs_and_means_of_images_at_another_place_are_incomplete(trained: Experiment) -> None:
    marker = split_of(trained, 0).marker
    write_json(marker, load_json(marker) | {"root": "elsewhere"})
    assert complete(trained) == ["fetch"]


def test_another_size_needs_lists_lmdbs_and_means_of_its_own(trained: Experiment) -> None:
    assert complete(load(Path("experiments/quick.yaml"), "sizes=[4,2]")) == ["fetch"]


def test_tables_are_of_exactly_the_runs_that_have_ended(trained: Experiment) -> None:
    summarize(trained, "caffe")
    manifest = next(Path("models").rglob("manifest.json"))
    text = manifest.read_bytes()
    write_json(manifest, load_json(manifest) | {"attempts": 2})
    assert "summarize" not in complete(trained)
    manifest.write_bytes(text)
    assert "summarize" in complete(trained)
    Path("results/quick/curves.csv").unlink()
    assert "summarize" not in complete(trained)
