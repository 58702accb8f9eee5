"""The verb mean: the mean image that Caffe's compute_image_mean computes."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from caffeformat import blobs
from tests.helpers.file_stamp import stamp
from tests.helpers.image_projects import experiment, verb
from tools.common.errors import UserError
from tools.common.files import read_json, sha256
from tools.mean import mean
from tools.pack import pack
from tools.planning.stages import mean_stage
from tools.protocol.experiment import Experiment
from tools.protocol.layout import split_of
from tools.split import split


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def packed(sample: Path, **keys: object) -> Experiment:
    given = {"dataset": "tiny-imagenet", "path": sample, "full_size": 60, "sizes": [60, 5]}
    exp = experiment(Path("exp.yaml"), **given | keys)
    split(exp, 0)
    pack(exp, 0)
    return exp


@pytest.mark.parametrize("keys", [{}, {"gray": True, "image_size": 28}])
def test_every_mean_equals_that_of_compute_image_mean(
    keys: dict, tiny_sample: Path, caffe_tools: Path, project: Path
) -> None:
    exp = packed(tiny_sample, **keys)
    assert mean(exp, 0)
    place = split_of(exp, 0)
    for half in "AB":
        for size in exp.sizes:
            command = [caffe_tools / "compute_image_mean", place.train_lmdb(half, size), "theirs.binaryproto"]
            subprocess.run(command, check=True, capture_output=True)
            ours, theirs = blobs.read_mean(place.mean(half, size)), blobs.read_mean("theirs.binaryproto")
            assert ours.shape == theirs.shape == (1 if exp.gray else 3, exp.image_size, exp.image_size)
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
            assert ours.std() > 1


def test_pycaffe_reads_it(tiny_sample: Path, pycaffe: Path, project: Path) -> None:
    exp = packed(tiny_sample, full_size=5, sizes=[5])
    mean(exp, 0)
    file = split_of(exp, 0).mean("A", 5)
    code = (
        "import sys, caffe; blob = caffe.proto.caffe_pb2.BlobProto()\n"
        "blob.ParseFromString(open(sys.argv[1], 'rb').read()); array = caffe.io.blobproto_to_array(blob)\n"
        "print(array.shape, array.sum(dtype='f8'))"
    )
    said = subprocess.run([pycaffe, "-c", code, file], check=True, capture_output=True, text=True).stdout
    assert said.strip() == f"(1, 3, 64, 64) {blobs.read_mean(file).sum(dtype='f8')}"


def test_the_mark_holds_the_checksum_of_every_mean(tiny_sample: Path, project: Path) -> None:
    exp = packed(tiny_sample)
    assert not mean_stage(exp, 0).is_complete
    mean(exp, 0)
    place = split_of(exp, 0)
    means = {f"{half}/{name}": place.mean(half, size) for half in "AB" for name, size in (("n0005", 5), ("n0060", 60))}
    assert read_json(place.means)["means"] == {name: sha256(path) for name, path in means.items()}


@pytest.mark.slow
def test_a_second_call_does_nothing_and_another_size_adds_its_own(tiny_sample: Path, project: Path) -> None:
    exp = packed(tiny_sample)
    mean(exp, 0)
    place = split_of(exp, 0)
    stamps = {f: stamp(f) for f in place.folder.rglob("mean.*")}
    assert mean_stage(exp, 0).is_complete
    assert not mean(exp, 0)
    assert {f: stamp(f) for f in stamps} == stamps
    more = packed(tiny_sample, sizes=[20])
    assert not mean_stage(more, 0).is_complete
    assert mean(more, 0)
    assert {f: stamp(f) for f in stamps if f != place.means} == {f: s for f, s in stamps.items() if f != place.means}
    assert mean_stage(exp, 0).is_complete
    assert mean_stage(more, 0).is_complete


def test_a_mean_that_was_lost_or_edited_is_computed_again(tiny_sample: Path, project: Path) -> None:
    exp = packed(tiny_sample)
    mean(exp, 0)
    file = split_of(exp, 0).mean("B", 5)
    before = file.read_bytes()
    for damage in (file.unlink, lambda: file.write_bytes(b"?")):
        damage()
        assert not mean_stage(exp, 0).is_complete
        assert mean(exp, 0)
        assert file.read_bytes() == before


def test_without_lmdbs_the_error_says_what_to_run(tiny_sample: Path, project: Path) -> None:
    exp = experiment(Path("exp.yaml"), dataset="tiny-imagenet", path=tiny_sample, full_size=60)
    with pytest.raises(UserError, match=r"split.json: no split yet; run `python -m tools split exp.yaml` first"):
        mean(exp, 0)
    split(exp, 0)
    with pytest.raises(UserError, match=r"A/n0060: no LMDB yet; run `python -m tools pack exp.yaml` first"):
        mean(exp, 0)


@pytest.mark.slow
def test_the_command_says_what_it_computed(tiny_sample: Path, project: Path) -> None:
    exp = packed(tiny_sample)
    said = [verb("mean", exp.file).communicate()[0] for _ in range(2)]
    place = split_of(exp, 0)
    assert said[0] == f"{place.folder / place.images}: 4 mean images: written\n"
    assert said[1] == said[0].replace("written", "complete already")
