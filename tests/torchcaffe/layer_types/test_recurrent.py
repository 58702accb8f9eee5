"""LSTM and RNN against real Caffe: outputs, gradients, hidden states from pass to pass, and whole runs."""

import numpy as np
import pytest

import torchcaffe
from caffeformat import FormatError
from tests.helpers import engine_runs
from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_checks import initial_parameters_are_caffes
from tests.helpers.layer_text import FILLERS, layer
from tests.helpers.refusals import refused

TYPES = pytest.mark.parametrize("type_", ["LSTM", "RNN"])
HIDDEN = {"LSTM": {"h0": "hT", "c0": "cT"}, "RNN": {"h0": "hT"}}
T, N, D = 4, 3, 5  # timesteps, streams, outputs
CONT = [[0, 0, 0], [1, 1, 0], [1, 0.5, 1], [0, 1, 1]]


def recurrent(type_: str, more: str = "", bottoms: str = "x cont", tops: str = "y", outputs: int = D) -> str:
    return layer(type_, f"recurrent_param {{ num_output: {outputs} {FILLERS} {more} }}", bottoms, tops)


@TYPES
@pytest.mark.parametrize("static", ["", "static"], ids=["", "static"])
@pytest.mark.parametrize("hidden", [False, True], ids=["", "expose_hidden"])
@pytest.mark.parametrize("steps", [1, T], ids=["1 step", f"{T} steps"])
def test_outputs_and_gradients(real_caffe, tmp_path, figures, type_, static, hidden, steps) -> None:
    names = HIDDEN[type_] if hidden else {}
    inputs = {"x": (steps, N, 2, 3), "cont": (steps, N)} | ({"static": (N, 7)} if static else {})
    inputs |= dict.fromkeys(names, (1, N, D))
    text = net_of(
        recurrent(type_, f"expose_hidden: {str(hidden).lower()}", " ".join(inputs), " ".join(["y", *names.values()])),
        **inputs,
    )
    Both(real_caffe, text, tmp_path, cont=np.array(CONT)[:steps]).agree(figures, type_)


PASSES = """
caffe.set_random_seed(4)
net = caffe.Net(given["path"], 1)
for i, n in enumerate(given["streams"]):
    net.blobs["x"].reshape(4, n, 6)
    net.blobs["cont"].reshape(4, n)
    net.reshape()
    net.blobs["x"].data[...] = given[f"x{i}"]
    net.blobs["cont"].data[...] = 1
    out[str(i)] = net.forward()["y"].copy()
"""


@TYPES
def test_a_pass_begins_where_the_last_one_ended_also_with_other_streams(real_caffe, tmp_path, figures, type_) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(recurrent(type_), x=(T, N, 6), cont=(T, N)))
    streams = [3, 3, 2, 3, 5, 5]
    random = np.random.default_rng(1)
    given = {f"x{i}": random.standard_normal((T, n, 6)).astype(np.float32) for i, n in enumerate(streams)}
    right = real_caffe.run(PASSES, path=str(path), streams=streams, **given)
    torchcaffe.set_random_seed(4)
    net = torchcaffe.Net(path, torchcaffe.TEST)
    for index, n in enumerate(streams):
        net.blobs["x"].reshape(T, n, 6)
        net.blobs["cont"].reshape(T, n)
        net.reshape()
        net.blobs["x"].data[...] = given[f"x{index}"]
        net.blobs["cont"].data[...] = 1
        figures.note_arrays(f"{type_}: outputs", net.forward()["y"], right[str(index)], 1e-5)


@TYPES
@pytest.mark.parametrize("static", ["", "static"], ids=["", "static"])
def test_parameters_begin_as_caffes(real_caffe, tmp_path, type_, static) -> None:
    inputs = {"x": (T, N, 6), "cont": (T, N)} | ({"static": (N, 7)} if static else {})
    initial_parameters_are_caffes(real_caffe, tmp_path, net_of(recurrent(type_, bottoms=" ".join(inputs)), **inputs))


def sharing(type_: str, names: str) -> str:
    params = "".join(f'param {{ name: "{name}" }} ' if name != "-" else "param { } " for name in names.split())
    layers = [recurrent(type_, tops=top).replace('name: "it"', f'name: "{top}" {params}', 1) for top in ("y", "z")]
    return net_of("".join(layers), x=(T, N, 6), cont=(T, N))


@pytest.mark.parametrize(
    ("type_", "names", "wrong"), [("LSTM", "a b -", ""), ("LSTM", "a b c", "z"), ("RNN", "- - - d", "z")]
)
def test_two_layers_share_parameters_by_name(real_caffe, tmp_path, figures, type_, names, wrong) -> None:
    """In training, Caffe leaves the weights of a hidden state as they were but in the first timestep."""
    text = sharing(type_, names)
    Both(real_caffe, text, tmp_path, torchcaffe.TEST, cont=CONT).agree(figures, type_)
    if wrong:
        net = torchcaffe.Net(tmp_path / "net.prototxt", torchcaffe.TRAIN)
        with pytest.raises(FormatError, match=rf"layer '{wrong}' \({type_}\): shares the weights of its hidden state"):
            net.forward()
    else:
        Both(real_caffe, text, tmp_path, torchcaffe.TRAIN, cont=CONT).agree(figures, type_)


BOTH_PHASES = """
for phase in (0, 1):
    net = caffe.Net(given["path"], phase)
    random = np.random.RandomState(1)
    for blob in net.params["y"]:
        blob.data[...] = random.standard_normal(blob.shape)
    net.blobs["x"].data[...], net.blobs["cont"].data[...] = given["x"], 1
    out[str(phase)] = net.forward()["z"].copy()
"""


def test_caffe_trains_such_layers_as_another_net_than_it_tests(real_caffe, tmp_path) -> None:
    """With the same weights its TRAIN net has other outputs than its TEST net: that is why the layers are refused."""
    path = tmp_path / "net.prototxt"
    path.write_text(sharing("LSTM", "a b c"))
    x = np.random.default_rng(2).standard_normal((T, N, 6)).astype(np.float32)
    right = real_caffe.run(BOTH_PHASES, path=str(path), x=x)
    assert np.allclose(right["0"][0], right["1"][0], rtol=1e-5)  # the first timestep
    assert not np.allclose(right["0"][1:], right["1"][1:], rtol=0.1)


def test_one_layer_over_the_streams_of_both_trains_as_in_caffe(real_caffe, tmp_path, figures) -> None:
    """What the message of the refusal says to do instead."""
    text = net_of(
        layer("Concat", "concat_param { axis: 1 }", "x x2", "both", "join")
        + layer("Concat", "concat_param { axis: 1 }", "cont cont2", "conts", "join cont")
        + recurrent("LSTM", bottoms="both conts", tops="h")
        + layer("Slice", "slice_param { axis: 1 }", "h", "y z", "cut"),
        x=(T, N, 6), x2=(T, N, 6), cont=(T, N), cont2=(T, N),
    )  # fmt: skip
    Both(real_caffe, text, tmp_path, torchcaffe.TRAIN, cont=CONT, cont2=np.ones((T, N))).agree(figures, "LSTM")


CAPTIONS = """
layer {{ name: "data" type: "DummyData" top: "cont" top: "words" top: "target" top: "image" dummy_data_param {{
  shape {{ dim: 4 dim: 3 }} shape {{ dim: 4 dim: 3 }} shape {{ dim: 4 dim: 3 }} shape {{ dim: 3 dim: 7 }}
  data_filler {{ value: 1 }} data_filler {{ type: "uniform" max: 8.9 }} data_filler {{ type: "uniform" max: 8.9 }}
  data_filler {{ type: "gaussian" }} }} }}
layer {{ name: "embed" type: "Embed" bottom: "words" top: "x" embed_param {{ input_dim: 9 num_output: 6
  bias_term: false weight_filler {{ type: "uniform" min: -0.5 max: 0.5 }} }} }}
{}
layer {{ name: "scores" type: "InnerProduct" bottom: "y" top: "scores" inner_product_param {{ num_output: 9 axis: 2
  weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "target" top: "loss"
  softmax_param {{ axis: 2 }} }}
"""
DEBUG = "debug_info: true"
SOLVER = """net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 max_iter: 10 display: 1 random_seed: 3
solver_mode: CPU snapshot: 5 snapshot_prefix: "out" clip_gradients: 10 test_iter: 2 test_interval: 5 """


@pytest.mark.parametrize(("type_", "more"), [("RNN", ""), pytest.param("LSTM", DEBUG, marks=pytest.mark.slow)])
def test_ten_steps_of_a_captioning_net_log_what_caffe_logs(caffe, tmp_path, figures, type_, more) -> None:
    """The log has the unrolled net, and with debug_info the values of its blobs."""
    (tmp_path / "net.prototxt").write_text(CAPTIONS.format(recurrent(type_, more, "x cont image")))
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    arguments = ("train", "--solver=solver.prototxt")
    right = engine_runs.real(caffe, tmp_path, *arguments)
    weights = (tmp_path / "out_iter_10.caffemodel").rename(tmp_path / "caffes.caffemodel")
    found = engine_runs.ours(tmp_path, *arguments)
    assert (found.code, right.code) == (0, 0), found.log[-2000:] + right.log[-2000:]
    engine_runs.same(found, right, last_digits=2000 if more else 3, rtol=2e-5)
    net, caffes = (
        torchcaffe.Net(tmp_path / "net.prototxt", torchcaffe.TRAIN, weights=path)
        for path in (tmp_path / "out_iter_10.caffemodel", weights)
    )
    for name, blobs in net.params.items():
        for blob, theirs in zip(blobs, caffes.params[name], strict=True):
            figures.note_arrays(f"{type_}: weights after ten steps", blob.data, theirs.data, 1e-5)
    at_the_end = (tmp_path / "out_iter_10.caffemodel").read_bytes()
    resumed = engine_runs.ours(tmp_path, *arguments, "--snapshot=out_iter_5.solverstate")
    assert resumed.code == 0, resumed.log[-2000:]
    assert (tmp_path / "out_iter_10.caffemodel").read_bytes() == at_the_end


SHAPES = {"x": (T, N, 6), "cont": (T, N)}
REFUSALS = {
    "no outputs": (recurrent("LSTM", outputs=0), SHAPES, "num_output must be positive"),
    "x of one axis": (recurrent("RNN"), {"x": (4,), "cont": (4,)}, "'x' must have at least 2 axes"),
    "x of two axes": (recurrent("RNN"), {"x": (4, 3), "cont": (4, 3)}, "axis 2 of a bottom with 2 axes"),
    "other indicators": (recurrent("LSTM"), SHAPES | {"cont": (T, 2)}, r"'cont' is of \(4, 2\); \(4, 3\)"),
    "indicators of three axes": (recurrent("LSTM"), SHAPES | {"cont": (T, N, 1)}, r"'cont' is of \(4, 3, 1\)"),
    "no indicators": (recurrent("LSTM", bottoms="x"), {"x": (T, N, 6)}, "1 bottom blobs; the type takes 2 to 3"),
    "a static input of other streams": (
        recurrent("RNN", bottoms="x cont static"),
        SHAPES | {"static": (2, 7)},
        r"'static' is of \(2, 7\); its first size is to be 3",
    ),
    "hidden states that are not exposed": (recurrent("LSTM", tops="y h c"), SHAPES, "3 top blobs; the type takes 1"),
    "no hidden states": (recurrent("LSTM", "expose_hidden: true"), SHAPES, "2 bottom blobs; the type takes 4 to 5"),
    "a hidden state of another size": (
        recurrent("RNN", "expose_hidden: true", "x cont h", "y hT"),
        SHAPES | {"h": (N, D)},
        r"shape mismatch: 'h' is of \(3, 5\), not \(1, 3, 5\)",
    ),
}


@pytest.mark.parametrize(("layers", "shapes", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, shapes, message) -> None:
    refused(net_of(layers, **shapes), message, tmp_path, real_caffe)
