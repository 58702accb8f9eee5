"""Tile against real Caffe: each axis."""

import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_checks import order_of_values_is_caffes
from tests.helpers.layer_text import between_layers, layer
from tests.helpers.refusals import refused

SHAPE = (2, 3, 4, 5)


@pytest.mark.parametrize("settings_", ["tiles: 3", "tiles: 1", "axis: 0 tiles: 2", "axis: -1 tiles: 4"])
def test_tile(real_caffe, tmp_path, figures, settings_) -> None:
    text = net_of(layer("Tile", f"tile_param {{ {settings_} }}"), x=SHAPE)
    Both(real_caffe, text, tmp_path).agree(figures, "Tile")


def test_the_order_of_values_is_caffes_behind_a_convolution(real_caffe, tmp_path, figures) -> None:
    text = between_layers("Tile", "tile_param { axis: 2 tiles: 2 }")
    order_of_values_is_caffes(real_caffe, tmp_path, figures, text, "Tile")


REFUSALS = {
    "no number": (layer("Tile"), "Number of tiles must be specified"),
    "no tile": (layer("Tile", "tile_param { tiles: 0 }"), "must be positive; found tiles: 0"),
    "fewer than none": (layer("Tile", "tile_param { tiles: -2 }"), "must be positive; found tiles: -2"),
    "an axis that is not there": (layer("Tile", "tile_param { tiles: 2 axis: 4 }"), "axis 4 of a bottom with 4 axes"),
    "more values than a blob has": (layer("Tile", "tile_param { tiles: 100000000 }"), "INT_MAX"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=SHAPE), message, tmp_path, real_caffe)


def test_in_place_is_refused_where_caffe_copies_values_over_each_other(tmp_path) -> None:
    refused(net_of(layer("Tile", "tile_param { tiles: 2 }", tops="x"), x=SHAPE), "in-place", tmp_path, None)
