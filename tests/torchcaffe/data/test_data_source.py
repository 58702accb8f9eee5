"""The records of a Data layer: Caffe's order and labels, its "Restarting" lines, resume, and damaged input."""

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffeformat import FormatError, blobs, datum, lmdb_file, prototxt
from caffeformat.caffeformat_pb2 import TEST, TRAIN, Datum, LayerParameter
from torchcaffe.data.data_source import DatumSource
from torchcaffe.random.rng import Generator

COUNT = 11
IMAGES = np.random.RandomState(0).randint(0, 256, (COUNT, 3, 8, 7)).astype(np.uint8)
LABELS = [3, 0, 2**31 - 1, -5, 16_777_217, *range(6)]  # some that float32 rounds, as Caffe's blobs do


def record(index: int, image: np.ndarray, label: int) -> tuple[bytes, bytes]:
    return lmdb_file.key(index, f"{index}.jpg"), datum.encode(image, label)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "lmdb"
    records = [record(i, image, label) for i, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True))]
    lmdb_file.write(folder, records)
    return folder


def layer_text(folder: Path, batch: int, more: str = "", transform: str = "") -> str:
    return f"""name: "images" type: "Data" top: "data" top: "label" transform_param {{ {transform} }}
        data_param {{ source: "{folder}" backend: LMDB batch_size: {batch} {more} }}"""


def source(text: str, seed: int = 1, phase: int = TRAIN) -> DatumSource:
    return DatumSource(prototxt.parse(text, LayerParameter(), "layer"), phase, Generator(seed))


# ---- What Caffe reads ----------------------------------------------------------------------------------------------

BATCHES = """
caffe.set_random_seed(1)
net = caffe.Net(given["net"], caffe.TRAIN)
batches = [{name: blob.copy() for name, blob in net.forward().items()} for _ in range(given["count"])]
out.update({name: np.stack([batch[name] for batch in batches]) for name in batches[0]})
"""


@pytest.mark.parametrize("batch", [1, 4, 11, 25])
@pytest.mark.parametrize("transform", ["", "crop_size: 5 mirror: true"])
def test_images_and_labels_equal_caffes_over_several_rounds(batch, transform, folder, real_caffe):
    text = layer_text(folder, batch, transform=transform)
    expected = real_caffe.run(BATCHES, net=real_caffe.net_file(f"layer {{ {text} }}"), count=5)
    reader = source(text)
    for data, label in zip(expected["data"], expected["label"], strict=True):
        found_data, found_label = reader.next_batch(batch)
        assert (found_data.dtype, found_label.dtype) == (np.float32, np.float32)
        assert np.array_equal(found_data, data)
        assert np.array_equal(found_label, label)


@pytest.mark.parametrize("force", ["", "force_color: true", "force_gray: true"])
@pytest.mark.parametrize("kind", ["color", "gray"])
def test_images_that_are_packed_as_files_are_decoded_as_caffe_decodes_them(
    force, kind, caffe_tools, tmp_path, real_caffe
):
    """An LMDB of `convert_imageset --encoded`, with JPEG and PNG files."""
    for index, image in enumerate(IMAGES):
        pixels = image.transpose(1, 2, 0) if kind == "color" else image[0]
        assert cv2.imwrite(str(tmp_path / f"{index}.{'png' if index % 2 else 'jpg'}"), pixels)
    names = [f"{index}.{'png' if index % 2 else 'jpg'} {index}\n" for index in range(COUNT)]
    (tmp_path / "list").write_text("".join(names))
    gray = ["--gray"] if kind == "gray" else []
    command = [caffe_tools / "convert_imageset", "--encoded", *gray, f"{tmp_path}/", "list", "lmdb"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    text = layer_text(tmp_path / "lmdb", 4, transform=f"crop_size: 5 mirror: true {force}")
    expected = real_caffe.run(BATCHES, net=real_caffe.net_file(f"layer {{ {text} }}"), count=4)
    reader = source(text)
    for data, label in zip(expected["data"], expected["label"], strict=True):
        found_data, found_label = reader.next_batch(4)
        assert np.array_equal(found_data, data)
        assert np.array_equal(found_label, label)


def test_a_file_in_a_record_that_is_no_image_is_named(tmp_path):
    value = Datum(encoded=True, data=b"no image").SerializeToString()
    lmdb_file.write(tmp_path / "lmdb", [(b"0_x.jpg", value)])
    with pytest.raises(FormatError, match=r"record 0 \(0_x.jpg\): not an image of 8 bits per channel"):
        source(layer_text(tmp_path / "lmdb", 1))


def test_color_and_gray_cannot_both_be_forced(folder):
    with pytest.raises(FormatError, match="layer images: cannot set both force_color and force_gray"):
        source(layer_text(folder, 1, transform="force_color: true force_gray: true"))


def test_the_shape_is_that_after_the_crop(folder):
    assert source(layer_text(folder, 2)).shape == (3, 8, 7)
    assert source(layer_text(folder, 2, transform="crop_size: 5")).shape == (3, 5, 5)


def test_the_records_are_there_at_once_as_they_are_stored(folder):
    images, labels = source(layer_text(folder, 4)).records()
    assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
    assert np.array_equal(images, IMAGES)
    assert labels.tolist() == LABELS


# ---- "Restarting data prefetching from start." ---------------------------------------------------------------------


# Counts such that no pass falls into what the thread may still be reading when Caffe ends.
@pytest.mark.parametrize(("batch", "prefetch", "iterations"), [(1, 4, 35), (2, 1, 12), (5, 2, 7), (30, 1, 3)])
def test_the_restarts_are_as_many_as_caffes_thread_logs(batch, prefetch, iterations, folder, caffe, tmp_path):
    text = layer_text(folder, batch, f"prefetch: {prefetch}")
    (tmp_path / "net.prototxt").write_text(f"""layer {{ {text} }}
        layer {{ name: "s" type: "Silence" bottom: "data" bottom: "label" }}""")
    (tmp_path / "none.caffemodel").write_bytes(b"")
    done = subprocess.run(
        [caffe, "test", "--model=net.prototxt", "--weights=none.caffemodel", f"--iterations={iterations}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    reader = source(text)
    due = reader.restarts()
    for _ in range(iterations):
        reader.next_batch(batch)
        due += reader.restarts()
    assert due == done.stderr.count("Restarting data prefetching from start.")


WATCHED = """
import sys, time
import caffe
def logged(due):
    # waits for the thread: long for what is due, and a little for what is not
    end = time.monotonic() + 60
    while True:
        time.sleep(0.1)
        count = open(sys.argv[1]).read().count("Restarting data prefetching from start.")
        if count >= due or time.monotonic() > end:
            return count
net = caffe.Net(sys.argv[2], caffe.TRAIN)
due = [int(word) for word in sys.argv[3:]]
seen = [logged(due[0])]
for count in due[1:]:
    net.forward()
    seen.append(logged(count))
print(*seen)
"""


def test_restarts_are_due_when_caffes_thread_reads_ahead_not_when_the_data_are_used(folder, pycaffe, tmp_path):
    # given 11 records, batches of 2 and four of them read ahead
    text = layer_text(folder, 2)
    (tmp_path / "net.prototxt").write_text(f"layer {{ {text} }}")
    # when they are used, one after the other
    reader = source(text)
    due = [reader.restarts()]
    for _ in range(8):
        reader.next_batch(2)
        due.append(reader.restarts())
    # then the sixth batch (records 11 and 12), read when the third is used, passes the end; the eleventh does again
    assert due == [0, 0, 0, 1, 0, 0, 0, 0, 1]
    # and Caffe's log says the same
    log = tmp_path / "log"
    counts = [str(count) for count in np.cumsum(due)]
    with log.open("w") as stderr:
        command = [pycaffe, "-c", WATCHED, log, tmp_path / "net.prototxt", *counts]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, text=True, check=True)
    assert done.stdout.split() == counts


# ---- Resume --------------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(before=st.integers(0, 30), batch=st.integers(1, 13))
def test_a_restored_state_goes_on_with_the_next_record_and_the_same_crops(folder, before, batch):
    text = layer_text(folder, batch, transform="crop_size: 5 mirror: true")
    reader = source(text)
    for _ in range(before):
        reader.next_batch(batch)
    state = reader.state()
    expected = reader.next_batch(40)
    other = source(text, seed=2)
    other.restore(state)
    found = other.next_batch(40)
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])


def test_a_state_is_made_of_plain_arrays(folder, tmp_path):
    reader = source(layer_text(folder, 4, transform="mirror: true"))
    reader.next_batch(4)
    np.savez(tmp_path / "state", **reader.state())
    expected = reader.next_batch(4)[0]
    with np.load(tmp_path / "state.npz", allow_pickle=False) as state:
        reader.restore(dict(state))
    assert np.array_equal(reader.next_batch(4)[0], expected)


def test_the_state_of_a_layer_that_drew_otherwise_is_refused(folder):
    mirrors, does_not = (source(layer_text(folder, 4, transform=text)) for text in ("mirror: true", ""))
    for reader, state in ((mirrors, does_not.state()), (does_not, mirrors.state()), (does_not, {})):
        with pytest.raises(FormatError, match=r"^layer images: .* have crop_size or mirror been changed\? Remove"):
            reader.restore(state)


# ---- Several batches at once ---------------------------------------------------------------------------------------

TRANSFORMS = ["", "crop_size: 5 mirror: true", "mirror: true mean_value: 7 scale: 0.5", "crop_size: 6 scale: 0.1"]


@pytest.mark.parametrize("batch", [1, 3, 4, 11, 25])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_batches_read_at_once_are_those_read_one_by_one(batch: int, transform: str, folder: Path) -> None:
    phase = TEST if "6" in transform else TRAIN  # in which a crop is the centre
    together, alone = (source(layer_text(folder, batch, transform=transform), phase=phase) for _ in range(2))
    for _ in range(5):
        batches = together.next_batches(batch)
        assert len(batches) == 8
        for images, labels, restarts, state in batches:
            right_images, right_labels = alone.next_batch(batch)
            np.testing.assert_array_equal(images, right_images)
            np.testing.assert_array_equal(labels, right_labels)
            assert restarts == alone.restarts()
            np.testing.assert_equal(state, alone.state())


def test_large_batches_are_read_one_by_one(tmp_path: Path) -> None:
    shape = (3, 100, 100)
    lmdb_file.write(tmp_path / "large", [record(i, np.full(shape, i, np.uint8), i) for i in range(3)])
    reader = source(layer_text(tmp_path / "large", 3))
    ((images, _, _, _),) = reader.next_batches(3)
    assert images.shape == (3, *shape)


def test_a_record_of_another_kind_and_a_damaged_one_do_not_trouble_the_batches_before_them(tmp_path: Path) -> None:
    records = [record(i, IMAGES[i], i) for i in range(6)]
    floats = Datum(channels=3, height=8, width=7, label=4, float_data=IMAGES[4].ravel())
    records[4] = (records[4][0], floats.SerializeToString())
    records[5] = (records[5][0], records[5][1][:-50])
    lmdb_file.write(tmp_path / "mixed", records)
    reader = source(layer_text(tmp_path / "mixed", 1))
    for i in range(5):
        ((images, labels, _, _),) = reader.next_batches(1)
        np.testing.assert_array_equal(images[0], IMAGES[i])
        assert labels.tolist() == [i]
    with pytest.raises(FormatError, match=r"^layer images: .*/mixed: record 5 \(00000005_5.jpg\): \d+ bytes that"):
        reader.next_batches(1)


def test_after_a_record_of_another_kind_records_are_read_together_again(tmp_path: Path) -> None:
    records = [record(i, IMAGES[i % COUNT][:, 1:] if i == 3 else IMAGES[i % COUNT], i) for i in range(40)]
    lmdb_file.write(tmp_path / "mixed", records)
    reader = source(layer_text(tmp_path / "mixed", 2, transform="crop_size: 5"))
    sizes = [len(reader.next_batches(2)) for _ in range(9)]
    assert sizes == [1] * 8 + [8]  # it is among the first 16 records
    assert len(reader.next_batches(2)) == 1  # and among the 16 from record 32 on
    reader.restore(reader.state())
    assert len(reader.next_batches(2)) == 1


# ---- Refused -------------------------------------------------------------------------------------------------------


def test_a_source_that_is_not_there_is_named_with_its_layer(tmp_path):
    with pytest.raises(FormatError, match=r"^layer images: .*/nowhere: not an LMDB: it does not exist; give"):
        source(layer_text(tmp_path / "nowhere", 4))


def test_an_lmdb_cut_off_is_refused(folder, tmp_path):
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "data.mdb").write_bytes((folder / "data.mdb").read_bytes()[:-4096])
    with pytest.raises(FormatError, match=r"^layer images: .*cut/data.mdb: cut off: \d+ bytes of \d+"):
        source(layer_text(tmp_path / "cut", 4))


def test_an_lmdb_without_records_is_refused(tmp_path):
    lmdb_file.write(tmp_path / "empty", [])
    with pytest.raises(FormatError, match=r"^layer images: .*/empty: a database without records"):
        source(layer_text(tmp_path / "empty", 4))


def test_a_damaged_record_is_named(tmp_path):
    good, (key, value) = record(0, IMAGES[0], 1), record(1, IMAGES[1], 1)
    lmdb_file.write(tmp_path / "damaged", [good, (key, value[:-50])])
    reader = source(layer_text(tmp_path / "damaged", 2))
    with pytest.raises(FormatError, match=r"^layer images: .*/damaged: record 1 \(00000001_1.jpg\): \d+ bytes that"):
        reader.next_batch(2)


def test_an_image_of_another_size_is_named(tmp_path):
    lmdb_file.write(tmp_path / "mixed", [record(0, IMAGES[0], 1), record(1, IMAGES[1][:, 1:], 1)])
    reader = source(layer_text(tmp_path / "mixed", 2))
    message = (
        "layer images: .*/mixed: from record 0 on: images of 3x7x7 and 3x8x7 in one batch; pack them in one size, "
    )
    with pytest.raises(FormatError, match=message + "or give a crop_size, or batch_size: 1"):
        reader.next_batch(2)
    with pytest.raises(FormatError, match="record 1 is an image of uint8 3x7x7, but the first is one of uint8 3x8x7"):
        reader.records()


def test_a_crop_or_a_mean_that_does_not_fit_is_named_with_its_layer(folder, tmp_path):
    with pytest.raises(FormatError, match=r"^layer images: crop_size: 8 is larger than the images, 8 by 7"):
        source(layer_text(folder, 2, transform="crop_size: 8"))
    (tmp_path / "mean").write_bytes(blobs.mean_bytes(np.zeros((3, 4, 4), np.float32)))
    with pytest.raises(FormatError, match=r"^layer images: .*/mean: a mean of 3x4x4, but the images are 3x8x7"):
        source(layer_text(folder, 2, transform=f"mean_file: '{tmp_path}/mean'"))


@pytest.mark.parametrize(
    ("batch", "more", "message"),
    [
        (0, "", "data_param needs batch_size: 1 or more; found 0"),
        (1, "prefetch: 0", "data_param needs prefetch: 1 or more; found 0"),
    ],
)
def test_a_batch_of_nothing_is_refused(batch, more, message, folder):
    with pytest.raises(FormatError, match=rf"^layer images: {message}"):
        source(layer_text(folder, batch, more))


def test_a_database_of_the_other_kind_is_named(folder, tmp_path):
    text = f'name: "images" type: "Data" top: "data" data_param {{ source: "{folder}" batch_size: 1 }}'
    with pytest.raises(FormatError, match=r"^layer images: .*: the backend is LEVELDB, .* write backend: LMDB"):
        source(text)
    (tmp_path / "CURRENT").write_text("MANIFEST-000001")
    with pytest.raises(FormatError, match=r"^layer images: .*: the backend is LMDB, .* write backend: LEVELDB"):
        source(layer_text(tmp_path, 1))
