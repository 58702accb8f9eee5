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


@pytest.mark.parametrize(("type_", "phases"), [("HDF5Data", 1), ("HDF5Data", 2), ("ImageData", 2), ("MemoryData", 1)])
def test_a_layer_in_the_place_of_a_data_layer_is_named_and_no_head_is_missed(
    mine, template: Path, type_: str, phases: int
) -> None:
    edit(template, *[('type: "Data"', f'type: "{type_}"')] * phases)
    with pytest.raises(UserError) as told:
        rendered(mine(), "base")
    assert str(told.value).splitlines() == [
        f"prototxt/mine/train_val.prototxt:{line}: no Data layer in the {phase} phase, but 'data' ({type_}); write a "
        f"Data layer in its place, with include {{ phase: {phase} }}: the pipeline makes its LMDB"
        for phase, line in (("TRAIN", 5), ("TEST", 11))[:phases]
    ]


def test_a_phase_in_which_nothing_gives_images_is_told(mine, template: Path) -> None:
    template.write_text(without_the_second_data_layer(template.read_text()))
    with pytest.raises(UserError, match="0 Data layers in the TEST phase; there must be exactly one, with include"):
        rendered(mine(), "base")


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


MEAN = 'mean_file: "data/fashion-mnist/split0/28x28-gray/A/n6000/mean.binaryproto"'
RGB = "mean_value: 104 mean_value: 117 mean_value: 123"
SECOND = "TEST phase: "
TRANSFORMS = {
    "both kinds of mean": (
        f"{MEAN} mean_value: 3",
        f"{MEAN} mean_value: 3",
        2,
        "mean_file and mean_value; Caffe takes",
    ),
    "two values for three channels": (
        2 * "mean_value: 9 ",
        2 * "mean_value: 9 ",
        2,
        "2 times mean_value; give it once, or 3",
    ),
    "no mean in TEST": (MEAN, "", 1, SECOND + "no mean, but mean_file in the TRAIN phase: .* write the same into both"),
    "no mean in TRAIN": ("", RGB, 1, SECOND + "mean_value 104, 117, 123, but no mean in the TRAIN phase"),
    "another mean": ("mean_value: 104", RGB, 1, SECOND + "mean_value 104, 117, 123, but mean_value 104, 104, 104 in"),
    "another scale": ("scale: 0.5", "scale: 0.25", 1, SECOND + "scale 0.25, but scale 0.5 in the TRAIN phase"),
}
ACCEPTED = {
    "a mean file": (MEAN, MEAN),
    "a value a channel": (RGB, RGB),
    "one value for all channels": ("mean_value: 7", 3 * "mean_value: 7 "),
    "nothing": ("", ""),
}


def set_transforms(file: Path, train: str, test: str) -> None:
    for said in (train, test):
        text = file.read_text()
        old = re.search(r"scale: \S+ (mirror: \w+ crop_size: 24 )mean_file: \S+", text)
        assert old
        file.write_text(text.replace(old[0], f"{old[1]}{said}", 1))


@pytest.mark.parametrize(("train", "test", "layers", "told"), TRANSFORMS.values(), ids=TRANSFORMS)
def test_what_is_subtracted_fits_the_images_and_is_the_same_in_both_phases(
    mine, template: Path, train: str, test: str, layers: int, told: str
) -> None:
    set_transforms(template, train, test)
    with pytest.raises(UserError) as error:
        rendered(mine(), "base")
    lines = str(error.value).splitlines()
    assert len(lines) == layers and all(
        re.search(f"val.prototxt:\\d+: Data layer 'data'.*{told}", line) for line in lines
    )


def test_gray_images_have_one_mean_value(mine, template: Path) -> None:
    set_transforms(template, RGB, RGB)
    with pytest.raises(UserError, match="3 times mean_value; give it once: the images are gray"):
        rendered(mine("gray=true"), "base")


@pytest.mark.parametrize(("train", "test"), ACCEPTED.values(), ids=ACCEPTED)
def test_the_same_in_both_phases_is_accepted(mine, template: Path, train: str, test: str) -> None:
    set_transforms(template, train, test)
    assert rendered(mine(), "base")
