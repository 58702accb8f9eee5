"""WindowData against real Caffe, to the bit: which windows, how they are cut out and warped; and whole runs."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import torchcaffe
from caffeformat import FormatError, blobs
from tests.helpers.data_batches import batches_of_both, equal_batches, training_is_caffes_and_resumes_exactly

SIZES = [(40, 50), (33, 60), (25, 25)]  # height, width


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images, `windows`, a file of 40 windows in each, and `mean`."""
    folder = tmp_path_factory.mktemp("windows")
    random = np.random.default_rng(2)
    text = ""
    for index, (height, width) in enumerate(SIZES):
        smooth = cv2.resize(random.integers(0, 256, (9, 9, 3), np.uint8), (width, height))
        assert cv2.imwrite(str(folder / f"{index}.{'png' if index else 'jpg'}"), smooth)
        text += f"# {index}\n{index}.{'png' if index else 'jpg'}\n3\n{height}\n{width}\n40\n"
        for _ in range(40):
            x1, y1 = random.integers(0, width - 1), random.integers(0, height - 1)
            x2, y2 = random.integers(x1, width), random.integers(y1, height)
            text += f"{random.integers(1, 9)} {random.random():.3f} {x1} {y1} {x2} {y2}\n"
    (folder / "windows").write_text(text)
    (folder / "mean").write_bytes(blobs.mean_bytes((random.random((3, 26, 27)) * 255).astype(np.float32)))
    return folder


def window_layer(folder: Path, settings: str, transform: str, source: str = "windows") -> str:
    return f"""layer {{ name: "it" type: "WindowData" top: "data" top: "label" transform_param {{ {transform} }}
        window_data_param {{ source: "{folder}/{source}" root_folder: "{folder}/" {settings} }} }}"""


WINDOWS = {
    "warped": ("batch_size: 9", "crop_size: 17"),
    "mirrored": ("batch_size: 9 fg_fraction: 0.5", "crop_size: 17 mirror: true mean_value: 104"),
    "with context": ("batch_size: 16 context_pad: 4", "crop_size: 24 mirror: true mean_file: '{folder}/mean'"),
    "with much context": ("batch_size: 16 context_pad: 8 scale: 0.3", "crop_size: 19 mirror: true"),
    "square": ("batch_size: 16 crop_mode: 'square' fg_threshold: 0.7 bg_threshold: 0.3", "crop_size: 13 mirror: true "
               "mean_value: 1 mean_value: 2.5 mean_value: 3"),
    "square, with context, cached": ("batch_size: 16 crop_mode: 'square' context_pad: 2 cache_images: true",
                                     "crop_size: 20 mean_file: '{folder}/mean'"),
}  # fmt: skip


@pytest.mark.parametrize("phase", [torchcaffe.TRAIN, torchcaffe.TEST], ids=["train", "test"])
@pytest.mark.parametrize(("settings", "transform"), WINDOWS.values(), ids=WINDOWS.keys())
def test_the_windows_are_caffes(real_caffe, tmp_path, figures, folder, settings, transform, phase) -> None:
    text = window_layer(folder, settings, transform.format(folder=folder))
    text += """layer { name: "n" type: "DummyData" top: "n" dummy_data_param { shape { dim: 9 } data_filler { type:
        "gaussian" } } }"""
    equal_batches(figures, "WindowData", *batches_of_both(real_caffe, tmp_path, text, phase, count=8))


def test_a_training_logs_what_caffe_logs_and_resumes_exactly(caffe, tmp_path, folder) -> None:
    transform = f'crop_size: 12 mirror: true mean_file: "{folder}/mean"'
    text = window_layer(folder, "batch_size: 8 context_pad: 2 scale: 0.01", transform)
    training_is_caffes_and_resumes_exactly(caffe, tmp_path, text, "data")


REFUSALS = {
    "no crop": ("batch_size: 2", "", "windows", "transform_param needs crop_size"),
    "a crop in its old place": ("batch_size: 2 crop_size: 9", "", "windows", "crop_size belongs into transform_param"),
    "context that is all": ("batch_size: 2 context_pad: 5", "crop_size: 10", "windows", "context_pad: 5 leaves no"),
    "another mode": ("batch_size: 2 crop_mode: 'sqare'", "crop_size: 9", "windows", 'it is "warp" or "square"'),
    "no file": ("batch_size: 2", "crop_size: 9", "nowhere", "Failed to open window file .*/nowhere: No such file"),
    "no foreground": ("batch_size: 2 fg_threshold: 2", "crop_size: 9", "windows", "no foreground windows"),
    "a mean that is too small": ("batch_size: 2", "crop_size: 27 mean_file: '{folder}/mean'", "windows",
                                 "a mean of 3x26x27 has no middle of 3x27x27"),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "transform", "source", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_settings_that_caffe_refuses_or_misreads_are_refused(
    tmp_path, folder, settings, transform, source, message
) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(window_layer(folder, settings, transform.format(folder=folder), source))
    with pytest.raises(FormatError, match=rf"net\.prototxt:1: layer it: .*{message}"):
        torchcaffe.Net(path, torchcaffe.TEST)
