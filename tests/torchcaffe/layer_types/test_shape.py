"""Concat, Slice, Flatten, Reshape, Crop and ArgMax against real Caffe: to the last bit, since nothing is computed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import layer, quick
from tests.helpers.real_caffe import CaffeAborted
from tests.helpers.refusals import refused

SHAPE = (2, 6, 4, 5)


@pytest.mark.parametrize(("settings_", "axis"), [("", 1), ("axis: 0", 0), ("axis: -1", 3), ("concat_dim: 2", 2)])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_concat(real_caffe, tmp_path, figures, settings_, axis, count) -> None:
    shapes = {name: (*SHAPE[:axis], size, *SHAPE[axis + 1 :]) for name, size in zip("xzw", (3, 1, 2), strict=True)}
    shapes = dict(list(shapes.items())[:count])
    text = net_of(layer("Concat", f"concat_param {{ {settings_} }}", " ".join(shapes)), **shapes)
    Both(real_caffe, text, tmp_path).agree(figures, "Concat", tolerance=0)


def test_concat_of_a_blob_with_itself_sums_its_gradients(real_caffe, tmp_path, figures) -> None:
    Both(real_caffe, net_of(layer("Concat", "", "x x"), x=SHAPE), tmp_path).agree(figures, "Concat", tolerance=0)


SLICES = {
    "in two": ("", 2),
    "in three": ("axis: 1", 3),
    "not at all": ("", 1),
    "of the first axis": ("axis: 0", 2),
    "counted from the end": ("axis: -1 slice_point: 3", 2),
    "the old word": ("slice_dim: 2", 4),
    "at places": ("slice_point: 1 slice_point: 5", 3),
}


@pytest.mark.parametrize(("settings_", "tops"), SLICES.values(), ids=SLICES.keys())
def test_slice(real_caffe, tmp_path, figures, settings_, tops) -> None:
    text = net_of(layer("Slice", f"slice_param {{ {settings_} }}", tops="a b c d"[: 2 * tops - 1]), x=SHAPE)
    Both(real_caffe, text, tmp_path).agree(figures, "Slice", tolerance=0)


def test_a_slice_without_values_is_refused_where_caffe_stops_when_it_runs(real_caffe, tmp_path) -> None:
    text = net_of(layer("Slice", "slice_param { slice_point: 6 }", tops="a b"), x=SHAPE)
    refused(text, r"\[6\] must increase", tmp_path, None)
    with pytest.raises(CaffeAborted, match="Check failed: data_"):
        real_caffe.run('caffe.Net(given["path"], 1).forward()', path=str(tmp_path / "net.prototxt"))


def test_a_layer_in_place_on_a_slice_leaves_the_rest_alone(real_caffe, tmp_path, figures) -> None:
    for axis in (0, 1):
        layers = layer("Sigmoid", tops="s").replace('"it"', '"below"')
        layers += layer("Slice", f"slice_param {{ axis: {axis} }}", "s", "a b")
        layers += layer("ReLU", "relu_param { negative_slope: 2 }", "a", "a").replace('"it"', '"relu"')
        layers += layer("Power", "power_param { shift: -9 }", "a", "n").replace('"it"', '"n"')
        layers += layer("ReLU", "", "n", "n").replace('"it"', '"cut"')
        Both(real_caffe, net_of(layers, x=SHAPE), tmp_path).agree(figures, "Slice and layers in place")


def test_a_layer_in_place_on_a_crop_leaves_the_bottom_alone(real_caffe, tmp_path, figures) -> None:
    layers = layer("TanH", tops="s").replace('"it"', '"below"')
    layers += layer("Crop", "crop_param { axis: 0 }", "s z", "a")
    layers += layer("ReLU", "", "a", "a").replace('"it"', '"relu"')
    Both(real_caffe, net_of(layers, x=SHAPE, z=SHAPE), tmp_path).agree(figures, "Crop and layers in place")


@pytest.mark.parametrize(
    "settings_",
    ["", "axis: 0", "axis: 2", "axis: 1 end_axis: 2", "axis: -3 end_axis: -2", "axis: 3", "axis: 2 end_axis: 1"],
)
def test_flatten(real_caffe, tmp_path, figures, settings_) -> None:
    text = net_of(layer("Flatten", f"flatten_param {{ {settings_} }}"), x=SHAPE)
    Both(real_caffe, text, tmp_path).agree(figures, "Flatten", tolerance=0)


RESHAPES = {
    "to a size": "shape { dim: 12 dim: 20 }",
    "keeping one, the rest left over": "shape { dim: 0 dim: -1 }",
    "left over in the middle": "shape { dim: 0 dim: -1 dim: 10 }",
    "some axes": "axis: 1 num_axes: 2 shape { dim: 24 }",
    "some axes, the rest left over": "axis: 1 num_axes: 2 shape { dim: 3 dim: -1 }",
    "an axis put in": "axis: 1 num_axes: 0 shape { dim: 1 dim: 1 }",
    "an axis put behind": "axis: -1 shape { dim: 1 }",
    "counted from the end": "axis: -2 shape { dim: -1 dim: 1 }",
    "more axes, two kept": "shape { dim: 0 dim: 0 dim: 2 dim: -1 dim: 5 }",
}


@pytest.mark.parametrize("settings_", RESHAPES.values(), ids=RESHAPES.keys())
def test_reshape(real_caffe, tmp_path, figures, settings_) -> None:
    text = net_of(layer("Reshape", f"reshape_param {{ {settings_} }}"), x=SHAPE)
    Both(real_caffe, text, tmp_path).agree(figures, "Reshape", tolerance=0)


@pytest.mark.parametrize("type_", ["Flatten", "Reshape", "Concat", "Slice"])
def test_the_order_of_values_is_caffes_behind_a_convolution(real_caffe, tmp_path, figures, type_) -> None:
    """Convolutions lay their outputs out in another order of axes."""
    parameters = 'convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 1 } }'
    settings_ = "reshape_param { shape { dim: 0 dim: -1 dim: 8 } }" if type_ == "Reshape" else ""
    tops = "a b" if type_ == "Slice" else "a"
    layers = layer("Convolution", parameters, tops="c").replace('"it"', '"conv"') + layer(type_, settings_, "c", tops)
    layers += layer("InnerProduct", 'inner_product_param { num_output: 3 weight_filler { type: "xavier" } }', "a", "ip"
                    ).replace('"it"', '"ip"')  # fmt: skip
    Both(real_caffe, net_of(layers, x=SHAPE), tmp_path).agree(figures, f"{type_} between layers")


CROPS = {
    "planes": ("", (2, 6, 3, 2)),
    "planes, at one offset": ("offset: 1", (2, 6, 3, 2)),
    "planes, at two": ("offset: 0 offset: 3", (2, 6, 4, 2)),
    "channels": ("axis: 1 offset: 2 offset: 1 offset: 0", (9, 3, 2, 5)),
    "the last axis": ("axis: -1 offset: 1", (1, 1, 1, 3)),
    "all": ("axis: 0 offset: 1 offset: 2 offset: 0 offset: 1", (1, 4, 4, 4)),
    "nothing": ("", SHAPE),
}


@pytest.mark.parametrize(("settings_", "shape"), CROPS.values(), ids=CROPS.keys())
def test_crop(real_caffe, tmp_path, figures, settings_, shape) -> None:
    text = net_of(layer("Crop", f"crop_param {{ {settings_} }}", "x z"), x=SHAPE, z=shape)
    Both(real_caffe, text, tmp_path).agree(figures, "Crop", tolerance=0)


@quick
@given(
    axis=st.sampled_from([None, 0, 1, -1]),
    shape=st.lists(st.integers(2, 4), min_size=1, max_size=4),
    top_k=st.integers(1, 2),
    values=st.booleans(),
    ties=st.booleans(),
)
def test_argmax(real_caffe, tmp_path, figures, axis, shape, top_k, values, ties) -> None:
    if axis == 1 and len(shape) == 1:
        axis = 0
    top_k = 1 if axis is None and len(shape) == 1 else top_k
    random = np.random.default_rng(7)
    x = random.integers(0, 2, shape) if ties else random.standard_normal(shape)
    settings_ = f"top_k: {top_k} out_max_val: {str(values).lower()}" + (f" axis: {axis}" if axis is not None else "")
    text = net_of(layer("ArgMax", f"argmax_param {{ {settings_} }}"), x=x.shape)
    both = Both(real_caffe, text.replace("force_backward: true", ""), tmp_path, backward=False, x=x)
    both.agree(figures, "ArgMax", tolerance=0)


REFUSALS = {
    "concat of unequal sizes": (layer("Concat", "", "x z"), "same shape, except along axis 1: 'x'.*'z'"),
    "concat of unequal axes": (layer("Concat", "", "x v"), "same shape, except along axis 1"),
    "concat along two": (layer("Concat", "concat_param { axis: 1 concat_dim: 1 }", "x x"), "not both"),
    "concat along an old axis too far": (layer("Concat", "concat_param { concat_dim: 4 }", "x x"), "concat_dim 4 out"),
    "concat along an axis too far": (layer("Concat", "concat_param { axis: 4 }", "x x"), "axis 4"),
    "slices that do not divide": (layer("Slice", tops="a b c d"), r"\(4\) should evenly divide axis 1 of size 6"),
    "too few slice points": (layer("Slice", "slice_param { slice_point: 1 }", tops="a b c"), "1 slice_point for 3"),
    "slice points that fall": (
        layer("Slice", "slice_param { slice_point: 3 slice_point: 2 }", tops="a b c"),
        r"\[3, 2\] must increase",
    ),
    "a slice point at 0": (layer("Slice", "slice_param { slice_point: 0 }", tops="a b"), r"\[0\] must increase"),
    "a slice point too far": (layer("Slice", "slice_param { slice_point: 7 }", tops="a b"), r"\[7\] must increase"),
    "slices along two": (layer("Slice", "slice_param { axis: 1 slice_dim: 1 }", tops="a b"), "not both"),
    "more slices than values": (
        layer("Slice", "slice_param { axis: 0 slice_point: 1 slice_point: 2 }", tops="a b c"),
        "3 tops, but axis 0 is of size 2",
    ),
    "flatten in place": (layer("Flatten", tops="x"), "in-place"),
    "flatten backwards": (layer("Flatten", "flatten_param { axis: 3 end_axis: 1 }"), "axis 3 comes after end_axis 1"),
    "reshape in place": (layer("Reshape", "reshape_param { shape { dim: 240 } }", tops="x"), "in-place"),
    "reshape to another count": (layer("Reshape", "reshape_param { shape { dim: 7 } }"), "output count must match"),
    "reshape that leaves no whole": (layer("Reshape", "reshape_param { shape { dim: 7 dim: -1 } }"), r"240.*\(7\)"),
    "two left over": (layer("Reshape", "reshape_param { shape { dim: -1 dim: -1 } }"), "single dim of -1"),
    "a dim below -1": (layer("Reshape", "reshape_param { shape { dim: -2 dim: -120 } }"), r"found \[-2, -120\]"),
    "a size to keep that is not there": (
        layer("Reshape", "reshape_param { axis: 3 shape { dim: 5 dim: 0 } }"), "dim 1 is 0"),
    "reshape from an axis too far": (layer("Reshape", "reshape_param { axis: 5 shape { dim: 1 } }"), "axis 5 out of"),
    "reshape of too many axes": (
        layer("Reshape", "reshape_param { axis: 2 num_axes: 3 shape { dim: 20 } }"), "num_axes 3 is out of range"),
    "reshape of -2 axes": (layer("Reshape", "reshape_param { num_axes: -2 shape { dim: 240 } }"), "num_axes must be"),
    "crop of one": (layer("Crop"), "1 bottom blobs; the type takes 2"),
    "crop to a larger one": (layer("Crop", "", "z x"), "crop for dimension 2.*4 at offset 0 of 2"),
    "crop too far": (layer("Crop", "crop_param { offset: 3 }", "x z"), "dimension 2.*: 2 at offset 3 of 4"),
    "crop with offsets of another number": (
        layer("Crop", "crop_param { axis: 1 offset: 1 offset: 1 }", "x z"), r"offset values \(2\).*axis 1 on \(3\)"),
    "crop to too few axes": (layer("Crop", "", "x v"), "too few axes"),
    "argmax of none": (layer("ArgMax", "argmax_param { top_k: 0 }"), "top_k must not be less than 1"),
    "argmax of too many": (layer("ArgMax", "argmax_param { top_k: 121 }"), "the 120 values.*found 121"),
    "argmax of too many along an axis": (layer("ArgMax", "argmax_param { axis: 2 top_k: 5 }"), "the 4 values.*found 5"),
}  # fmt: skip


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    text = net_of(layers, x=SHAPE, z=(2, 3, 2, 2), v=(3,)).replace("force_backward: true", "")
    refused(text, message, tmp_path, real_caffe)
