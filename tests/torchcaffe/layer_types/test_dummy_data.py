"""DummyData against real Caffe: the same values, bit for bit."""

import pytest

from tests.helpers.both_engines import Both

DUMMIES = {
    "a shape for all, zeros": "shape { dim: 2 dim: 3 }",
    "one filler": 'shape { dim: 2 dim: 3 } data_filler { type: "gaussian" std: 2 mean: 1 }',
    "fillers and shapes of their own": 'shape { dim: 4 } shape { dim: 1 dim: 2 } data_filler { type: "uniform" max: 3 }'
    ' data_filler { type: "constant" value: 7 }',
    "the old sizes": 'num: 2 channels: 3 height: 1 width: 2 data_filler { type: "uniform" min: -1 max: 1 }',
}


@pytest.mark.parametrize("settings_", DUMMIES.values(), ids=DUMMIES.keys())
def test_dummy_data_draws_as_caffe_does(real_caffe, tmp_path, figures, settings_) -> None:
    text = f'layer {{ name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param {{ {settings_} }} }}'
    Both(real_caffe, text, tmp_path, backward=False).agree(figures, "DummyData", tolerance=0)
