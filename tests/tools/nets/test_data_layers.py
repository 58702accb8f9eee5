"""The Data layers of a template: which nets have one for each phase."""

import re
from pathlib import Path

import pytest

from tests.helpers.rendered_nets import edited, rendered
from tools.common.errors import UserError

TRAIN, TEST = "include { phase: TRAIN }", "include { phase: TEST }"


@pytest.fixture
def template(checkout: Path, tmp_path: Path) -> Path:
    """A copy of the mini template, to be edited."""
    edited(checkout, tmp_path, "", "")
    return tmp_path / "prototxt" / "mine" / "train_val.prototxt"


@pytest.fixture
def mine(tiny, template: Path):
    """tiny.yaml with that template."""
    return lambda overrides="": tiny(f"model=mine crop_size=24 {overrides}")


def edit(file: Path, *edits: tuple[str, str]) -> None:
    text = file.read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    file.write_text(text)


def without_the_second_data_layer(text: str) -> str:
    start = text.index("layer {", text.index("layer {") + 1)
    return text[:start] + text[text.index("layer {", start + 1) :]


@pytest.mark.parametrize("rule", [f"{TRAIN} {TEST}", ""])
def test_a_data_layer_of_both_phases_is_refused(mine, template: Path, rule: str) -> None:
    """Only one source can be set in it: the net would train on its validation images."""
    template.write_text(without_the_second_data_layer(template.read_text()).replace(TRAIN, rule))
    told = r"train_val.prototxt:5: Data layer 'data' is in both phases, .*; write one Data layer for each phase, with"
    with pytest.raises(UserError, match=told):
        rendered(mine(), "base")


def test_a_third_data_layer_is_refused_where_a_phase_has_it(mine, template: Path) -> None:
    third = 'layer { name: "more" type: "Data" top: "more" data_param { source: "x" batch_size: 1 backend: LMDB } }\n'
    edit(template, ('layer {\n  name: "conv1"', third + 'layer {\n  name: "conv1"'))
    with pytest.raises(UserError) as told:
        rendered(mine(), "base")
    lines = [line for line in str(told.value).splitlines() if "exactly one" in line]
    places = r"\(at prototxt/mine/train_val.prototxt:\d+, prototxt/mine/train_val.prototxt:17\)"
    assert len(lines) == 2
    for line, phase in zip(lines, ("TRAIN", "TEST"), strict=True):
        assert re.search(rf"2 Data layers in the {phase} phase {places}; there must be exactly one, with include", line)
    edit(template, ('type: "Data" top: "more"', 'type: "Data" top: "more" include { stage: "never" }'))
    assert rendered(mine(), "base")


def test_a_data_layer_is_of_the_phases_that_its_rules_and_the_solvers_states_give_it(
    mine, template: Path, checkout: Path, tmp_path: Path
) -> None:
    """Caffe's StateMeetsRule: by exclude, and by stages of the solver."""
    edit(template, (TRAIN, "exclude { phase: TEST }"), (TEST, 'include { phase: TEST stage: "own" }'))
    other = 'layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST not_stage: "own" } }\n'
    edit(template, ('layer {\n  name: "conv1"', other + 'layer {\n  name: "conv1"'))
    (tmp_path / "solvers").mkdir()
    solver = (checkout / "solvers" / "mini.prototxt").read_text() + 'test_state { stage: "own" }\n'
    (tmp_path / "solvers" / "own.prototxt").write_text(solver)
    layers = rendered(mine("solver=own"), "base")[2].layer
    sources = [layer.data_param.source for layer in layers if layer.type == "Data"]
    assert sources == [f"data/tiny-imagenet/split0/64x64/B/{name}" for name in ("n0300", "val")] + [""]
