"""The verb pack: every LMDB that an experiment needs, written once and whole, even after a kill."""

import os
import re
import resource
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.file_stamp import stamp
from tests.helpers.image_projects import (
    as_of_an_earlier_version,
    digests,
    experiment,
    image_folder,
    inside,
    packed,
    records,
    tiny,
    verb,
)
from tools import pack as pack_module
from tools.common.errors import UserError
from tools.common.files import is_locked, read_json
from tools.datasets.packing import shape
from tools.pack import pack
from tools.planning.stages import pack_stage
from tools.protocol.experiment import Experiment
from tools.protocol.layout import split_of
from tools.split import split


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parts(folder: Path = Path()) -> list[Path]:
    return sorted(folder.rglob("*.part"))


# done once ------------------------------------------------------------------------------------------------------------


def test_a_second_call_does_nothing(tiny_sample: Path, project: Path) -> None:
    exp = tiny(tiny_sample, full_size=5, sizes=[5])
    split(exp, 0)
    assert not pack_stage(exp, 0).is_complete
    packed(exp)
    stamps = {f: stamp(f) for f in split_of(exp, 0).folder.rglob("*") if f.is_file()}
    assert pack_stage(exp, 0).is_complete
    assert not pack(exp, 0)
    assert {f: stamp(f) for f in stamps} == stamps


def test_other_sizes_are_added_to_the_lmdbs_that_are_there(tiny_sample: Path, project: Path) -> None:
    first = packed(tiny(tiny_sample, full_size=5, sizes=[5, 2]))
    stamps = {f: stamp(f) for f in Path("data").rglob("data.mdb")}
    assert len(stamps) == 6
    second = packed(tiny(tiny_sample, full_size=5, sizes=[3]))
    assert {f: stamp(f) for f in stamps} == stamps
    place = split_of(second, 0)
    names = {f"{half}/{name}" for half in "AB" for name in ("n0002", "n0003", "n0005", "val")}
    assert read_json(place.packed)["lmdbs"].keys() == digests(place).keys() == names
    assert pack_stage(first, 0).is_complete
    assert pack_stage(second, 0).is_complete


def test_an_lmdb_is_packed_again_when_its_list_is_another(project: Path) -> None:
    root = image_folder(Path("images"), {"a": 3, "b": 3})
    exp = packed(experiment(Path("exp.yaml"), dataset="folder", path=root.resolve(), image_size=4, sizes=[2]))
    place = split_of(exp, 0)
    kept = stamp(place.val_lmdb("A") / "data.mdb")
    for name in ("a", "b"):
        shutil.copy(root / f"train/{name}/0.png", root / f"train/{name}/more.png")
    place.marker.unlink()
    split(exp, 0)
    assert not pack_stage(exp, 0).is_complete
    assert pack(exp, 0)
    assert len(records(place.train_lmdb("A", "all"))) == 4
    assert stamp(place.val_lmdb("A") / "data.mdb") == kept


def test_an_lmdb_that_was_removed_is_packed_again(tiny_sample: Path, project: Path) -> None:
    exp = packed(tiny(tiny_sample, full_size=5, sizes=[5]))
    place = split_of(exp, 0)
    before = digests(place)
    shutil.rmtree(place.val_lmdb("B"))
    assert not pack_stage(exp, 0).is_complete
    assert pack(exp, 0)
    assert digests(place) == before


def test_each_image_is_decoded_once_for_all_sizes(
    tiny_sample: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exp = tiny(tiny_sample)
    split(exp, 0)
    data = pack_module.open_dataset(exp)
    log = os.open("reads", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    read = data.read

    def logged(reference: str, gray: bool = False) -> object:
        os.write(log, f"{reference}\n".encode())
        return read(reference, gray)

    monkeypatch.setattr(data, "read", logged)
    monkeypatch.setattr(pack_module, "open_dataset", lambda _: data)
    pack(exp, 0)
    reads = Path("reads").read_text().splitlines()
    assert len(set(reads)) == 1400
    assert len(reads) <= 1400 + 2  # and one a half to warm up, before the processes fork


# killed ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tiny_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests of LMDBs that nobody interrupted."""
    with inside(tmp_path_factory.mktemp("whole")):
        return digests(split_of(packed(tiny(tiny_sample)), 0))


def spool_is_there(root: Path) -> bool:
    return any(root.glob(".spool.*.part"))


def an_lmdb_is_being_written(root: Path) -> bool:
    return any(root.glob("A/.n*.part"))


def half_b_has_begun(root: Path) -> bool:
    return any(root.glob("A/*/pack.json")) and spool_is_there(root)


@pytest.mark.slow
@pytest.mark.parametrize("moment", [spool_is_there, an_lmdb_is_being_written, half_b_has_begun])
def test_after_kill_9_the_next_call_ends_with_the_same_data(
    moment: Callable[[Path], bool], whole: dict[str, str], tiny_sample: Path, project: Path
) -> None:
    exp = tiny(tiny_sample)
    split(exp, 0)
    place = split_of(exp, 0)
    process = verb("pack", exp.file)
    while not moment(place.folder / place.images):
        assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not place.packed.exists()
    workers_end_by = time.monotonic() + 60
    while is_locked(place.folder / ".lock"):
        assert time.monotonic() < workers_end_by, "a process of the killed one lives on"
    assert pack(exp, 0)
    assert digests(place) == whole
    assert parts() == []


# images that cannot be read -------------------------------------------------------------------------------------------


@pytest.fixture
def spoilt(project: Path) -> Path:
    """Two classes, split by an earlier version; then three of their files became unreadable."""
    root = image_folder(Path("images"), {"a": 6, "b": 6}, val=2)
    split(made(root), 0)
    as_of_an_earlier_version(split_of(made(root), 0))
    for name in ("train/a/1.png", "train/a/4.png", "train/b/2.png"):
        (root / name).write_bytes(b"not an image")
    return root


def made(root: Path, overrides: str = "") -> Experiment:
    return experiment(Path("exp.yaml"), overrides, dataset="folder", path=root.resolve(), image_size=4, sizes=[6, 3])


def test_unreadable_images_are_an_error_that_lists_them(spoilt: Path) -> None:
    with pytest.raises(UserError) as caught:
        pack(made(spoilt), 0)
    text = str(caught.value)
    half = "a" if f"{spoilt.resolve()}/train/a/1.png" in text else "b"
    bad = {"a": ["train/a/1.png", "train/a/4.png"], "b": ["train/b/2.png"]}[half]
    assert re.findall(rf"{spoilt.resolve()}/(\S+): ", text) == bad
    assert not split_of(made(spoilt), 0).packed.exists()
    assert parts() == []


def test_skipped_images_are_counted(spoilt: Path) -> None:
    exp = made(spoilt, "on_bad_image=skip")
    assert pack(exp, 0)
    place = split_of(exp, 0)
    told = [read_json(place.train_lmdb(half, 6) / "pack.json") for half in "AB"]
    assert sorted((one["entries"], one["skipped"]) for one in told) == [(4, 2), (5, 1)]
    assert [len(records(place.train_lmdb(half, 6))) for half in "AB"] == [one["entries"] for one in told]


def test_lmdbs_that_lack_images_do_not_do_where_that_is_an_error(spoilt: Path) -> None:
    pack(made(spoilt, "on_bad_image=skip"), 0)
    assert pack_stage(made(spoilt, "on_bad_image=skip"), 0).is_complete
    assert not pack_stage(made(spoilt), 0).is_complete
    with pytest.raises(UserError, match="cannot be read"):
        pack(made(spoilt), 0)


def test_a_list_without_one_readable_image_is_an_error_even_if_images_may_be_skipped(spoilt: Path) -> None:
    for image in spoilt.rglob("*.png"):
        image.unlink()
    with pytest.raises(UserError, match=r"not one of its \d images can be read"):
        pack(made(spoilt, "on_bad_image=skip"), 0)
    assert parts() == []


# a user's mistakes ----------------------------------------------------------------------------------------------------


def test_without_a_split_the_error_says_what_to_run(tiny_sample: Path, project: Path) -> None:
    with pytest.raises(UserError, match=r"split.json: no split yet; run `python -m tools split exp.yaml` first"):
        pack(tiny(tiny_sample), 0)


def test_a_list_that_is_not_the_splits_own_is_refused(tiny_sample: Path, project: Path) -> None:
    exp = tiny(tiny_sample)
    split(exp, 0)
    with open(split_of(exp, 0).train_list("A", 20), "a") as file:
        file.write("train/x.JPEG 0\n")
    with pytest.raises(UserError, match=r"A/n0020.txt: changed since the split was made; run `python -m tools split"):
        pack(exp, 0)


def test_a_size_that_was_not_split_is_named(tiny_sample: Path, project: Path) -> None:
    split(tiny(tiny_sample), 0)
    with pytest.raises(UserError, match=r"A/n0030.txt: no such list; run `python -m tools split exp.yaml` first"):
        pack(tiny(tiny_sample, "sizes=[30]"), 0)


def test_images_that_moved_since_the_split_are_refused(tiny_sample: Path, project: Path) -> None:
    split(tiny(tiny_sample), 0)
    shutil.copytree(tiny_sample, "elsewhere", copy_function=os.link)
    with pytest.raises(UserError, match=r"made of the images in \S+, which are now \S+elsewhere; run"):
        pack(tiny(project / "elsewhere"), 0)


# the disk -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [{}, {"image_size": 28, "gray": True}, {"image_size": 32}])
def test_a_disk_without_room_is_refused_before_the_work(
    keys: dict, tiny_sample: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exp = tiny(tiny_sample, **keys)
    split(exp, 0)
    told = []
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(
        pack_module.shutil, "disk_usage", lambda path: told.append(path) or usage._replace(free=1_500_000)
    )
    room = r"8 LMDBs need [1-9][\d.]* MB and packing [\d.]+ MB more .* but 1.5 MB are free; make room, or select fewer"
    with pytest.raises(UserError, match=room):
        pack(exp, 0)
    assert told == [split_of(exp, 0).folder]
    assert not list(Path("data").rglob("data.mdb"))
    monkeypatch.undo()
    monkeypatch.chdir(project)
    pack(exp, 0)
    pixels = shape(exp)[0] * shape(exp)[1] * shape(exp)[2]
    for lmdb in Path("data").rglob("data.mdb"):
        taken = lmdb.stat().st_blocks * 512
        entries = read_json(lmdb.parent / "pack.json")["entries"]
        assert taken <= pack_module._lmdb_bytes(pixels, entries) <= 1.2 * taken + 1_000_000


def test_a_disk_that_fills_up_is_one_clear_error(tiny_sample: Path, project: Path) -> None:
    exp = tiny(tiny_sample)
    split(exp, 0)

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    process = verb("pack", exp.file, preexec_fn=small_files)
    _, error = process.communicate()
    assert process.returncode == 2
    assert error.startswith(f"error: {split_of(exp, 0).folder}: cannot be written (")
    assert "Traceback" not in error
    assert parts() == []


# the command line -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_says_what_it_packed(tiny_sample: Path, project: Path) -> None:
    exp = tiny(tiny_sample, full_size=5, sizes=[5])
    split(exp, 0)
    said = [verb("pack", exp.file).communicate()[0] for _ in range(2)]
    place = split_of(exp, 0)
    assert said[0] == f"{place.folder / place.images}: 4 LMDBs, 300 entries: written\n"
    assert said[1] == said[0].replace("written", "complete already")
