"""The verb fetch: every way to get a data set, with real archives, a real web server and a real apt."""

import gzip
import hashlib
import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.helpers.file_server import FileServer
from tests.helpers.pictures import save
from tools.common.errors import UserError
from tools.common.files import read_json
from tools.datasets import bring as sources
from tools.datasets import open_dataset
from tools.fetch import fetch, main
from tools.protocol.experiment import Experiment, load
from tools.protocol.register import card


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's root: the cwd, with nothing in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def experiment(dataset: str, path: Path | None = None) -> Experiment:
    file = Path("exp.yaml")
    file.write_text(f"dataset: {dataset}\nimage_size: 8\nsizes: [1]\nmodel: mini\nsolver: mini\n")
    return load(file, f"path={path}" if path else "")


def remote(server: FileServer, name: str, data: bytes, **more: object) -> dict[str, object]:
    """A card's entry for a file that the server has."""
    server.files[name] = data
    md5 = hashlib.md5(data).hexdigest()
    return {"name": name, "urls": [f"{server.url}/{name}"], "bytes": len(data), "md5": md5, **more}


def write_card(dataset: str, **changes: object) -> None:
    """The project's own card for `dataset`: the checkout's, with `changes`."""
    Path("data/cards").mkdir(parents=True, exist_ok=True)
    value = card(dataset).model_dump(exclude_none=True) | changes
    Path(f"data/cards/{dataset}.yaml").write_text(yaml.safe_dump(value))


# archives -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_zip(tiny_sample: Path, tmp_path: Path) -> Path:
    """Two classes of Tiny-ImageNet, below one top folder: 3 training images a class, 10 for val."""
    wnids = ("n02123045", "n04149813")
    with zipfile.ZipFile(tmp_path / "small.zip", "w") as archive:
        for wnid in wnids:
            for image in sorted((tiny_sample / "train" / wnid / "images").iterdir())[:3]:
                archive.write(image, f"small/{image.relative_to(tiny_sample)}")
        lines = (tiny_sample / "val/val_annotations.txt").read_text().splitlines()
        kept = [line for line in lines if line.split("\t")[1] in wnids]
        archive.writestr("small/val/val_annotations.txt", "\n".join(kept))
        for line in kept:
            name = f"val/images/{line.split()[0]}"
            archive.write(tiny_sample / name, f"small/{name}")
    return tmp_path / "small.zip"


def test_an_archive_that_path_names_is_unpacked_and_opened(tiny_zip: Path, capsys: pytest.CaptureFixture) -> None:
    exp = experiment("tiny-imagenet", tiny_zip)
    main(["exp.yaml", "--set", f"path={tiny_zip}"])
    output = capsys.readouterr().out
    assert "is not the published tiny-imagenet-200.zip" in output
    assert "20 classes, 1,200 training and 200 validation images; 20 of the 200 classes of the thesis' list" in output
    record = read_json(Path("data/tiny-imagenet/fetch.json"))
    assert record["counts"] == {"classes": 20, "train": 1200, "val": 200}
    assert record["files"][0]["md5"] == hashlib.md5(tiny_zip.read_bytes()).hexdigest()
    scan = open_dataset(exp).scan()
    assert open_dataset(exp).read(scan.train["n02123045"][0]).shape == (64, 64, 3)


def test_a_second_call_does_nothing(small_zip: Path, capsys: pytest.CaptureFixture) -> None:
    exp = experiment("tiny-imagenet", small_zip)
    assert fetch(exp) is True
    before = {f: f.stat().st_mtime_ns for f in Path("data").rglob("*")}
    assert fetch(exp) is False
    assert {f: f.stat().st_mtime_ns for f in Path("data").rglob("*")} == before
    main(["exp.yaml", "--set", f"path={small_zip}"])
    assert "tiny-imagenet: here already, in data/tiny-imagenet/unpacked-" in capsys.readouterr().out


def test_an_archive_that_was_replaced_is_unpacked_anew(tiny_zip: Path, small_zip: Path) -> None:
    exp = experiment("tiny-imagenet", small_zip)
    fetch(exp)
    shutil.copy(small_zip, "same.zip")
    Path("same.zip").replace(small_zip)  # the same bytes in another file, put there later
    assert fetch(exp) is False
    shutil.copy(tiny_zip, small_zip)
    assert fetch(exp) is True
    assert len(open_dataset(exp).scan().classes) == 20


def test_a_data_set_is_downloaded_checked_and_unpacked(small_zip: Path, server: FileServer) -> None:
    write_card("tiny-imagenet", files=[remote(server, "tiny-imagenet-200.zip", small_zip.read_bytes())])
    server.cuts = [1000]
    fetch(experiment("tiny-imagenet"))
    assert [span for _, span in server.asked] == [None, "bytes=1000-"]
    record = read_json(Path("data/tiny-imagenet/fetch.json"))
    assert record["files"][0]["from"] == f"{server.url}/tiny-imagenet-200.zip"
    assert len(open_dataset(experiment("tiny-imagenet")).scan().classes) == 2


def test_an_archive_put_into_the_data_folder_by_hand_is_used_offline(small_zip: Path, server: FileServer) -> None:
    write_card("tiny-imagenet", files=[remote(server, "tiny-imagenet-200.zip", small_zip.read_bytes())])
    Path("data/tiny-imagenet").mkdir()
    shutil.copyfile(small_zip, "data/tiny-imagenet/tiny-imagenet-200.zip")
    fetch(experiment("tiny-imagenet"))
    assert server.asked == []
    assert read_json(Path("data/tiny-imagenet/fetch.json"))["files"][0]["from"] == "already there"


def test_without_fetch_json_what_is_unpacked_already_is_taken_up(small_zip: Path, server: FileServer) -> None:
    write_card("tiny-imagenet", files=[remote(server, "tiny-imagenet-200.zip", small_zip.read_bytes())])
    fetch(experiment("tiny-imagenet"))
    Path("data/tiny-imagenet/fetch.json").unlink()
    Path("data/tiny-imagenet/tiny-imagenet-200.zip").unlink()
    server.asked.clear()
    assert fetch(experiment("tiny-imagenet")) is True
    assert server.asked == []
    assert len(open_dataset(experiment("tiny-imagenet")).scan().classes) == 2


def test_what_somebody_deleted_of_the_unpacked_folder_is_unpacked_again(small_zip: Path) -> None:
    fetch(experiment("tiny-imagenet", small_zip))
    (annotations,) = Path("data/tiny-imagenet").glob("unpacked-*/small/val/val_annotations.txt")
    annotations.unlink()
    assert fetch(experiment("tiny-imagenet", small_zip)) is True
    assert annotations.exists()


def test_what_a_killed_call_left_half_unpacked_is_removed(small_zip: Path) -> None:
    digest = hashlib.md5(small_zip.read_bytes()).hexdigest()
    half = Path(f"data/tiny-imagenet/.unpacked-{digest[:8]}.123.part/train")
    half.mkdir(parents=True)
    fetch(experiment("tiny-imagenet", small_zip))
    assert not half.parent.exists()


def test_an_archive_of_something_else_leaves_nothing(tmp_path: Path) -> None:
    with zipfile.ZipFile("photos.zip", "w") as archive:
        archive.writestr("holiday/1.jpg", b"x")
    with pytest.raises(UserError, match=r"photos.zip: has no tiny-imagenet in it; right is train/<wnid>/images/"):
        fetch(experiment("tiny-imagenet", Path("photos.zip")))
    assert [f.name for f in Path("data/tiny-imagenet").iterdir()] == [".fetch.lock"]


def test_too_little_disk_is_told_before_the_download(server: FileServer) -> None:
    archive = {"name": "tiny-imagenet-200.zip", "disk": 10**16, "most_files": 1, "most_bytes": 1}
    write_card("tiny-imagenet", files=[remote(server, "tiny-imagenet-200.zip", b"x")], archive=archive)
    with pytest.raises(UserError, match=r"Tiny-ImageNet needs 10,000,000,000 MB of disk, [\d,]+ MB are free; make"):
        fetch(experiment("tiny-imagenet"))
    assert server.asked == []


# a folder that lies there -------------------------------------------------------------------------------------------


def test_a_folder_that_path_names_stays_where_it_is(tiny_sample: Path) -> None:
    fetch(experiment("tiny-imagenet", tiny_sample))
    assert read_json(Path("data/tiny-imagenet/fetch.json"))["folder"] == str(tiny_sample)
    assert open_dataset(experiment("tiny-imagenet", tiny_sample)).root == tiny_sample


def test_images_that_another_call_named_are_not_taken_for_the_published_ones(tiny_sample: Path, tmp_path: Path) -> None:
    fetch(experiment("tiny-imagenet", tiny_sample))
    wrong = (
        f"those of {tiny_sample}, .* 1200 for training, where the published Tiny-ImageNet has 100000; exp.yaml names"
    )
    for call in (fetch, open_dataset):
        with pytest.raises(UserError, match=wrong):
            call(experiment("tiny-imagenet"))
    write_card("tiny-imagenet", counts={"classes": 20, "train": 1200, "val": 200})  # a whole copy is as good
    assert open_dataset(experiment("tiny-imagenet")).root == tiny_sample


def test_two_spellings_of_a_folder_are_one_data_set(tiny_sample: Path) -> None:
    Path("link").symlink_to(tiny_sample)
    for place in (Path("link"), tiny_sample, Path(os.path.relpath(tiny_sample))):
        assert open_dataset(experiment("tiny-imagenet", place)).root == tiny_sample


def test_another_path_is_looked_at_anew(tiny_sample: Path, small_zip: Path) -> None:
    fetch(experiment("tiny-imagenet", tiny_sample))
    with pytest.raises(UserError, match="not here yet"):
        open_dataset(experiment("tiny-imagenet", small_zip))
    assert fetch(experiment("tiny-imagenet", small_zip)) is True
    assert fetch(experiment("tiny-imagenet", tiny_sample)) is True


def test_a_recorded_folder_that_has_gone_is_an_error_that_names_it(tiny_sample: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_sample, copy, copy_function=os.link)
    fetch(experiment("tiny-imagenet", copy))
    shutil.rmtree(copy)
    with pytest.raises(UserError, match=r"SET: path: .*copy does not exist"):
        fetch(experiment("tiny-imagenet", copy))


def test_any_folder_of_images_has_its_own_place_in_data(tmp_path: Path) -> None:
    for part in ("train", "val"):
        save(tmp_path / f"mine/{part}/cat/1.png")
    exp = experiment("folder", tmp_path / "mine")
    fetch(exp)
    (marker,) = Path("data").glob("folder-mine-*/fetch.json")
    assert read_json(marker)["counts"] == {"classes": 1, "train": 1, "val": 1}
    assert fetch(exp) is False


def test_a_name_that_no_list_can_hold_is_refused(tmp_path: Path) -> None:
    for part in ("train", "val"):
        save(tmp_path / f"mine/{part}/cat/1.png").rename(tmp_path / f"mine/{part}/cat/1.png\r")
    with pytest.raises(UserError, match=r"mine: 'train/cat/1.png\\r': not one line of UTF-8 text"):
        fetch(experiment("folder", tmp_path / "mine"))


def test_a_file_is_no_folder_of_images(small_zip: Path) -> None:
    with pytest.raises(UserError, match=r"path: .*zip is a file; name a folder with train/<class>/<image>"):
        fetch(experiment("folder", small_zip))


# miniplaces ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def places_tar(tmp_path: Path) -> Path:
    """The published archive's layout: images/ and objects/, without the lists."""
    for part in ("train/a/abbey", "train/c/church/outdoor", "val", "test"):
        for i in (1, 2):
            save(tmp_path / f"places/images/{part}/{i:08d}.jpg")
    (tmp_path / "places/objects/train").mkdir(parents=True)
    with tarfile.open("places.tar.gz", "w:gz") as archive:
        for name in ("images", "objects"):
            archive.add(tmp_path / "places" / name, name)
    return tmp_path / "places.tar.gz"


def lists(server: FileServer) -> list[dict[str, object]]:
    paths = {"train/a/abbey": 0, "train/c/church/outdoor": 1}
    train = "".join(f"{folder}/{i:08d}.jpg {label}\n" for folder, label in paths.items() for i in (1, 2))
    val = "val/00000001.jpg 1\nval/00000002.jpg 0\n"
    return [remote(server, "train.txt", train.encode()), remote(server, "val.txt", val.encode())]


def test_miniplaces_is_an_archive_of_unknown_size_and_two_lists(places_tar: Path, server: FileServer) -> None:
    archive = remote(server, "data.tar.gz", places_tar.read_bytes())
    del archive["bytes"]
    write_card("miniplaces", files=[archive, *lists(server)])
    fetch(experiment("miniplaces"))
    scan = open_dataset(experiment("miniplaces")).scan()
    assert scan.classes == ["a/abbey", "c/church/outdoor"]
    assert scan.val == {"a/abbey": ["val/00000002.jpg"], "c/church/outdoor": ["val/00000001.jpg"]}
    record = read_json(Path("data/miniplaces/fetch.json"))
    assert [file["name"] for file in record["files"]] == ["data.tar.gz", "train.txt", "val.txt"]
    assert record["class_list"] == "2 of the 100 classes of the thesis' list"


def test_an_archive_of_miniplaces_takes_lists_that_lie_in_data(places_tar: Path, server: FileServer) -> None:
    write_card("miniplaces", files=[remote(server, "data.tar.gz", b"published"), *lists(server)])
    Path("data/miniplaces").mkdir()
    for name in ("train.txt", "val.txt"):
        Path(f"data/miniplaces/{name}").write_bytes(server.files[name])
    fetch(experiment("miniplaces", places_tar))
    assert server.asked == []
    assert len(open_dataset(experiment("miniplaces", places_tar)).scan().classes) == 2


def test_an_archive_of_miniplaces_that_holds_the_lists_needs_nothing_else(places_tar: Path, server: FileServer) -> None:
    write_card("miniplaces", files=[remote(server, "data.tar.gz", b"published"), *lists(server)])
    for name in ("train.txt", "val.txt"):
        Path(f"places/{name}").write_bytes(server.files[name])
    archive = shutil.make_archive("whole", "zip", ".", "places")
    fetch(experiment("miniplaces", Path(archive)))
    assert server.asked == []
    assert not Path("data/miniplaces/train.txt").exists()


# fashion-mnist ------------------------------------------------------------------------------------------------------


@pytest.fixture
def fashion(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A card of four small files that the server has, and a machine without Debian's package and without apt.

    Returns where the package's files would lie, there in a packing of their own, as Debian does it.
    """
    monkeypatch.setattr(sources, "ROOT", tmp_path / "no root")
    monkeypatch.setattr(sources, "GET_DEB", "false")
    packaged = tmp_path / "package" / card("fashion-mnist").debian.folder
    packaged.mkdir(parents=True)
    files = []
    for part, count in (("train", 4), ("t10k", 2)):
        for name, values in (
            (f"{part}-images-idx3-ubyte.gz", np.arange(count * 784).reshape(count, 28, 28) % 255),
            (f"{part}-labels-idx1-ubyte.gz", np.arange(count) % 2),
        ):
            header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
            content = header + values.astype(np.uint8).tobytes()
            (packaged / name).write_bytes(gzip.compress(content, mtime=0, compresslevel=1))
            digest = hashlib.sha256(content).hexdigest()
            files.append(remote(server, name, gzip.compress(content, mtime=1), content_sha256=digest))
    write_card("fashion-mnist", files=files)
    return packaged


def origins() -> set[str]:
    return {file["from"] for file in read_json(Path("data/fashion-mnist/fetch.json"))["files"]}


def test_the_installed_package_is_taken(
    fashion: Path, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "ROOT", tmp_path / "package")
    fetch(experiment("fashion-mnist"))
    assert origins() == {"Debian's package dataset-fashion-mnist"}
    assert server.asked == []
    assert open_dataset(experiment("fashion-mnist")).scan().train["1"] == ["train/00001", "train/00003"]


def test_without_it_apt_brings_the_package(
    fashion: Path, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkout: Path
) -> None:
    """A real apt, with a repository of one package in a folder."""
    package = tmp_path / "package"
    (package / "DEBIAN").mkdir()
    (package / "DEBIAN/control").write_text(
        "Package: dataset-fashion-mnist\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: d\n"
    )
    archive = tmp_path / "archive"
    archive.mkdir()
    deb = archive / "dataset-fashion-mnist_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", package, deb], check=True, capture_output=True)
    (archive / "Packages").write_text(
        (package / "DEBIAN/control").read_text()
        + f"Filename: ./{deb.name}\nSize: {deb.stat().st_size}\n"
        + f"SHA256: {hashlib.sha256(deb.read_bytes()).hexdigest()}\n"
    )
    (tmp_path / "apt/lists/partial").mkdir(parents=True)
    (tmp_path / "apt/status").touch()
    (tmp_path / "apt/sources.list").write_text(f"deb [trusted=yes] file:{archive} ./\n")
    (tmp_path / "apt/apt.conf").write_text(
        f'Dir::State "{tmp_path}/apt"; Dir::State::status "{tmp_path}/apt/status"; Dir::Cache "{tmp_path}/apt";'
        f'Dir::Etc::sourcelist "{tmp_path}/apt/sources.list"; Dir::Etc::sourceparts "/dev/null";'
        f'Dir::Etc::preferencesparts "/dev/null"; APT::Sandbox::User "root";'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt/apt.conf"))
    subprocess.run(["apt-get", "-qq", "update"], check=True, capture_output=True)
    monkeypatch.setattr(sources, "GET_DEB", checkout / "setup" / "get_deb.sh")
    fetch(experiment("fashion-mnist"))
    assert origins() == {"Debian's package dataset-fashion-mnist, unpacked"}
    assert server.asked == []
    assert not list(Path("data/fashion-mnist").glob("debian*"))


def test_without_any_package_the_publishers_files_are_downloaded(fashion: Path, server: FileServer) -> None:
    fetch(experiment("fashion-mnist"))
    assert origins() == {f"{server.url}/{name}" for name in server.files}
    assert len(open_dataset(experiment("fashion-mnist")).scan().classes) == 2


def test_a_package_with_other_contents_is_passed_over(
    fashion: Path, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "ROOT", tmp_path / "package")
    (fashion / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"other"))
    fetch(experiment("fashion-mnist"))
    assert len(server.asked) == 4


def test_files_that_lie_in_data_already_are_used_offline(fashion: Path, server: FileServer) -> None:
    shutil.copytree(fashion, "data/fashion-mnist")
    fetch(experiment("fashion-mnist"))
    assert origins() == {"already there"}
    assert server.asked == []


def test_a_folder_that_has_grown_is_counted_again(tmp_path: Path) -> None:
    for name in ("train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "val/dog/1.png"):
        save(tmp_path / "mine" / name)
    exp = experiment("folder", tmp_path / "mine")
    assert fetch(exp) and not fetch(exp)
    save(tmp_path / "mine/train/cat/more.jpg")
    assert fetch(exp) and not fetch(exp)
    record = read_json(next(Path("data").glob("folder-mine-*/fetch.json")))
    assert record["counts"] == {"classes": 2, "train": 3, "val": 2}
