"""The shapes of inputs."""

from pathlib import Path

import numpy as np
import pytest

from caffeformat import FormatError
from tests.helpers.exported import layer
from torchcaffe.export.inference import inference_net
from torchcaffe.export.input_shapes import parse_shapes, set_shapes
from torchcaffe.nets import reader

DATA = """
layer { name: "data" type: "Data" top: "data" transform_param { crop_size: 20 }
  data_param { source: "nowhere" batch_size: 6 } }
""" + layer("Convolution", "conv", "data", "convolution_param { num_output: 4 kernel_size: 3 group: 2 }")


def shapes(folder: Path, text: str, given: dict | None = None, weights: dict | None = None) -> list[tuple[int, ...]]:
    (folder / "net.prototxt").write_text(text)
    net = inference_net(reader.read(folder / "net.prototxt"))
    set_shapes(net, given or {}, weights or {})
    return [tuple(x.input_param.shape[0].dim) for x in net.parsed.param.layer if x.type == "Input"]


def test_without_the_data_crop_size_and_the_weights_tell(tmp_path: Path) -> None:
    assert shapes(tmp_path, DATA, weights={"conv": [np.zeros((4, 3, 3, 3))]}) == [(6, 6, 20, 20)]


def test_the_command_line_comes_first(tmp_path: Path) -> None:
    assert shapes(tmp_path, DATA, {"data": (1, 2, 8, 9)}) == [(1, 2, 8, 9)]
    with pytest.raises(FormatError, match="no input 'image'; its inputs are data"):
        shapes(tmp_path, DATA, {"image": (1,)})


def test_if_nothing_tells_the_error_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"net.prototxt:2: layer 'data' .*give it as --shape='data:N,C,H,W'"):
        shapes(tmp_path, DATA)


def test_the_flag_names_inputs_and_sizes() -> None:
    assert parse_shapes("data:1,3,8,8;a:b:2") == {"data": (1, 3, 8, 8), "a:b": (2,)}
    for wrong in ("data", "data:", "data:1,x", "data:0", "data:99999999999999999999,3"):
        with pytest.raises(FormatError, match="name:sizes is needed"):
            parse_shapes(wrong)
