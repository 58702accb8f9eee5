"""The verb split: halves and target sets as docs/protocol.md describes them."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.file_stamp import stamp
from tests.helpers.image_projects import experiment, folder_experiment, image_folder, inside, read_list, verb
from tests.helpers.pictures import picture, save
from tests.helpers.rendered_nets import edited
from tools.common.checkout import CHECKOUT
from tools.common.errors import UserError
from tools.common.files import sha256
from tools.datasets import checked
from tools.planning.stages import split_stage
from tools.protocol.experiment import Experiment
from tools.protocol.layout import split_of, train_sizes
from tools.split import split


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(exp: Experiment, seed: int) -> dict[str, bytes]:
    """Every file of the split, by name."""
    folder = split_of(exp, seed).folder
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def record(exp: Experiment, seed: int = 0) -> dict:
    return json.loads(split_of(exp, seed).marker.read_text())


# what every split is --------------------------------------------------------------------------------------------------

CLASSES = st.integers(1, 3).flatmap(lambda half: st.lists(st.integers(1, 6), min_size=2 * half, max_size=2 * half))
SEEDS = st.integers(0, 2**31 - 1)


@settings(max_examples=15)
@given(counts=CLASSES, seed=SEEDS, nested=st.booleans(), data=st.data())
def test_any_data_set_is_divided_as_the_protocol_says(
    counts: list[int], seed: int, nested: bool, data: st.DataObject
) -> None:
    train = {f"class {i}": count for i, count in enumerate(counts)}
    sizes = data.draw(st.lists(st.integers(1, min(counts)), min_size=1, max_size=3, unique=True))
    with tempfile.TemporaryDirectory() as folder, inside(Path(folder)):
        exp = folder_experiment(image_folder(Path("images"), train), sizes=sizes, nested=nested, seeds=[seed])
        assert split(exp, seed)
        place, classes = split_of(exp, seed), record(exp, seed)["classes"]
        assert sorted(classes["A"] + classes["B"]) == sorted(train)
        assert len(classes["A"]) == len(classes["B"])
        for half, ids in classes.items():
            drawn = {size: read_list(place.train_list(half, size)) for size in train_sizes(exp)}
            for size, lines in drawn.items():
                assert len(set(lines)) == len(lines)
                assert all(reference.startswith(f"train/{ids[label]}/") for reference, label in lines)
                for label, name in enumerate(ids):
                    assert [y for _, y in lines].count(label) == (train[name] if size == "all" else size)
                assert set(lines) <= set(drawn["all"])
            if nested:
                assert all(set(drawn[a]) <= set(drawn[b]) for a in sizes for b in sizes if a <= b)
            assert read_list(place.val_list(half)) == [(f"val/{name}/0.png", label) for label, name in enumerate(ids)]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_division(tiny_sample: Path, project: Path) -> None:
    exp = experiment(Path("exp.yaml"), dataset="tiny-imagenet", path=tiny_sample, sizes=[60, 20], full_size=60)
    with inside(project / "one"):
        split(exp, 0)
        split(exp, 1)
        one, other = contents(exp, 0), contents(exp, 1)
    with inside(project / "two"):
        split(exp, 0)
        assert contents(exp, 0) == one
    assert one.keys() == other.keys()
    assert json.loads(one["split.json"])["classes"] != json.loads(other["split.json"])["classes"]
    assert one["A/n0020.txt"] != other["A/n0020.txt"]


def test_the_draw_is_the_same_on_every_machine(project: Path) -> None:
    """`printf '7|images|train/c/0.png' | sha256sum` and so on: the lowest two of a class are drawn."""
    exp = folder_experiment(image_folder(Path("images"), dict.fromkeys("abcd", 5)), sizes=[2], subsample_seed=7)
    split(exp, 0)
    assert record(exp)["classes"] == {"A": ["c", "d"], "B": ["a", "b"]}
    assert read_list(split_of(exp, 0).train_list("A", 2)) == [
        ("train/c/3.png", 0),
        ("train/c/4.png", 0),
        ("train/d/3.png", 1),
        ("train/d/4.png", 1),
    ]


def test_without_nesting_each_size_is_a_draw_of_its_own(tiny_sample: Path, project: Path) -> None:
    keys = {"dataset": "tiny-imagenet", "path": tiny_sample, "sizes": [40, 20], "full_size": 60}
    nested, fresh = (experiment(Path(f"{n}.yaml"), nested=n, **keys) for n in (True, False))
    assert split_of(nested, 0).folder != split_of(fresh, 0).folder
    for exp, inclusion in ((nested, True), (fresh, False)):
        split(exp, 0)
        place = split_of(exp, 0)
        assert (set(read_list(place.train_list("A", 20))) <= set(read_list(place.train_list("A", 40)))) is inclusion
    assert record(nested)["classes"] == record(fresh)["classes"]


def test_one_division_can_be_sampled_twice(tiny_sample: Path, project: Path) -> None:
    keys = {"dataset": "tiny-imagenet", "path": tiny_sample, "sizes": [20], "full_size": 60, "split_seed": 3}
    exp = experiment(Path("exp.yaml"), seeds=[0, 1], **keys)
    split(exp, 0)
    split(exp, 1)
    assert record(exp, 0)["classes"] == record(exp, 1)["classes"]
    lists = [split_of(exp, seed).train_list("A", 20).read_bytes() for seed in (0, 1)]
    assert lists[0] != lists[1]


def test_classes_are_drawn_by_the_splits_seed_before_the_halves(tiny_sample: Path, project: Path) -> None:
    keys = {"dataset": "tiny-imagenet", "path": tiny_sample, "sizes": [20], "full_size": 60}
    few = experiment(Path("few.yaml"), classes=8, seeds=[0, 1], **keys)
    every = experiment(Path("every.yaml"), **keys)
    for exp, seed in ((few, 0), (few, 1), (every, 0)):
        split(exp, seed)
    drawn = [record(few, seed)["classes"] for seed in (0, 1)]
    assert [len(classes[half]) for classes in drawn for half in "AB"] == [4, 4, 4, 4]
    # printf '0|drawn classes|n01443537' | sha256sum and so on: the lowest eight
    names = sorted(name for half in record(every)["classes"].values() for name in half)
    lowest = sorted(names, key=lambda name: hashlib.sha256(f"0|drawn classes|{name}".encode()).hexdigest())[:8]
    assert sorted(drawn[0]["A"] + drawn[0]["B"]) == sorted(lowest) != sorted(drawn[1]["A"] + drawn[1]["B"])
    assert record(few)["counts"] == {half: {"train": 240, "val": 40} for half in "AB"}
    assert split_of(few, 0).folder != split_of(every, 0).folder, "the halves of all classes stay as they are"
    assert read_list(split_of(few, 0).val_list("A"))


def test_split_json_tells_seeds_classes_counts_and_the_checksum_of_every_list(tiny_sample: Path, project: Path) -> None:
    exp = experiment(Path("exp.yaml"), dataset="tiny-imagenet", path=tiny_sample, sizes=[20], full_size=60)
    split(exp, 4)
    told = record(exp, 4)
    assert (told["dataset"], told["split_seed"], told["subsample_seed"], told["nested"]) == (
        "tiny-imagenet",
        4,
        4,
        True,
    )
    assert told["counts"] == {"A": {"train": 600, "val": 100}, "B": {"train": 600, "val": 100}}
    assert told["missing"] == told["unreadable"] == {"count": 0, "first": []}
    folder = split_of(exp, 4).folder

    def contents_of(name: str) -> str:
        """`sha256sum` of the images of the list, in its order, and of that text again."""
        names = [reference for reference, _ in read_list(folder / name)]
        return hashlib.sha256("".join(f"{sha256(tiny_sample / n)} {n}\n" for n in names).encode()).hexdigest()

    assert told["lists"] == {
        name: {"sha256": sha256(folder / name), "images": len(read_list(folder / name)), "content": contents_of(name)}
        for half in "AB"
        for name in (f"{half}/n0060.txt", f"{half}/n0020.txt", f"{half}/val.txt")
    }


# done once ------------------------------------------------------------------------------------------------------------


def test_a_second_call_does_nothing(project: Path) -> None:
    exp = folder_experiment(image_folder(Path("images"), {"a": 3, "b": 3}))
    assert not split_stage(exp, 0).is_complete
    assert split(exp, 0)
    before = stamp(split_of(exp, 0).marker)
    assert split_stage(exp, 0).is_complete
    assert not split(exp, 0)
    assert stamp(split_of(exp, 0).marker) == before


def test_lists_stay_complete_when_the_images_are_gone(project: Path) -> None:
    exp = folder_experiment(image_folder(Path("images"), {"a": 3, "b": 3}))
    split(exp, 0)
    Path("images").rename("elsewhere")
    assert split_stage(exp, 0).is_complete


@pytest.mark.parametrize("damage", [lambda f: f.unlink(), lambda f: f.write_text("train/a/0.png 0\n")])
def test_a_list_that_was_lost_or_edited_is_written_again(project: Path, damage: object) -> None:
    exp = folder_experiment(image_folder(Path("images"), {"a": 3, "b": 3}), sizes=[2])
    split(exp, 0)
    before = contents(exp, 0)
    damage(split_of(exp, 0).train_list("B", 2))
    assert not split_stage(exp, 0).is_complete
    assert split(exp, 0)
    assert contents(exp, 0) == before


def test_an_experiment_with_other_sizes_adds_its_lists_to_those_that_are_there(project: Path) -> None:
    root = image_folder(Path("images"), {"a": 5, "b": 5})
    first, second = folder_experiment(root, sizes=[4, 2]), folder_experiment(root, "sizes=[3]")
    split(first, 0)
    stamps = {f: stamp(f) for f in split_of(first, 0).folder.glob("A/*.txt")}
    assert not split_stage(second, 0).is_complete
    assert split(second, 0)
    assert {f: stamp(f) for f in stamps} == stamps
    assert sorted(record(first)["lists"])[:5] == [f"A/{n}.txt" for n in ("n0002", "n0003", "n0004", "nall", "val")]
    assert split_stage(first, 0).is_complete
    assert split_stage(second, 0).is_complete


def test_images_at_another_path_are_split_anew(tiny_sample: Path, project: Path) -> None:
    fewer = project / "fewer"
    (fewer / "train").mkdir(parents=True)
    for wnid in sorted(os.listdir(tiny_sample / "train"))[:6]:
        (fewer / "train" / wnid).symlink_to(tiny_sample / "train" / wnid)
    (fewer / "val").symlink_to(tiny_sample / "val")
    keys = {"dataset": "tiny-imagenet", "sizes": [20]}
    few, all_ = (experiment(Path("exp.yaml"), path=path, **keys) for path in (fewer, tiny_sample))
    assert split_of(few, 0) == split_of(all_, 0)
    split(few, 0)
    assert not split_stage(all_, 0).is_complete
    assert split(all_, 0)
    assert len(record(all_)["classes"]["A"]) == 10
    assert len(read_list(split_of(all_, 0).train_list("A", 20))) == 200


@pytest.mark.slow
def test_two_at_once_do_the_work_once(tiny_sample: Path, project: Path) -> None:
    experiment(Path("exp.yaml"), dataset="tiny-imagenet", path=tiny_sample, sizes=[20], full_size=60)
    both = [verb("split", Path("exp.yaml")) for _ in range(2)]
    said = sorted(process.communicate()[0].rpartition(": ")[2].strip() for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said == ["complete already", "written"]


# what cannot be divided -----------------------------------------------------------------------------------------------


def test_an_odd_number_of_classes_is_refused_with_its_line(project: Path) -> None:
    exp = folder_experiment(image_folder(Path("images"), {"a": 3, "b": 3, "c": 3}))
    with pytest.raises(UserError, match=r"^exp.yaml:6: path: 3 classes in .*; two halves of equal size need an even"):
        split(exp, 0)
    assert not split_of(exp, 0).marker.exists()


def test_more_classes_than_there_are_are_refused_with_their_line(project: Path) -> None:
    exp = folder_experiment(image_folder(Path("images"), {"a": 3, "b": 3}), classes=4)
    with pytest.raises(UserError, match=r"^exp.yaml:\d+: classes: 4; at most the 2 classes of the data set"):
        split(exp, 0)


@pytest.mark.parametrize(
    ("keys", "line"),
    [({"sizes": [2, 4]}, "exp.yaml:2: sizes"), ({"sizes": [2], "full_size": 4}, "exp.yaml:7: full_size")],
)
def test_a_size_above_a_class_names_the_class_and_its_count(project: Path, keys: dict, line: str) -> None:
    exp = folder_experiment(image_folder(Path("images"), {"a": 5, "b": 3}), **keys)
    with pytest.raises(UserError, match=f"^{re.escape(line)}: 4 images a class, but class b has 3; give at most 3"):
        split(exp, 0)


def test_a_template_for_more_classes_than_a_half_has_is_refused_before_images_are_read(project: Path) -> None:
    accuracy = (
        'layer { name: "more" type: "Accuracy" bottom: "fc8" bottom: "label" top: "m" accuracy_param { top_k: 3 } }'
    )
    loss = 'layer { name: "loss"'
    edited(CHECKOUT, project, loss, f"{accuracy}\n{loss}")
    exp = folder_experiment(image_folder(Path("images"), dict.fromkeys("abcd", 3)), model="mine")
    told = r"prototxt/mine/train_val.prototxt:\d+: Accuracy layer 'more': top_k: 3 of 2 classes; at most 2"
    with pytest.raises(UserError, match=told):
        split(exp, 0)
    assert not list(Path("data").rglob("*.json"))


def test_a_class_whose_validation_images_are_all_unreadable_is_named(project: Path) -> None:
    root = image_folder(Path("images"), {"a": 3, "b": 3})
    (root / "val/b/0.png").write_bytes(b"no image")
    exp = folder_experiment(root, on_bad_image="skip")
    with pytest.raises(UserError, match=r"^exp.yaml:6: path: class b has no validation image"):
        split(exp, 0)


def test_names_that_no_list_can_hold_are_refused_also_in_classes_that_are_not_drawn(project: Path) -> None:
    root = image_folder(Path("images"), {"a": 3, "b": 3, os.fsdecode(b"caf\xe9"): 3})
    with pytest.raises(UserError, match=r"images: 'train/caf\\udce9/0.png': not one line of UTF-8 text\n"):
        split(folder_experiment(root, classes=2), 0)


# images that are missing or unreadable --------------------------------------------------------------------------------


@pytest.fixture
def damaged(project: Path) -> Path:
    """Four classes of 5 images; class b has an empty file and a text file among them."""
    root = image_folder(Path("images"), dict.fromkeys("abcd", 5), val=2)
    (root / "train/b/1.png").write_bytes(b"")
    (root / "train/b/3.png").write_text("not an image")
    return root


def test_unreadable_images_are_refused_each_by_name(damaged: Path) -> None:
    exp = folder_experiment(damaged)
    with pytest.raises(UserError) as caught:
        split(exp, 0)
    text = str(caught.value)
    assert "2 images are missing or cannot be read" in text
    assert f"{damaged.resolve()}/train/b/1.png: " in text
    assert f"{damaged.resolve()}/train/b/3.png: " in text
    assert text.endswith("or set on_bad_image=skip to leave them out and count them")
    assert not split_of(exp, 0).marker.exists()


def test_of_many_bad_images_twenty_are_shown_and_a_file_lists_all(project: Path) -> None:
    root = image_folder(Path("images"), {"a": 30, "b": 30})
    bad = [root / f"train/a/{i}.png" for i in range(25)]
    for path in bad:
        path.write_bytes(b"?")
    with pytest.raises(UserError) as caught:
        split(folder_experiment(root), 0)
    text = str(caught.value)
    assert text.count(str(root.resolve())) == 20
    assert "... and 5 more" in text
    listed = Path(re.search(r"all of them are listed in (\S+);", text)[1]).read_text().splitlines()
    assert sorted(line.partition(": ")[0] for line in listed) == sorted(str(path.resolve()) for path in bad)


def test_skipped_images_are_counted_and_in_no_list(damaged: Path) -> None:
    exp = folder_experiment(damaged, on_bad_image="skip", sizes=[3])
    split(exp, 0)
    told = record(exp)
    assert told["unreadable"] == {"count": 2, "first": ["train/b/1.png", "train/b/3.png"]}
    assert sum(half["train"] for half in told["counts"].values()) == 18
    references = {r for f in split_of(exp, 0).folder.glob("[AB]/n*.txt") for r, _ in read_list(f)}
    assert {r for r in references if r.startswith("train/b/")} == {f"train/b/{i}.png" for i in (0, 2, 4)}


def test_a_size_above_what_is_left_of_a_class_is_refused(damaged: Path) -> None:
    with pytest.raises(UserError, match=r"sizes: 4 images a class, but class b has 3 left \(2 images of the data set"):
        split(folder_experiment(damaged, on_bad_image="skip", sizes=[4]), 0)


def test_a_split_that_skipped_images_is_not_complete_where_they_are_an_error(damaged: Path) -> None:
    split(folder_experiment(damaged, on_bad_image="skip"), 0)
    strict = folder_experiment(damaged)
    assert not split_stage(strict, 0).is_complete
    with pytest.raises(UserError, match="2 images are missing or cannot be read"):
        split(strict, 0)


def test_files_that_a_list_names_but_the_disk_lacks_are_counted_before_sizes_are_drawn(
    tiny_sample: Path, project: Path
) -> None:
    copy = project / "copy"
    copy.mkdir()
    for name in ("train", "wnids.txt"):
        (copy / name).symlink_to(tiny_sample / name)
    (copy / "val/images").mkdir(parents=True)
    (copy / "val/val_annotations.txt").write_bytes((tiny_sample / "val/val_annotations.txt").read_bytes())
    names = sorted(os.listdir(tiny_sample / "val/images"))
    for name in names[3:]:
        (copy / "val/images" / name).symlink_to(tiny_sample / "val/images" / name)
    exp = experiment(Path("exp.yaml"), dataset="tiny-imagenet", path=copy, sizes=[20], full_size=60)
    with pytest.raises(UserError, match=rf"3 images are missing or cannot be read:\n  \S+{names[0]}: no such file"):
        split(exp, 0)
    lenient = experiment(Path("exp.yaml"), "on_bad_image=skip", dataset="tiny-imagenet", path=copy)
    split(lenient, 0)
    assert record(lenient)["missing"] == {"count": 3, "first": [f"val/images/{name}" for name in names[:3]]}
    assert sum(half["val"] for half in record(lenient)["counts"].values()) == len(names) - 3


def test_images_are_decoded_once_for_all_seeds(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exp = folder_experiment(image_folder(Path("images"), {"a": 3, "b": 3}), seeds=[0, 1])
    split(exp, 0)
    monkeypatch.setattr(checked, "_fault", lambda *_: pytest.fail("decoded again"))
    assert split(exp, 1)


# the command line -----------------------------------------------------------------------------------------------------


def test_the_command_splits_every_seed_and_says_so(project: Path) -> None:
    exp = folder_experiment(image_folder(Path("images"), {"a": 3, "b": 3}), sizes=[2], seeds=[0, 5])
    for size, image in enumerate(sorted(Path("images").rglob("*.png")), 8):
        save(image, picture(size, size))
    shutil.copy("images/train/a/0.png", "images/val/b/0.png")
    said = [verb("split", exp.file).communicate()[0].splitlines() for _ in range(2)]
    places = [split_of(exp, seed).folder for seed in (0, 5)]
    note = "note: the same images in two classes, or in train and in val: 1 (val/b/0.png is train/a/0.png)"
    lines = [f"{place}: 1 + 1 classes, lists nall, n0002 and val: written" for place in places]
    assert said[0] == [lines[0], note, lines[1], note]
    assert said[1] == [line.replace("written", "complete already") for line in said[0]]


def test_a_users_mistake_is_one_line_and_exit_code_2(project: Path) -> None:
    exp = folder_experiment(image_folder(Path("images"), {"a": 3, "b": 3, "c": 3}))
    process = verb("split", exp.file)
    out, error = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert re.fullmatch(r"error: exp.yaml:6: path: 3 classes in \S+; .*\n", error)
