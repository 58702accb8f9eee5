"""What several layer types have in common, and the registry of types."""

import pkgutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import Both, Figures, net_of
from tests.helpers.layer_text import layer
from tests.helpers.real_caffe import CaffeAborted, RealCaffe
from torchcaffe import layer_types


@pytest.mark.parametrize("type_", ["Pooling", "LRN", "ReLU", "Sigmoid", "TanH", "Softmax"])
def test_an_engine_changes_nothing(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, type_: str) -> None:
    more = {"Pooling": "kernel_size: 3", "LRN": "local_size: 3 alpha: 1"}.get(type_, "")
    text = net_of(layer(type_, f"{type_.lower()}_param {{ engine: CAFFE {more} }}"), x=(2, 3, 6, 5))
    Both(real_caffe, text, tmp_path).agree(figures, type_)


ENGINES = {
    "Convolution": ("convolution_param", "num_output: 4 kernel_size: 3"),
    "Deconvolution": ("convolution_param", "num_output: 4 kernel_size: 3"),
    "LRN": ("lrn_param", "local_size: 3 alpha: 1"),
    "Pooling": ("pooling_param", "kernel_size: 3"),
    "ReLU": ("relu_param", "negative_slope: 0.3"),
    "SPP": ("spp_param", "pyramid_height: 2"),
    "Sigmoid": ("sigmoid_param", ""),
    "Softmax": ("softmax_param", ""),
    "TanH": ("tanh_param", ""),
}


@pytest.mark.parametrize("type_", ENGINES)
def test_a_net_that_names_cudnn_runs_and_gives_what_caffes_own_engine_gives(real_caffe, tmp_path, figures, type_):
    """BVLC Caffe without a GPU refuses it (SPP's is read, then forgotten), so that its own engine is the measure."""
    param, more = ENGINES[type_]

    def text(engine: str) -> str:
        return net_of(layer(type_, f"{param} {{ engine: {engine} {more} }}"), x=(2, 3, 6, 5))

    both = Both(real_caffe, text("CAFFE"), tmp_path)
    path = tmp_path / "net.prototxt"
    path.write_text(text("CUDNN"))
    net = caffe.Net(path, caffe.TEST)
    for index, blob in enumerate(net.params.get("it", [])):
        blob.data = both.net.params["it"][index].data
    found = net.forward(x=np.array(both.net.blobs["x"].data))["y"]
    figures.note_arrays(f"{type_}: outputs", found, both.right["data y"], 1e-5)
    if type_ != "SPP":
        with pytest.raises(CaffeAborted, match="unknown engine"):
            real_caffe.run('caffe.Net(given["path"], 1)', path=str(path))


def test_a_file_holds_one_type_and_all_types_are_registered() -> None:
    types = []
    for module in pkgutil.iter_modules(layer_types.__path__):
        values = vars(import_module(f"torchcaffe.layer_types.{module.name}")).values()
        classes = [value for value in values if isinstance(value, type) and issubclass(value, layer_types.Layer)]
        own = [c.__name__ for c in classes if c.__module__.endswith(f".{module.name}")]
        types.append([name for name in own if not name.endswith("Layer")])
    assert max(map(len, types)) == 1
    assert sorted(name for names in types for name in names) == layer_types.known_types() == caffe.layer_type_list()


def test_an_unknown_type_is_refused_with_the_types_that_there_are(real_caffe, tmp_path) -> None:
    types = ", ".join(caffe.layer_type_list())
    text = net_of(layer("Relu"), x=(2,))
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    with pytest.raises(FormatError, match=rf"net\.prototxt:\d+: layer 'it': Unknown layer type: Relu .*: {types}\)"):
        caffe.Net(path, caffe.TEST)
    with pytest.raises(CaffeAborted, match="Unknown layer type: Relu"):
        real_caffe.run('caffe.Net(given["path"], 1)', path=str(path))
