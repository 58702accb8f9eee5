"""Hidden states of LSTM and RNN, which Caffe keeps from pass to pass, as inputs and outputs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.both_engines import distance, net_of
from tests.helpers.exported import EXPOSED, export, recurrent, weighted
from torchcaffe.export import onnx_file
from torchcaffe.export.exporter import Options, load, quiet

T, N = 4, 3
PASSES = """
net = caffe.Net(given["path"], given["weights"], 1)
for i in range(3):
    net.blobs["x"].data[...], net.blobs["cont"].data[...] = given["x%d" % i], given["cont%d" % i]
    out[str(i)] = net.forward()["y"].copy()
"""


@pytest.mark.parametrize("type_", ["LSTM", "RNN"])
@pytest.mark.parametrize("to", ["onnx", "pytorch"])
def test_passes_that_hand_the_states_on_are_caffes(real_caffe, tmp_path: Path, type_: str, to: str) -> None:
    text = net_of(recurrent(type_, "y", "x cont"), x=(T, N, 2), cont=(T, N))
    export(tmp_path, to, text)
    random = np.random.default_rng(3)
    passes = [
        (random.standard_normal((T, N, 2)).astype(np.float32), random.integers(0, 2, (T, N)).astype(np.float32))
        for _ in range(3)
    ]
    given = {f"x{i}": x for i, (x, _) in enumerate(passes)} | {f"cont{i}": cont for i, (_, cont) in enumerate(passes)}
    files = {"path": str(tmp_path / "net.prototxt"), "weights": str(tmp_path / "net.caffemodel")}
    right = real_caffe.run(PASSES, **files, **given)
    states = [np.zeros((1, N, 5), np.float32)] * (2 if type_ == "LSTM" else 1)
    for index, (x, cont) in enumerate(passes):
        y, *states = computed(tmp_path / "out", to, [x, cont, *states])
        assert distance(y, right[str(index)]) < 1e-5


def computed(exported: Path, to: str, arrays: list[np.ndarray]) -> list[np.ndarray]:
    if to == "onnx":
        import onnx

        model = onnx.load(exported)
        names = [value.name for value in model.graph.input]
        return list(onnx_file.run(model, dict(zip(names, arrays, strict=True))).values())
    names = {"__file__": str(exported / "net.py"), "__name__": "exported_net"}
    exec((exported / "net.py").read_text(), names)
    with torch.no_grad():
        return [y.numpy() for y in names["Net"]()(*map(torch.from_numpy, arrays))]


def test_the_file_says_how_to_hand_them_on(tmp_path: Path) -> None:
    said = export(tmp_path, "pytorch", net_of(recurrent("RNN", "y", "x cont"), x=(T, N, 2), cont=(T, N)))
    assert said[-1] == "hidden states are inputs: of the first pass zeros, then y_h_0 the last y_h_T"
    assert (
        "hidden_states: of the first pass zeros, then y_h_0 the last y_h_T\n" in (tmp_path / "out/net.py").read_text()
    )


def test_exposed_states_stay_and_new_names_are_free(tmp_path: Path) -> None:
    body = recurrent("RNN", "y y_h_T", "x cont y_h_0", EXPOSED) + recurrent("RNN", "z", "y cont").replace(
        'name: "z"', 'name: "y"'
    )
    text = net_of(body, x=(T, N, 2), cont=(T, N), y_h_0=(1, N, 5)).replace('name: "y" type: "RNN" bottom: "y"',
        'name: "y_" type: "RNN" bottom: "y"')  # fmt: skip
    with quiet():
        loaded = load(Options(*weighted(tmp_path, text), "onnx", tmp_path / "out"), {"RNN"})
    assert loaded.inference.states == {"y__h_0": "y__h_T"}
    assert loaded.inference.outputs == ["y_h_T", "z", "y__h_T"]


def test_safetensors_holds_the_parameters_in_caffes_order(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    export(tmp_path, "safetensors", net_of(recurrent("LSTM", "y", "x cont"), x=(T, N, 2), cont=(T, N)))
    shapes = {name: array.shape for name, array in load_file(tmp_path / "out").items()}
    assert shapes == {"y/0": (20, 2), "y/1": (20,), "y/2": (20, 5)}
