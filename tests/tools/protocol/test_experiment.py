"""Experiment files: what is read, how overrides name an experiment, and how each mistake is reported."""

from pathlib import Path

import pytest

from tools.common.errors import UserError
from tools.protocol.experiment import load

GOOD = """\
# a comment
dataset: folder
path: images
image_size: 64
full_size: 50
sizes: [50, 10]
model: alexnet
solver: alexnet
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "trial.yaml"
    file.write_text(text)
    return file


def test_every_experiment_of_the_checkout_loads(checkout):
    files = sorted((checkout / "experiments").glob("*.yaml"))
    assert {"demo", "tiny", "places", "tiny-prestudy", "places-prestudy"} <= {load(file).name for file in files}


def test_the_thesis_experiments_have_its_numbers(checkout):
    tiny, places = (load(checkout / "experiments" / f"{name}.yaml") for name in ("tiny", "places"))
    assert (tiny.sizes, tiny.full_size) == ([500, 400, 300, 200, 100, 50], 500)
    assert (places.sizes, places.full_size) == ([1000, 900, 800, 700, 600, 500], 1000)
    for exp in (tiny, places):
        assert exp.conditions == ["base", "FTall", "S1T", "S2T", "S3T", "S4T", "S5T", "S6T", "S7T"]
        assert (exp.nested, exp.mean, exp.directions) == (True, "target", ["A2B", "B2A"])


def test_selecting_overrides_keep_the_name_and_others_become_part_of_it(tmp_path):
    file = written(tmp_path, GOOD)
    assert load(file, "sizes=[10] conditions=[base,S2T] seeds=[3] directions=[A2B] path=elsewhere").name == "trial"
    assert load(file, "nested=false max_iter=200").name == "trial+max_iter=200+nested=false"
    assert load(file, "precision=bf16").name == "trial+precision=bf16"
    assert load(file, "model=prototxt/mine").name == "trial+model=prototxt%2Fmine"
    assert load(file, "sizes=[10] max_iter=200").sizes == [10]


MISTAKES = {
    "an unknown key": ("sizez: [5]\n", "trial.yaml:9: sizez: unknown key; did you mean `sizes`?"),
    "a key twice": ("model: caffenet\n", "trial.yaml:9: model: given twice, first at "),
    "a wrong type": ("max_iter: many\n", "trial.yaml:9: max_iter: found 'many'"),
    "a number as a word": ("max_iter: '200'\n", "trial.yaml:9: max_iter: found '200'"),
    "a wrong choice": ("mean: both\n", "trial.yaml:9: mean: found 'both'; input should be 'target' or 'source'"),
    "no condition": (
        "conditions: [base, S0T]\n",
        "trial.yaml:9: conditions: found ['base', 'S0T']; 'S0T' is no condition",
    ),
    "a repeated seed": ("seeds: [1, 1]\n", "trial.yaml:9: seeds: found [1, 1]; [1, 1] names one twice"),
    "a negative seed": ("seeds: [-1]\n", "trial.yaml:9: seeds: found -1"),
    "not YAML": ("model: [alexnet\n", "trial.yaml:10: not YAML"),
}


@pytest.mark.parametrize("line, told", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_with_its_line(tmp_path, line, told):
    with pytest.raises(UserError) as error:
        load(written(tmp_path, GOOD + line))
    assert told in str(error.value)


def test_a_size_larger_than_the_class_is_refused_with_its_line(tmp_path):
    with pytest.raises(UserError, match=r"trial.yaml:6: sizes: 60 images a class; a whole class has full_size: 50"):
        load(written(tmp_path, GOOD.replace("[50, 10]", "[60, 10]")))


def test_all_is_a_size_only_where_the_full_size_is_all(tmp_path):
    assert load(written(tmp_path, GOOD.replace("full_size: 50", "full_size: all"))).sizes == [50, 10]
    with pytest.raises(UserError, match=r"sizes: all; the whole half is full_size here: write 50"):
        load(written(tmp_path, GOOD.replace("[50, 10]", "[all, 10]")))


def test_a_missing_key_and_a_missing_file_are_told(tmp_path):
    with pytest.raises(UserError, match="model: missing"):
        load(written(tmp_path, GOOD.replace("model: alexnet\n", "")))
    with pytest.raises(UserError, match=r"other.yaml: no such file; it should be an experiment file; .*trial.yaml"):
        load(tmp_path / "other.yaml")
    with pytest.raises(UserError, match="a list of `key: value` lines"):
        load(written(tmp_path, "- a\n- b\n"))


@pytest.mark.parametrize(
    "text, told",
    [
        ("max_iter", "not `key=value`"),
        ("seeds=[1] seeds=[2]", "SET: seeds: given twice"),
        ("speed=9", "SET: speed: unknown key"),
        ("sizes=[10", "not `key=value`"),
        ("path={a", "SET: path: '{a' is no value"),
        ("path=2024-13-45", "SET: path: found 2024-13-45; put a text that looks like a date in quotes"),
        ("sizes=[010]", "SET: sizes: found 010; write a whole number in decimal digits"),
        ("gray=yes", "SET: gray: found yes; write true or false"),
        ("base_lr=1e400", "SET: base_lr: found inf; input should be a finite number"),
        ("max_iter=3000000000", "SET: max_iter: found 3000000000"),
    ],
)
def test_a_wrong_override_is_told_as_such(tmp_path, text, told):
    with pytest.raises(UserError, match="SET") as error:
        load(written(tmp_path, GOOD), text)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("...yaml", "its folders would be called '..'"),
        ("..yaml", "its folders would be called '.'"),
        (".hidden.yaml", "its folders would be called '.hidden'"),
        ("two\nlines.yaml", r"two\\nlines: a name with characters that cannot be printed"),
        ("M\udcfcller.yaml", r"M\\udcfcller: a name with characters that cannot be printed, or not in UTF-8"),
        ("x" * 240 + ".yaml", "240 bytes, at most 237; shorten the name of the file"),
    ],
)
def test_a_name_that_cannot_be_a_folders_is_refused(tmp_path, name, told):
    file = written(tmp_path, GOOD)
    file = file.rename(file.with_name(name))
    with pytest.raises(UserError, match=told):
        load(file)


@pytest.mark.parametrize("name", ["a b", "a$(touch x)", "a{x}", "it's", 'say "hi"', "Müller", "猫", "-x", "a*[b]"])
def test_a_name_that_can_be_a_folders_is_taken_as_it_is(tmp_path, name):
    file = written(tmp_path, GOOD)
    assert load(file.rename(file.with_name(f"{name}.yaml")), "max_iter=200").name == f"{name}+max_iter=200"
