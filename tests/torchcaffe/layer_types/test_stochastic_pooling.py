"""Stochastic pooling against a numpy form of its rule. BVLC Caffe has it on a GPU only: on a CPU it stops."""

import numpy as np
import pytest
import torch

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import net_of
from tests.helpers.layer_text import layer
from tests.helpers.real_caffe import CaffeAborted
from tests.helpers.refusals import refused
from torchcaffe.common import context
from torchcaffe.layer_types.stochastic_pooling import drawn

GEOMETRIES = {
    "apart": ((2, 3, 6, 6), "kernel_size: 2 stride: 2"),
    "overlapping": ((2, 3, 7, 9), "kernel_size: 3 stride: 2"),
    "the last windows cut off": ((2, 2, 6, 8), "kernel_h: 3 kernel_w: 4 stride_h: 2 stride_w: 3"),
    "with gaps": ((2, 2, 7, 7), "kernel_size: 2 stride: 3 round_mode: FLOOR"),
    "the whole plane": ((3, 2, 4, 5), "global_pooling: true"),
}


def windows(shape: tuple[int, ...], net: caffe.Net):
    """The windows of `x`, and the place in the top of each."""
    param = net.core.layers[1].param.pooling_param
    kernel = (
        shape[2:]
        if param.global_pooling
        else (param.kernel_h or param.kernel_size, param.kernel_w or param.kernel_size)
    )
    stride = (param.stride_h or param.stride, param.stride_w or param.stride)
    for n, c, row, column in np.ndindex(net.blobs["y"].shape):
        h, w = row * stride[0], column * stride[1]
        yield (n, c, row, column), (n, c, slice(h, h + kernel[0]), slice(w, w + kernel[1]))


def built(folder, shape, settings_: str, phase: int) -> tuple[caffe.Net, np.ndarray]:
    """The net and its input: eighths, which add up without rounding, some of them 0 and one window all 0."""
    path = folder / "net.prototxt"
    path.write_text(net_of(layer("Pooling", f"pooling_param {{ pool: STOCHASTIC {settings_} }}"), x=shape))
    net = caffe.Net(path, phase)
    x = np.random.default_rng(1).integers(-5, 20, shape).clip(0).astype(np.float32) / 8
    x[0, 0, :3, :4] = 0
    net.blobs["x"].data = x
    return net, x


@pytest.mark.parametrize(("shape", "settings_"), GEOMETRIES.values(), ids=GEOMETRIES.keys())
def test_the_train_phase_draws_by_the_values_and_the_gradient_goes_to_the_drawn(tmp_path, shape, settings_) -> None:
    net, x = built(tmp_path, shape, settings_, caffe.TRAIN)
    caffe.set_random_seed(7)
    numbers = context.current().rng.uniform(net.blobs["y"].count, 0, 1).reshape(net.blobs["y"].shape)
    caffe.set_random_seed(7)
    net.forward()
    diff = np.random.default_rng(2).standard_normal(net.blobs["y"].shape).astype(np.float32)
    net.backward(y=diff)
    y, gradient = np.zeros_like(diff), np.zeros(x.shape, np.float64)
    for place, window in windows(shape, net):
        sums = x[window].cumsum(dtype=np.float64)
        element = int(np.argmax(sums >= numbers[place] * sums[-1]))
        y[place] = x[window].ravel()[element]
        row, column = np.unravel_index(element, x[window].shape)
        gradient[place[0], place[1], window[2].start + row, window[3].start + column] += diff[place]
    np.testing.assert_array_equal(net.blobs["y"].data, y)
    np.testing.assert_allclose(net.blobs["x"].diff, gradient, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("shape", "settings_"), GEOMETRIES.values(), ids=GEOMETRIES.keys())
def test_the_test_phase_takes_the_expected_value(tmp_path, shape, settings_) -> None:
    net, x = built(tmp_path, shape, settings_, caffe.TEST)
    net.forward()
    for place, window in windows(shape, net):
        right = (x[window] ** 2).sum() / x[window].sum() if x[window].any() else 0
        assert net.blobs["y"].data[place] == pytest.approx(right, rel=1e-6)
    with pytest.raises(FormatError, match=r"layer 'it'.*no gradient in the test phase"):
        net.backward(y=net.blobs["y"].data)


def test_values_are_drawn_as_often_as_they_are_large() -> None:
    x = torch.tensor([1.0, 0, 3, 4]).reshape(1, 1, 2, 2).expand(1, 4000, 2, 2)
    places = drawn(x, [2, 2], [2, 2], [1, 1], torch.rand(1, 4000, 1, 1, generator=torch.Generator().manual_seed(1)))
    shares = np.bincount(places.ravel().numpy(), minlength=4) / 4000
    np.testing.assert_allclose(shares, [1 / 8, 0, 3 / 8, 1 / 2], atol=0.03)  # 3.8 standard deviations


def test_a_window_whose_sum_is_below_0_gives_its_first_value() -> None:
    x = torch.tensor([-1.0, -2, -3, 1]).reshape(1, 1, 2, 2)
    assert drawn(x, [2, 2], [2, 2], [1, 1], torch.full((1, 1, 1, 1), 0.1)).item() == 0


def test_caffe_builds_it_on_a_cpu_and_stops_when_it_runs(real_caffe, tmp_path) -> None:
    built(tmp_path, (2, 3, 6, 6), "kernel_size: 2", caffe.TEST)
    path = str(tmp_path / "net.prototxt")
    real_caffe.run('caffe.Net(given["path"], 0)', path=path)
    with pytest.raises(CaffeAborted, match="Not Implemented Yet"):
        real_caffe.run('caffe.Net(given["path"], 0).forward()', path=path)


def test_padding_is_refused(real_caffe, tmp_path) -> None:
    text = layer("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 pad: 1 }")
    refused(net_of(text, x=(2, 3, 6, 6)), "Padding implemented only for average and max", tmp_path, real_caffe)
