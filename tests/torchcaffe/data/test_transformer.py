"""Crop, mirror, mean and scale, against real Caffe's Data layer; and what does not go together is refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffeformat import FormatError, blobs, datum, lmdb_file, prototxt
from caffeformat.caffeformat_pb2 import TEST, TRAIN, TransformationParameter
from tests.helpers.real_caffe import CaffeAborted, RealCaffe
from torchcaffe.data.transformer import SeveralSizes, Transformer, Transformers, own_generator
from torchcaffe.random.rng import Generator

PHASES = {"TRAIN": TRAIN, "TEST": TEST}
SHAPE = (3, 20, 23)
IMAGES = np.random.RandomState(0).randint(0, 256, (12, *SHAPE)).astype(np.uint8)
MEAN = (np.random.RandomState(1).rand(*SHAPE) * 255).astype(np.float32)

BATCHES = """
caffe.set_random_seed(given["seed"])
net = caffe.Net(given["net"], getattr(caffe, given["phase"]))
out["batches"] = np.stack([net.forward()["data"].copy() for _ in range(given["count"])])
"""


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images as `lmdb`, their mean as `mean`, and means that do not fit."""
    folder = tmp_path_factory.mktemp("transformer")
    lmdb_file.write(folder / "lmdb", [(lmdb_file.key(i, ""), datum.encode(image, i)) for i, image in enumerate(IMAGES)])
    (folder / "mean").write_bytes(blobs.mean_bytes(MEAN))
    (folder / "crop_mean").write_bytes(blobs.mean_bytes(MEAN[:, 1:-1, 1:-1]))
    (folder / "gray_mean").write_bytes(blobs.mean_bytes(MEAN[:1]))
    (folder / "mean_of_3_axes").write_bytes(blobs.array_to_blob(MEAN).SerializeToString())
    return folder


def ours(text: str, phase: str, seed: int, sizes: list[int]) -> list[np.ndarray]:
    transform = transformer(text, phase, Generator(seed))
    ends = np.cumsum(sizes)
    return [
        transform([IMAGES[i % len(IMAGES)] for i in range(end - size, end)])
        for size, end in zip(sizes, ends, strict=True)
    ]


def transformer(text: str, phase: str, rng: Generator) -> Transformer:
    param = prototxt.parse(text, TransformationParameter(), "transform")
    return Transformer(param, PHASES[phase], SHAPE, own_generator(param, PHASES[phase], rng))


def caffes(real_caffe: RealCaffe, folder: Path, text: str, phase: str, seed: int, batch: int, count: int) -> np.ndarray:
    net = f"""layer {{ name: "data" type: "Data" top: "data" transform_param {{ {text} }}
        data_param {{ source: "{folder}/lmdb" backend: LMDB batch_size: {batch} }} }}"""
    return real_caffe.run(BATCHES, seed=seed, net=real_caffe.net_file(net), phase=phase, count=count)["batches"]


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    assert (a.shape, a.dtype, b.dtype) == (b.shape, np.float32, np.float32)
    return np.array_equal(a.view(np.uint32), b.view(np.uint32))


# ---- Equal to Caffe ------------------------------------------------------------------------------------------------

TRANSFORMS = [
    "",
    "mirror: true",
    "crop_size: 15",
    "crop_size: 14 mirror: true",
    "crop_size: 20",
    "crop_size: 1 mirror: true",
    "crop_size: 15 mirror: true mean_file: '{folder}/mean'",
    "mean_file: '{folder}/mean' scale: 0.00390625",
    "crop_size: 7 mean_value: 104 mean_value: 117 mean_value: 123.68 scale: 0.017",
    "mirror: true mean_value: 7.7",
]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("text", TRANSFORMS)
def test_every_pixel_of_several_rounds_equals_caffes(text, phase, real_caffe, files):
    text = text.format(folder=files)
    expected = caffes(real_caffe, files, text, phase, 5, 7, 6)
    found = ours(text, phase, 5, [7] * 6)
    assert same_bits(np.stack(found), expected)


@st.composite
def some_transform(draw: st.DrawFn) -> str:
    text = f"crop_size: {draw(st.integers(0, 20))} mirror: {str(draw(st.booleans())).lower()}"
    text += f" scale: {draw(st.floats(-3, 3, width=32))!r}"
    for value in draw(st.lists(st.floats(0, 255), max_size=3).filter(lambda values: len(values) != 2)):
        text += f" mean_value: {value!r}"
    return text


@settings(max_examples=40)
@given(text=some_transform(), phase=st.sampled_from(sorted(PHASES)), seed=st.integers(0, 2**32 - 1))
def test_any_transform_equals_caffes(real_caffe, files, text, phase, seed):
    expected = caffes(real_caffe, files, text, phase, seed, 9, 2)
    assert same_bits(np.stack(ours(text, phase, seed, [9, 9])), expected)


@given(text=some_transform(), phase=st.sampled_from(sorted(PHASES)), seed=st.integers(0, 2**32 - 1))
def test_images_in_one_array_are_transformed_as_in_a_list(files, text, phase, seed):
    in_turn, at_once = (transformer(text.replace("FILES", str(files)), phase, Generator(seed)) for _ in range(2))
    for _ in range(2):
        assert same_bits(in_turn(list(IMAGES)), at_once(np.stack(IMAGES)))


def test_how_images_are_divided_into_batches_changes_nothing():
    text = "crop_size: 15 mirror: true"
    once, often = ours(text, "TRAIN", 3, [30]), ours(text, "TRAIN", 3, [1, 7, 20, 2])
    assert same_bits(np.concatenate(once), np.concatenate(often))


def test_images_of_several_sizes_are_transformed_in_turn_and_a_restored_state_does_it_again():
    param = TransformationParameter(crop_size=5, mirror=True)
    images = [image[:, i % 3 :, i % 2 :] for i, image in enumerate(IMAGES)]
    transform, other = (Transformers(param, TRAIN, Generator(seed)) for seed in (1, 2))
    transform(images)
    state = transform.state()
    expected = transform(images)
    other.restore(state)
    assert same_bits(other(images), expected)
    with pytest.raises(SeveralSizes, match="images of 3x19x23 and 3x20x23 in one batch"):
        Transformers(TransformationParameter(), TRAIN, None)([IMAGES[0], IMAGES[0][:, 1:]])


@pytest.mark.parametrize(
    ("text", "phase", "draws"),
    [
        ("", "TRAIN", 0),
        ("crop_size: 5", "TEST", 0),
        ("crop_size: 5", "TRAIN", 2),
        ("crop_size: 20", "TRAIN", 2),
        ("mirror: true", "TEST", 2),
    ],
)
def test_only_what_is_random_draws_from_the_solvers_generator(text, phase, draws):
    rng, other = Generator(9), Generator(9)
    transformer(text, phase, rng)
    other.raw(draws)
    assert rng.rand() == other.rand()


# ---- Refused -------------------------------------------------------------------------------------------------------

REFUSED = [
    ("crop_size: 21", "crop_size: 21 is larger than the images, 20 by 23"),
    ("mean_file: '{folder}/mean' mean_value: 1", "mean_file and mean_value are both given; give one of them"),
    ("mean_value: 1 mean_value: 2", "mean_value is given 2 times; 1 or 3 are needed, one a channel"),
    ("crop_size: 18 mean_file: '{folder}/crop_mean'", "/crop_mean: a mean of 3x18x21, but the images are 3x20x23"),
    ("mean_file: '{folder}/gray_mean'", "/gray_mean: a mean of 1x20x23, but the images are 3x20x23"),
    (
        "mean_file: '{folder}/mean_of_3_axes'",
        "/mean_of_3_axes: not a mean image: its shape is (3, 20, 23); it must be 1, ",
    ),
    ("mean_file: '{folder}/nowhere'", "/nowhere: cannot be read: No such file or directory"),
    ("mean_file: '{folder}/lmdb/data.mdb'", "/lmdb/data.mdb: not a mean image (binaryproto), or cut off"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_does_not_go_together_is_refused_here_and_by_caffe(text, message, real_caffe, files):
    text = text.format(folder=files)
    with pytest.raises(FormatError) as error:
        transformer(text, "TRAIN", Generator(1))
    assert message in str(error.value)
    with pytest.raises(CaffeAborted, match="Check failed"):
        caffes(real_caffe, files, text, "TRAIN", 1, 2, 1)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("crop", [0, 7, 20])
@pytest.mark.parametrize(
    "mean", ["", 'mean_file: "{}/mean"', "mean_value: 3", "mean_value: 1 mean_value: 2 mean_value: 3"]
)
def test_a_batch_in_one_array_becomes_what_its_images_become(files, monkeypatch, phase, crop, mean) -> None:
    """Small images are cut out all at once, larger ones one by one."""
    text = f"mirror: true crop_size: {crop} scale: 0.3 " + mean.format(files)
    right = transformer(text, phase, Generator(4))(list(IMAGES))
    assert same_bits(transformer(text, phase, Generator(4))(IMAGES), right)
    monkeypatch.setattr("torchcaffe.data.transformer._SMALL", 0)
    assert same_bits(transformer(text, phase, Generator(4))(IMAGES), right)
    monkeypatch.setattr("torchcaffe.data.transformer._FEW_CHANNELS", 0)  # the channels come first in memory
    assert same_bits(transformer(text, phase, Generator(4))(IMAGES), right)
