"""ImageData, HDF5Data and HDF5Output against real Caffe: which images and rows, in which order, and what is refused."""

import re
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

import torchcaffe
from caffeformat import FormatError, blobs
from tests.helpers import engine_runs
from tests.helpers.both_engines import Figures
from tests.helpers.real_caffe import Arrays, CaffeAborted, RealCaffe
from torchcaffe.common import context, hdf5_file
from torchcaffe.random.c_rand import CRand

SIZES = [(20, 23), (20, 23), (31, 18), (25, 25), (20, 30), (19, 40), (50, 22)]  # height, width

# C's rand() goes on from request to request: each begins as a new process would.
BATCHES = """
import ctypes
ctypes.CDLL(None).srand(1)
caffe.set_mode_cpu()
caffe.set_random_seed(given["seed"])
net = caffe.Net(given["net"], given["phase"])
for i in range(given["count"]):
    for name, array in net.forward().items():
        out[f"{i} {name}"] = array.copy()
"""


def both(real: RealCaffe, folder: Path, text: str, phase: int, count: int, seed: int = 3) -> tuple[Arrays, Arrays]:
    """The outputs of `count` forward passes, ours and Caffe's: `0 data`, ..."""
    path = folder / "net.prototxt"
    path.write_text(text)
    torchcaffe.set_mode_cpu()
    torchcaffe.set_random_seed(seed)
    as_in_a_new_process()
    net = torchcaffe.Net(path, phase)
    found = {f"{i} {name}": array.copy() for i in range(count) for name, array in net.forward().items()}
    return found, real.run(BATCHES, net=str(path), phase=phase, count=count, seed=seed)


def as_in_a_new_process() -> None:
    """C's rand() begins anew, and so does what is said once in a run."""
    context.current().c_rand = CRand()
    hdf5_file._tell_class.cache_clear()


def equal(figures: Figures, what: str, found: Arrays, right: Arrays) -> None:
    assert found.keys() == right.keys()
    for name in right:
        assert found[name].dtype == right[name].dtype, name
        figures.note_arrays(f"{what}: batches", found[name], right[name], 0)


# ---- ImageData -----------------------------------------------------------------------------------------------------


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
    equal(figures, "ImageData", *both(real_caffe, tmp_path, text, phase, count=12))


def test_a_mean_file_fits_images_of_one_size_and_fillers_draw_after_the_layer(
    real_caffe, tmp_path, figures, images
) -> None:
    text = image_layer(images, "batch_size: 2 shuffle: true", f'mirror: true mean_file: "{images}/mean"', "same")
    text += 'layer { name: "n" type: "DummyData" top: "n" dummy_data_param { shape { dim: 9 } data_filler { type: '
    equal(figures, "ImageData", *both(real_caffe, tmp_path, text + '"gaussian" } } }', torchcaffe.TRAIN, count=3))


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
    found, right = both(real_caffe, tmp_path, text, torchcaffe.TRAIN, count=8)
    assert len({right[f"{i} flat"].shape for i in range(8)}) > 3
    for name in right:
        assert found[name].shape == right[name].shape
        np.testing.assert_allclose(found[name], right[name], rtol=1e-5)


IMAGE_REFUSALS = {
    "no list": ("", "source: 'nowhere'", "nowhere: cannot be read: No such file", True),
    "an empty list": ("", "", "list: File is empty", True),
    "a line without a label": ("a.jpg", "", "list:1: `a.jpg`; a line is `path label`", False),
    "a label that is none": ("0.jpg 1\nb.jpg x", "", "list:2: `b.jpg x`", False),
    "a missing image": ("none.jpg 1", "", r"Could not load none.jpg \(.*list:1\)", True),
    "a height alone": ("a.jpg 1", "new_height: 3", "given together; found new_height: 3, new_width: 0", True),
    "no batch": ("a.jpg 1", "batch_size: 0", "batch_size: 1 or more", True),
}


@pytest.mark.parametrize(("lines", "more", "message", "also"), IMAGE_REFUSALS.values(), ids=IMAGE_REFUSALS.keys())
def test_a_list_that_is_no_good_is_refused(real_caffe, tmp_path, lines, more, message, also) -> None:
    (tmp_path / "list").write_text(lines)
    source = more if "source" in more else f'source: "{tmp_path}/list" {more}'
    text = f'layer {{ name: "it" type: "ImageData" top: "a" top: "b" image_data_param {{ {source} }} }}'
    refused(real_caffe if also else None, tmp_path, text, message)


def refused(real: RealCaffe | None, folder: Path, text: str, message: str) -> None:
    path = folder / "net.prototxt"
    path.write_text(text)
    with pytest.raises(FormatError, match=f"(?s)net.prototxt:1: .*it.*{message}"):
        torchcaffe.Net(path, torchcaffe.TRAIN).forward()
    if real:
        with pytest.raises(CaffeAborted):
            real.run('caffe.Net(given["path"], 0).forward()', path=str(path))


def test_images_of_two_sizes_in_a_batch_are_refused(real_caffe, tmp_path, images) -> None:
    text = image_layer(images, "batch_size: 3").replace("\n", " ")
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    with pytest.raises(FormatError, match="images of 3x20x23 and 3x31x18 in one batch; give new_height and new_width"):
        torchcaffe.Net(path, torchcaffe.TRAIN).forward()
    with pytest.raises(CaffeAborted):
        real_caffe.run('caffe.Net(given["path"], 0).forward()', path=str(path))


# ---- HDF5Data ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three HDF5 files of 5, 1 and 8 rows, `one` (a list of the first) and `all`."""
    folder = tmp_path_factory.mktemp("hdf5")
    random = np.random.default_rng(1)
    for index, rows in enumerate((5, 1, 8)):
        with h5py.File(folder / f"{index}.h5", "w") as file:
            file["x"] = random.standard_normal((rows, 2, 3, 4)) * (1 if index else 1e3)
            file["label"] = random.integers(0, 9, rows)
            file["vectors"] = random.standard_normal((rows, 7)).astype(np.float32)
    (folder / "one").write_text(f"{folder}/0.h5\n")
    (folder / "all").write_text("".join(f"{folder}/{index}.h5\n" for index in range(3)))
    return folder


def hdf5_layer(source: str, settings: str = "batch_size: 4", tops: str = "x label vectors") -> str:
    names = " ".join(f'top: "{top}"' for top in tops.split())
    return f"""layer {{ name: "it" type: "HDF5Data" {names} hdf5_data_param {{ source: "{source}" {settings} }} }}"""


@pytest.mark.parametrize("batch", [1, 4, 14, 40])
@pytest.mark.parametrize("shuffle", ["false", "true"], ids=["in order", "shuffled"])
@pytest.mark.parametrize("source", ["one", "all"])
def test_the_rows_of_hdf5_files_are_caffes(real_caffe, tmp_path, figures, files, source, shuffle, batch) -> None:
    text = hdf5_layer(f"{files}/{source}", f"batch_size: {batch} shuffle: {shuffle}")
    equal(figures, "HDF5Data", *both(real_caffe, tmp_path, text, torchcaffe.TRAIN, count=30))


def test_two_layers_shuffle_by_one_sequence(real_caffe, tmp_path, figures, files) -> None:
    text = hdf5_layer(f"{files}/all", "batch_size: 3 shuffle: true")
    text += text.replace('"it"', '"other"').replace('top: "', 'top: "o')
    for index in range(3):
        with h5py.File(files / f"{index}.h5", "r+") as file:
            for name in ("x", "label", "vectors"):
                if f"o{name}" not in file:
                    file[f"o{name}"] = file[name][()]
    equal(figures, "HDF5Data", *both(real_caffe, tmp_path, text, torchcaffe.TRAIN, count=20))


HDF5_REFUSALS = {
    "no list": ("{folder}/nowhere", "x", "Failed to open source file: .*nowhere: No such file"),
    "an empty list": ("{folder}/empty", "x", "Must have at least 1 HDF5 filename listed in .*empty"),
    "no file": ("{folder}/missing", "x", "none.h5: cannot be read: no such file"),
    "no HDF5 file": ("{folder}/itself", "x", "no HDF5 file of data, or damaged"),
    "no such data set": ("{folder}/all", "y", "0.h5: Failed to find HDF5 dataset y; there are label, "),
    "other numbers of rows": ("{folder}/uneven", "x label", "data set label has 3 rows, but x 2"),
}


@pytest.mark.parametrize(("source", "tops", "message"), HDF5_REFUSALS.values(), ids=HDF5_REFUSALS.keys())
def test_an_hdf5_file_that_is_no_good_is_refused(real_caffe, tmp_path, files, source, tops, message) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "missing").write_text("none.h5")
    (tmp_path / "itself").write_text(f"{tmp_path}/itself")
    (tmp_path / "all").write_text(f"{files}/0.h5")
    (tmp_path / "uneven").write_text(f"{tmp_path}/uneven.h5")
    with h5py.File(tmp_path / "uneven.h5", "w") as file:
        file["x"], file["label"] = np.zeros((2, 1)), np.zeros(3)
    path = tmp_path / "net.prototxt"
    path.write_text(hdf5_layer(source.format(folder=tmp_path), tops=tops))
    with pytest.raises(FormatError, match=message):
        torchcaffe.Net(path, torchcaffe.TRAIN)
    with pytest.raises(CaffeAborted):
        real_caffe.run('caffe.Net(given["path"], 0)', path=str(path))


def test_rows_of_another_shape_are_refused(tmp_path, files) -> None:
    """BVLC Caffe copies what lies beyond."""
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["label"] = np.zeros((3, 2))
    (tmp_path / "list").write_text(f"{files}/0.h5 {tmp_path}/other.h5")
    path = tmp_path / "net.prototxt"
    path.write_text(hdf5_layer(f"{tmp_path}/list", tops="label"))
    net = torchcaffe.Net(path, torchcaffe.TRAIN)
    with pytest.raises(
        FormatError, match=r"other.h5: data set label has rows of \(2,\), but those of the first .* \(\)"
    ):
        net.forward(), net.forward()


# ---- HDF5Output, and whole runs ------------------------------------------------------------------------------------

OUTPUT = """
layer { name: "ip" type: "InnerProduct" bottom: "vectors" top: "ip" inner_product_param { num_output: 6
  weight_filler { type: "xavier" } } }
layer { name: "out" type: "HDF5Output" bottom: "ip" bottom: "label" hdf5_output_param { file_name: "out.h5" } }
"""


def test_hdf5_output_writes_what_caffe_writes(real_caffe, caffe: Path, tmp_path: Path, files: Path) -> None:
    logs = {}
    for engine in ("real", "ours"):
        folder = tmp_path / engine
        folder.mkdir()
        text = hdf5_layer(f"{files}/all", "batch_size: 9", "vectors label") + OUTPUT
        (folder / "net.prototxt").write_text(text)
        if engine == "real":
            weights = tmp_path / "weights.caffemodel"
            real_caffe.run('caffe.Net(given["net"], 1).save(given["to"])', net=real_caffe.net_file(
                text.replace("HDF5Output", "Silence")), to=str(weights))  # fmt: skip
        as_in_a_new_process()
        arguments = ("test", "--model=net.prototxt", "--weights=../weights.caffemodel", "--iterations=1")
        logs[engine] = (
            engine_runs.real(caffe, folder, *arguments) if engine == "real" else engine_runs.ours(folder, *arguments)
        )
        assert logs[engine].code == 0, logs[engine].log[-2000:]
    right, found = (h5py.File(tmp_path / engine / "out.h5") for engine in ("real", "ours"))
    assert list(found) == list(right) == ["data", "label"]
    for name in right:
        assert (found[name].shape, found[name].dtype) == (right[name].shape, right[name].dtype)
        np.testing.assert_allclose(found[name][()], right[name][()], rtol=1e-5, atol=1e-6)
    engine_runs.same(logs["ours"], logs["real"])


def test_a_second_batch_is_refused_as_by_caffe(caffe: Path, tmp_path: Path, files: Path) -> None:
    (tmp_path / "net.prototxt").write_text(hdf5_layer(f"{files}/all", "batch_size: 9", "vectors label") + OUTPUT)
    (tmp_path / "none.caffemodel").write_bytes(b"")
    arguments = ("test", "--model=net.prototxt", "--weights=none.caffemodel", "--iterations=2")
    assert engine_runs.real(caffe, tmp_path, *arguments).code not in (0, 1)
    (tmp_path / "out.h5").unlink()
    net = torchcaffe.Net(tmp_path / "net.prototxt", torchcaffe.TEST)
    with engine_runs.contextlib.chdir(tmp_path):
        net.forward()
        with pytest.raises(FormatError, match=r"layer 'out': out.h5 holds a batch already.* run one iteration"):
            net.forward()
    assert h5py.File(tmp_path / "out.h5")["data"].shape == (9, 6, 1, 1)


SOLVER = """
net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 max_iter: 12 display: 1 snapshot: 6
snapshot_prefix: "out" random_seed: 5 solver_mode: CPU
"""
LEARN = """
layer { name: "score" type: "InnerProduct" bottom: "%s" top: "score" inner_product_param { num_output: 9
  weight_filler { type: "gaussian" std: 0.001 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
"""


@pytest.mark.parametrize("kind", ["ImageData", "HDF5Data"])
def test_a_shuffled_training_logs_what_caffe_logs_and_resumes_exactly(caffe, tmp_path, images, files, kind) -> None:
    if kind == "ImageData":
        labels = re.sub(
            r" -?\d+$", lambda match: f" {abs(int(match[0])) % 9}", (images / "list").read_text(), flags=re.M
        )
        (tmp_path / "list").write_text(labels)
        settings = f'source: "list" root_folder: "{images}/" batch_size: 3 shuffle: true rand_skip: 4'
        text = f"""layer {{ name: "it" type: "ImageData" top: "x" top: "label" image_data_param {{ {settings} }}
            transform_param {{ crop_size: 12 mirror: true scale: 0.004 }} }}"""
    else:
        text = hdf5_layer(f"{files}/all", "batch_size: 3 shuffle: true", "vectors label")
    (tmp_path / "net.prototxt").write_text(text + LEARN % ("x" if kind == "ImageData" else "vectors"))
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    as_in_a_new_process()
    arguments = ("train", "--solver=solver.prototxt")
    found, right = engine_runs.ours(tmp_path, *arguments), engine_runs.real(caffe, tmp_path, *arguments)
    assert (found.code, right.code) == (0, 0), found.log[-2000:] + right.log[-2000:]
    engine_runs.same(found, right)
    straight = engine_runs.ours(tmp_path, *arguments).lines("loss = ")  # C's rand() is further on: another order
    weights = (tmp_path / "out_iter_12.caffemodel").read_bytes()
    resumed = engine_runs.ours(tmp_path, *arguments, "--snapshot=out_iter_6.solverstate")
    assert resumed.lines("loss = ")[-7:] == straight[-7:]
    assert (tmp_path / "out_iter_12.caffemodel").read_bytes() == weights
