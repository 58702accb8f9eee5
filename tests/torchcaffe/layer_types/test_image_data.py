"""ImageData against real Caffe: which images, in which order."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import torchcaffe
from caffeformat import blobs
from tests.helpers.data_batches import batches_of_both, equal_batches, training_is_caffes_and_resumes_exactly

SIZES = [(20, 23), (20, 23), (31, 18), (25, 25), (20, 30), (19, 40), (50, 22)]  # height, width


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images of several sizes and kinds, `list`, `same` (two of one size) and `mean`."""
    folder = tmp_path_factory.mktemp("images") / "of several sizes"
    folder.mkdir()
    random = np.random.default_rng(0)
    names = []
    for index, (height, width) in enumerate(SIZES):
        name = f"{index} it.{'png' if index % 2 else 'jpg'}"
        shape = (height, width) if index == 3 else (height, width, 3)
        smooth = cv2.resize(random.integers(0, 256, shape, np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
        assert cv2.imwrite(str(folder / name), smooth)
        names.append(name)
    labels = [3, 0, -2, 2**24 + 1, 7, 1, 5]
    (folder / "list").write_text("".join(f"{n} {label}\n" for n, label in zip(names, labels, strict=True)))
    (folder / "same").write_text(f"{folder}/{names[0]} 1\n{folder}/{names[1]} 2")
    (folder / "mean").write_bytes(blobs.mean_bytes((random.random((3, 20, 23)) * 255).astype(np.float32)))
    return folder


def image_layer(folder: Path, settings: str, transform: str = "", source: str = "list") -> str:
    root = f'root_folder: "{folder}/"' if source == "list" else ""
    return f"""layer {{ name: "it" type: "ImageData" top: "data" top: "label" transform_param {{ {transform} }}
        image_data_param {{ source: "{folder}/{source}" {root} {settings} }} }}"""


IMAGES = {
    "resized": ("batch_size: 3 new_height: 16 new_width: 21", ""),
    "made larger": ("batch_size: 2 new_height: 64 new_width: 64", ""),
    "in gray": ("batch_size: 4 new_height: 16 new_width: 21 is_color: false", "mean_value: 100"),
    "cropped to one size": ("batch_size: 5", "crop_size: 16 mirror: true scale: 0.5"),
    "cropped in gray": ("batch_size: 3 is_color: false", "crop_size: 18"),
    "one by one": ("batch_size: 1", "mirror: true"),
    "shuffled": ("batch_size: 3 shuffle: true new_height: 12 new_width: 12", ""),
    "shuffled, cropped": ("batch_size: 4 shuffle: true", "crop_size: 15 mirror: true mean_value: 1 mean_value: 2 "
                          "mean_value: 3"),
    "skipped": ("batch_size: 2 rand_skip: 6 new_height: 9 new_width: 11", "mirror: true"),
    "skipped, shuffled": ("batch_size: 2 rand_skip: 5 shuffle: true new_height: 20 new_width: 23", "crop_size: 12 "
                          "mean_file: '{folder}/mean'"),
}  # fmt: skip


@pytest.mark.parametrize("phase", [torchcaffe.TRAIN, torchcaffe.TEST], ids=["train", "test"])
@pytest.mark.parametrize(("settings", "transform"), IMAGES.values(), ids=IMAGES.keys())
def test_the_images_of_a_list_are_caffes(real_caffe, tmp_path, figures, images, settings, transform, phase) -> None:
    """Over three rounds and more, equal to the bit: order, pixels, crops, mirrors, labels."""
    text = image_layer(images, settings, transform.format(folder=images))
    equal_batches(figures, "ImageData", *batches_of_both(real_caffe, tmp_path, text, phase, count=12))


def test_a_mean_file_fits_images_of_one_size_and_fillers_draw_after_the_layer(
    real_caffe, tmp_path, figures, images
) -> None:
    text = image_layer(images, "batch_size: 2 shuffle: true", f'mirror: true mean_file: "{images}/mean"', "same")
    text += 'layer { name: "n" type: "DummyData" top: "n" dummy_data_param { shape { dim: 9 } data_filler { type: '
    equal_batches(
        figures,
        "ImageData",
        *batches_of_both(real_caffe, tmp_path, text + '"gaussian" } } }', torchcaffe.TRAIN, count=3),
    )


def test_layers_behind_take_on_the_size_of_each_image(real_caffe, tmp_path, images) -> None:
    text = (
        image_layer(images, "batch_size: 1")
        + """
        layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2
          kernel_size: 3 weight_filler { type: "constant" value: 0.001 } } }
        layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
        layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE kernel_size: 4 } }
        layer { name: "flat" type: "Flatten" bottom: "pool" top: "flat" }"""
    )
    found, right = batches_of_both(real_caffe, tmp_path, text, torchcaffe.TRAIN, count=8)
    assert len({right[f"{i} flat"].shape for i in range(8)}) > 3
    for name in right:
        assert found[name].shape == right[name].shape
        np.testing.assert_allclose(found[name], right[name], rtol=1e-5)


def test_a_shuffled_training_logs_what_caffe_logs_and_resumes_exactly(caffe, tmp_path, images) -> None:
    labels = re.sub(r" -?\d+$", lambda match: f" {abs(int(match[0])) % 9}", (images / "list").read_text(), flags=re.M)
    (tmp_path / "list").write_text(labels)
    settings = f'source: "list" root_folder: "{images}/" batch_size: 3 shuffle: true rand_skip: 4'
    text = f"""layer {{ name: "it" type: "ImageData" top: "x" top: "label" image_data_param {{ {settings} }}
        transform_param {{ crop_size: 12 mirror: true scale: 0.004 }} }}"""
    training_is_caffes_and_resumes_exactly(caffe, tmp_path, text, "x")
