"""A data set held on the device: batches equal to streamed ones, bit for bit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffeformat import FormatError, blobs, datum, lmdb_file
from caffeformat.caffeformat_pb2 import TEST, TRAIN, NetParameter
from torchcaffe.common.context import Context
from torchcaffe.data import resident
from torchcaffe.data.data_source import DatumSource
from torchcaffe.data.resident import ResidentImages
from torchcaffe.random.rng import Generator

COUNT, SHAPE = 37, (3, 9, 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """37 images with labels, and their mean."""
    folder = tmp_path_factory.mktemp("resident")
    images = np.random.default_rng(3).integers(0, 256, (COUNT, *SHAPE), np.uint8)
    items = [(lmdb_file.key(i, f"{i}.jpg"), datum.encode(image, i * 3)) for i, image in enumerate(images)]
    lmdb_file.write(folder / "lmdb", items)
    (folder / "mean").write_bytes(blobs.mean_bytes(images.mean(0).astype(np.float32)))
    return folder


def source(folder: Path, batch: int, transform: str, phase: int) -> DatumSource:
    text = f"""layer {{ name: "d" type: "Data" top: "x" transform_param {{ {transform} }}
        data_param {{ source: "{folder}/lmdb" backend: LMDB batch_size: {batch} }} }}"""
    return DatumSource(text_format.Parse(text, NetParameter()).layer[0], phase, Generator(5))


TRANSFORMS = ["", "mean_value: 100", "mean_value: 90 mean_value: 100 mean_value: 110", "mean"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    crop=st.sampled_from([0, 5, 8]),
    mirror=st.booleans(),
    mean=st.sampled_from(TRANSFORMS),
    scale=st.sampled_from([1, 0.015625, 0.3]),
    phase=st.sampled_from([TRAIN, TEST]),
    batch=st.sampled_from([1, 10, 50]),
)
def test_batches_equal_streamed_ones_to_the_bit(folder, monkeypatch, crop, mirror, mean, scale, phase, batch) -> None:
    """Over several rounds of the data; read in pieces that do not divide it."""
    monkeypatch.setattr(resident, "_PIECE", 10)
    mean = f'mean_file: "{folder}/mean"' if mean == "mean" else mean
    transform = f"crop_size: {crop} mirror: {str(mirror).lower()} scale: {scale} {mean}"
    streamed, chosen = (source(folder, batch, transform, phase) for _ in range(2))
    held = ResidentImages(chosen, Context())
    for _ in range(9):
        held.choose(chosen.next_choices(batch))
        for found, right in zip(held.batch(), streamed.next_batch(batch), strict=True):
            assert np.array_equal(found.numpy(), right)
        assert chosen.restarts() == streamed.restarts()
    for name, array in streamed.state().items():
        assert np.array_equal(chosen.state()[name], array)


def test_images_stay_bytes_until_they_are_used(folder: Path) -> None:
    held = ResidentImages(source(folder, 4, "", TEST), Context())
    assert held._images.dtype == torch.uint8
    assert held._images.numel() + 4 * COUNT == resident.bytes_of(source(folder, 4, "", TEST))


def test_a_net_of_float64_gets_the_same_numbers(folder: Path) -> None:
    chosen = source(folder, 6, f'mean_file: "{folder}/mean" scale: 0.3', TEST)
    held = ResidentImages(chosen, Context(dtype=torch.float64))
    held.choose(chosen.next_choices(6))
    images, labels = held.batch()
    assert (images.dtype, labels.dtype) == (torch.float64, torch.float64)
    right = source(folder, 6, f'mean_file: "{folder}/mean" scale: 0.3', TEST).next_batch(6)[0]
    assert np.array_equal(images.float(), right)


def test_a_record_of_another_size_is_named_before_training_begins(tmp_path: Path) -> None:
    images = [np.zeros(SHAPE, np.uint8), np.zeros((3, 9, 9), np.uint8)]
    items = [(lmdb_file.key(i, f"{i}.jpg"), datum.encode(image, i)) for i, image in enumerate(images)]
    lmdb_file.write(tmp_path / "lmdb", items)
    with pytest.raises(FormatError, match=r"lmdb: record 1 is an image of uint8 3x9x9, but the first is one of uint8"):
        ResidentImages(source(tmp_path, 1, "", TEST), Context())
