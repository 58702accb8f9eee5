"""What is loaded before a net is exported; the files as a user calls it, and damaged ones."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import net_of
from tests.helpers.damaged_files import SNAPSHOT_PIECES, damaged, quick
from tests.helpers.engine_runs import make_data
from tests.helpers.exported import LENET, MODULES, export, layer, weighted
from torchcaffe.export.exporter import Options, load, quiet

conv2 = "convolution_param { num_output: 2 kernel_size: 3 }"


def test_layers_that_share_weights_need_them_once(tmp_path: Path) -> None:
    conv = layer("Convolution", "a", settings='param { name: "w" } param { name: "v" } ' + conv2)
    both = net_of(conv + conv.replace('"a"', '"b"'), x=(2, 3, 4, 4))
    with quiet():
        files = weighted(tmp_path, both, weights_of=net_of(conv, x=(2, 3, 4, 4)))
        loaded = load(Options(*files, "onnx", tmp_path / "out"), None)
    first, second = (layer.blobs[0].data for layer in loaded.net.layers if layer.blobs)
    assert np.isfinite(first).all() and np.array_equal(first, second)


@pytest.mark.parametrize("to", ["onnx", "pytorch", "safetensors"])
def test_weights_that_two_layers_of_one_name_would_need_are_an_error(tmp_path: Path, to: str) -> None:
    body = layer("Convolution", "a", settings=conv2) + layer("Convolution", "b", "a", conv2).replace(
        '"b" type', '"a" type'
    )
    with pytest.raises(FormatError, match=r"no weights, or only nan, for layer 'a' \(Convolution\); it is told by the"):
        export(tmp_path, to, net_of(body, x=(2, 2, 6, 6)))


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("to", ["onnx", "pytorch"])
def test_real_inputs_are_checked_where_the_data_are(tmp_path: Path, to: str, batch_size: int) -> None:
    make_data(tmp_path)
    text = (
        'layer { name: "data" type: "Data" top: "data" transform_param { crop_size: 20 } '
        f'data_param {{ source: "{tmp_path}/val" batch_size: {batch_size} backend: LMDB }} }}'
    )
    text += layer("Convolution", "conv", "data", conv2)
    assert "on random inputs and real inputs" in export(tmp_path, to, text)[1]


@pytest.mark.parametrize("to", ["onnx", "pytorch", "safetensors"])
def test_a_caffemodel_in_hdf5_gives_what_a_binary_one_gives(tmp_path: Path, to: str) -> None:
    with quiet():
        model, binary = weighted(tmp_path, LENET.replace('"ip/2"', '"ip2"'))
        net = caffe.Net(model, binary, caffe.TEST)
        net.save_hdf5(tmp_path / "net.caffemodel.h5")
        said = []
        for file in (binary, tmp_path / "net.caffemodel.h5"):
            options = Options(model, file, to, tmp_path / file.suffix[1:], pycaffe="none")
            said.append(import_module(f"torchcaffe.export.{MODULES[to]}").export(options))
    shown = [
        [line.replace(str(tmp_path / end), "") for line in lines]
        for lines, end in zip(said, ("caffemodel", "h5"), strict=True)
    ]
    assert shown[0] == shown[1]


@pytest.mark.parametrize("to", ["onnx", "pytorch", "safetensors"])
def test_layers_of_the_phase_train_alone_are_told(tmp_path: Path, to: str) -> None:
    at = LENET.index('layer { name: "ip/2"')
    dropout = layer("Dropout", "pool1", "pool1", "include { phase: TRAIN }").replace('name: "pool1"', 'name: "drop"')
    line = "without the layers that only the phase TRAIN has: drop (Dropout)"
    assert line in export(tmp_path, to, LENET[:at] + dropout + LENET[at:])
    assert to != "pytorch" or f"\n{line}\n" in (tmp_path / "out" / "net.py").read_text()


@pytest.mark.parametrize("to", ["onnx", "pytorch", "safetensors"])
def test_weights_that_are_not_finite_are_told(tmp_path: Path, to: str) -> None:
    with quiet():
        model, caffemodel = weighted(tmp_path, LENET)
        net = caffe.Net(model, caffemodel, caffe.TEST)
        net.params["ip/2"][1].data[0] = np.nan
        net.save(caffemodel)
        options = Options(model, caffemodel, to, tmp_path / "out", pycaffe="none")
        lines = import_module(f"torchcaffe.export.{MODULES[to]}").export(options)
    assert f"{caffemodel}: values that are not finite, in ip/2/1; train the net again" in lines
    assert any(line.startswith("ip/2, prob: compared where finite;") for line in lines) == (to != "safetensors")
    written = tmp_path / "out" / "net.py" if to == "pytorch" else tmp_path / "out"
    assert b"not_finite" in written.read_bytes()


PIECES = [b"layer { }", b'type: "Python"', b"dim: 0", b"dim: -1", b"kernel_size: 99999999999", b"\xff", b'name: ""']


@pytest.mark.slow
@quick(75)
@given(st.data())
def test_a_damaged_file_gives_one_error_and_nothing_is_written(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    model, caffemodel = weighted(folder, LENET.replace('"ip/2"', '"ip2"'))
    hdf5 = folder / "net.caffemodel.h5"
    with quiet():
        caffe.Net(model, caffemodel, caffe.TEST).save_hdf5(hdf5)
    which, pieces = data.draw(
        st.sampled_from([(model, PIECES), (caffemodel, SNAPSHOT_PIECES), (hdf5, [b"\xff", b"\0" * 8])])
    )
    which.write_bytes(data.draw(damaged([which.read_bytes()], pieces)))
    to = data.draw(st.sampled_from(list(MODULES)))
    before = set(folder.iterdir())
    with quiet(), np.errstate(all="ignore"):
        options = Options(model, hdf5 if which is hdf5 else caffemodel, to, folder / "out", pycaffe="none")
        try:
            import_module(f"torchcaffe.export.{MODULES[to]}").export(options)
        except FormatError as error:
            assert str(error) and set(folder.iterdir()) == before
