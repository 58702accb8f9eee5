"""LSTM, RNN and LSTMUnit as PyTorch code: torch_recurrent.py."""

from pathlib import Path

import pytest
import torch

from tests.helpers.both_engines import net_of
from tests.helpers.exported import RECURRENT, export, recurrent
from torchcaffe.export import parts, torch_export


def test_they_compute_what_caffe_does_and_have_its_gradients(tmp_path: Path, pycaffe: Path) -> None:
    said = export(tmp_path, "pytorch", RECURRENT, pycaffe=pycaffe)
    assert "batches of any size; outputs" in said[0] and "34 blobs checked against BVLC Caffe 1.0.0" in said[1]
    assert said[2].startswith("26 gradients: ")


def test_it_is_one_line_a_layer(tmp_path: Path) -> None:
    export(
        tmp_path, "pytorch", net_of(recurrent("LSTM", "y", "x cont static"), x=(4, 3, 2), cont=(4, 3), static=(3, 7))
    )
    code = (tmp_path / "out" / torch_export.CODE).read_text()
    assert "        self.y = LSTM(2, 5, 7)\n" in code
    line = "b['y'], b['y_h_T'], b['y_c_T'] = self.y(b['x'], b['cont'], b['y_h_0'], b['y_c_0'], b['static'])\n"
    assert line in code


@pytest.mark.parametrize("type_", ["LSTM", "RNN"])
def test_the_class_takes_any_number_of_timesteps(type_: str) -> None:
    """Eight at once are four, and four that begin with the states behind them."""
    torch.manual_seed(1)
    part = {"LSTM": parts.LSTM, "RNN": parts.RNN}[type_](6, 5)
    x, cont = torch.randn(8, 3, 2, 3), torch.randint(0, 2, (8, 3)).float()
    states = [torch.randn(1, 3, 5) for _ in range(2 if type_ == "LSTM" else 1)]
    whole = part(x, cont, *states)
    first = part(x[:4], cont[:4], *states)
    second = part(x[4:], cont[4:], *first[1:])
    torch.testing.assert_close(torch.cat([first[0], second[0]]), whole[0])
    torch.testing.assert_close(second[1:], whole[1:])


def test_layers_share_weights_by_name(tmp_path: Path, pycaffe: Path) -> None:
    layers = "".join(
        recurrent("LSTM", top, "x cont").replace("type:", 'param { name: "a" } param { name: "b" } type:')
        for top in ("y", "z")
    )
    said = export(tmp_path, "pytorch", net_of(layers, x=(4, 3, 2), cont=(4, 3)), pycaffe=pycaffe)
    assert "12 blobs checked against BVLC" in said[1]
    assert "self.z.x.weight = self.y.x.weight\n" in (tmp_path / "out" / torch_export.CODE).read_text()
