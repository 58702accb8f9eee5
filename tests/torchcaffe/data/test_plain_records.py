"""Batches that are cut out of the records are those of the records parsed one by one; other records are left alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffeformat import datum
from caffeformat.caffeformat_pb2 import Datum
from torchcaffe.data.plain_records import PlainRecords

SHAPE = (3, 4, 5)
RANDOM = np.random.RandomState(0)
IMAGES = RANDOM.randint(0, 256, (7, *SHAPE)).astype(np.uint8)
LABELS = [3, 0, 2**31 - 1, -5, 16_777_217, 3, 127]


def of_caffe() -> list[bytes]:
    return [datum.encode(image, label) for image, label in zip(IMAGES, LABELS, strict=True)]


def other(**fields: object) -> bytes:
    usual = {"channels": 3, "height": 4, "width": 5, "data": IMAGES[0].tobytes(), "label": 1}
    return Datum(**(usual | fields)).SerializeToString()


OTHERS = {
    "another height": other(height=2, data=IMAGES[0, :, :2].tobytes()),
    "too few pixels": other(data=IMAGES[0].tobytes()[:-1]),
    "floats": other(data=b"", float_data=[0.5] * 60),
    "encoded": other(encoded=True),
    "cut off": of_caffe()[0][:-1],
    "cut off in the pixels": of_caffe()[0][:30],
    "the sizes twice": of_caffe()[0] + Datum(height=2).SerializeToString(),
    "the pixels twice": of_caffe()[0] + Datum(data=IMAGES[1].tobytes()).SerializeToString(),
    "no record": b"",
}


def test_a_batch_has_the_pixels_and_labels_of_its_records() -> None:
    plain = PlainRecords(of_caffe()[0], SHAPE)
    for _ in range(2):  # labels that are new, and labels that are known
        images, labels = plain.batch(of_caffe()) or (None, None)
        np.testing.assert_array_equal(images, IMAGES)
        np.testing.assert_array_equal(labels, np.array([np.float32(label) for label in LABELS]))
        assert labels.dtype == np.float32


def test_large_images_come_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchcaffe.data.plain_records._SMALL", IMAGES[0].size - 1)
    images, labels = PlainRecords(of_caffe()[0], SHAPE).batch(of_caffe()) or (None, None)
    assert isinstance(images, list)
    np.testing.assert_array_equal(images, IMAGES)
    assert list(labels) == [np.float32(label) for label in LABELS]


def test_a_record_without_a_label_or_with_fields_of_later_caffes_is_taken_as_it_is_parsed() -> None:
    records = [other(label=0), other(label=9, encoded=False), other(float_data=[1.5]), other() + b"\x9a\x06\x01x"]
    parsed = [datum.decode(record) for record in records]
    images, labels = PlainRecords(of_caffe()[0], SHAPE).batch(records) or (None, None)
    np.testing.assert_array_equal(images, [image for image, _ in parsed])
    np.testing.assert_array_equal(labels, [label for _, label in parsed])


@pytest.mark.parametrize("record", OTHERS.values(), ids=OTHERS)
def test_a_record_of_another_kind_is_not_taken(record: bytes) -> None:
    plain = PlainRecords(of_caffe()[0], SHAPE)
    assert plain.batch([*of_caffe(), record]) is None
    assert plain.batch(of_caffe()) is not None
    assert not PlainRecords(record, SHAPE).are_plain


@given(st.integers(0, 6), st.integers(0, 70), st.binary(max_size=3))
def test_damage_gives_what_parsing_gives_or_nothing(index: int, place: int, written: bytes) -> None:
    records = of_caffe()
    records[index] = records[index][:place] + written + records[index][place + len(written) :]
    batch = PlainRecords(of_caffe()[0], SHAPE).batch(records)
    if batch is not None:
        for image, label, record in zip(*batch, records, strict=True):
            expected_image, expected_label = datum.decode(record)
            np.testing.assert_array_equal(image, expected_image)
            assert label == np.float32(expected_label)


@pytest.mark.parametrize("cut", [1, 20, 40])
def test_records_without_labels_that_are_cut_off_are_not_taken(cut: int) -> None:
    """What follows their pixels is nothing, as in a whole one."""
    first, *more = (Datum(channels=3, height=4, width=5, data=each.tobytes()).SerializeToString() for each in IMAGES)
    records = PlainRecords(first, SHAPE)
    found = records.batch([first, *more])
    assert found is not None and found[1].tolist() == [0] * 7
    short = more[0][:-cut]
    for batch in ([short], [first, short], [first, more[1], short, short], [first + b"x" * cut, short]):
        assert records.batch(batch) is None
