"""Nets that are exported: a prototxt, a caffemodel with random weights, and what `torchcaffe export` says of them."""

from importlib import import_module
from pathlib import Path

import numpy as np

import torchcaffe as caffe
from tests.helpers.both_engines import net_of
from torchcaffe.export.exporter import Options, quiet

MODULES = {"onnx": "onnx_export", "pytorch": "torch_export", "safetensors": "safetensors_export"}


def weighted(folder: Path, text: str, weights_of: str | None = None) -> tuple[Path, Path]:
    """Writes `text` and a caffemodel with random weights of the same net, or of `weights_of`, for the phase TEST."""
    model, caffemodel = folder / "net.prototxt", folder / "net.caffemodel"
    model.write_text(text)
    source = folder / "weights.prototxt"
    source.write_text(weights_of or text)
    with quiet():
        net, random = caffe.Net(source, caffe.TEST), np.random.default_rng(1)
    for layer in net.layers:
        for blob in layer.blobs:
            blob.data = random.standard_normal(blob.shape).astype(np.float32)
        if layer.type == "BatchNorm":
            layer.blobs[1].data = random.uniform(1, 2, layer.blobs[1].shape).astype(np.float32)
            layer.blobs[2].data = np.full(1, 2.5, np.float32)
    net.save(caffemodel)
    return model, caffemodel


def export(
    folder: Path, to: str, text: str, weights_of: str | None = None, pycaffe: object = "none", **options: str
) -> list[str]:
    """Exports the net in `text` with random weights to `folder`/out, and returns the lines about it."""
    model, caffemodel = weighted(folder, text, weights_of)
    made = Options(model, caffemodel, to, folder / "out", pycaffe=str(pycaffe), **options)
    with quiet():
        return import_module(f"torchcaffe.export.{MODULES[to]}").export(made)


def layer(type_: str, top: str, bottom: str = "x", settings: str = "") -> str:
    """A layer with the name of its first top. Tops and bottoms are separated by spaces."""
    names = " ".join([f'bottom: "{name}"' for name in bottom.split()] + [f'top: "{name}"' for name in top.split()])
    return f'layer {{ name: "{top.split()[0]}" type: "{type_}" {names} {settings} }}\n'


def pool(settings: str) -> str:
    return f"pooling_param {{ {settings} }}"


def conv(settings: str) -> str:
    return f"convolution_param {{ {settings} }}"


PLAIN = ("AbsVal", "BNLL", "Dropout", "Sigmoid", "TanH", "ReLU", "ELU", "PReLU", "Scale", "Bias", "Softmax")
MAPS = net_of(
    layer("Convolution", "conv", settings=conv("num_output: 4 kernel_size: 3 group: 2 pad: 2 dilation: 2"))
    + layer("Convolution", "wide", settings=conv(
        "num_output: 2 kernel_h: 2 kernel_w: 3 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 0 bias_term: false"))
    + layer("Deconvolution", "deconv", "conv", conv("num_output: 6 kernel_size: 4 stride: 2 pad: 1 group: 2"))
    + layer("Pooling", "max", settings=pool("kernel_size: 3 stride: 2"))
    + layer("Pooling", "clipped", settings=pool("kernel_size: 2 stride: 2 pad: 1"))
    + layer("Pooling", "floor", settings=pool("kernel_size: 2 stride: 3 round_mode: FLOOR"))
    + layer("Pooling", "places_max places", settings=pool("kernel_size: 3 stride: 2 pad: 1"))
    + layer("Pooling", "wide_max", settings=pool("kernel_size: 3 stride: 2 pad: 2"))
    + layer("Pooling", "ave", settings=pool("pool: AVE kernel_size: 3 stride: 2 pad: 1"))
    + layer("Pooling", "ceil_ave", settings=pool("pool: AVE kernel_size: 4 stride: 3"))
    + layer("Pooling", "wide_ave", settings=pool("pool: AVE kernel_size: 3 stride: 2 pad: 2"))
    + layer("Pooling", "global", settings=pool("pool: AVE global_pooling: true"))
    + layer("Pooling", "global_max", settings=pool("global_pooling: true"))
    + layer("SPP", "pyramid", settings="spp_param { pyramid_height: 3 }")
    + layer("SPP", "mean_pyramid", settings="spp_param { pyramid_height: 3 pool: AVE }")
    + layer("SPP", "one_level", settings="spp_param { pyramid_height: 1 pool: AVE }")
    + layer("Im2col", "columns", settings=conv("kernel_h: 3 kernel_w: 2 stride: 2 pad: 1 dilation: 2"))
    + layer("LRN", "lrn", settings="lrn_param { local_size: 3 alpha: 0.1 beta: 0.6 k: 2 }")
    + layer("LRN", "within", settings="lrn_param { local_size: 3 alpha: 0.1 norm_region: WITHIN_CHANNEL }")
    + layer("BatchNorm", "bn", "conv")
    + layer("BatchNorm", "bn_always", "conv", "batch_norm_param { use_global_stats: true eps: 0.01 }")
    + layer("BatchNorm", "bn_batch", "conv", "batch_norm_param { use_global_stats: false }")
    + layer("MVN", "mvn")
    + layer("MVN", "centred", settings="mvn_param { normalize_variance: false across_channels: true }")
    + layer("InnerProduct", "fc", settings="inner_product_param { num_output: 3 }")
    + layer("InnerProduct", "turned", "max",
            "inner_product_param { num_output: 3 axis: 2 transpose: true bias_term: false }"),
    x=(2, 6, 11, 9),
)  # fmt: skip
VALUES = net_of(
    "".join(layer(type_, type_.lower()) for type_ in PLAIN)
    + layer("ReLU", "leaky", settings="relu_param { negative_slope: 0.1 }")
    + layer("PReLU", "shared", settings="prelu_param { channel_shared: true }")
    + layer("Power", "power", "absval", "power_param { power: 1.5 scale: 0.2 shift: 1 }")
    + layer("Power", "line", settings="power_param { scale: 2 shift: -1 }")
    + layer("Exp", "exp", settings="exp_param { base: 2 scale: 0.05 shift: 0.5 }")
    + layer("Log", "log", "absval", "log_param { base: 3 scale: 2 shift: 1 }")
    + layer("Scale", "biased", settings="scale_param { axis: 1 num_axes: 2 bias_term: true }")
    + layer("Scale", "by_blob", "x channels", "scale_param { axis: 0 }")
    + layer("Bias", "plus_blob", "x channels", "bias_param { axis: 0 }")
    + layer("Threshold", "threshold", settings="threshold_param { threshold: 0.5 }")
    + layer("Eltwise", "sum", "x leaky line", "eltwise_param { coeff: 1 coeff: -0.5 coeff: 2 }")
    + layer("Eltwise", "product", "x leaky line", "eltwise_param { operation: PROD }")
    + layer("Eltwise", "largest", "x leaky line", "eltwise_param { operation: MAX }"),
    x=(2, 3, 4, 5),
    channels=(2, 3),
)  # fmt: skip
SHAPES = net_of(
    layer("Convolution", "conv", settings="convolution_param { num_output: 4 kernel_size: 3 }")
    + layer("Flatten", "flat", "conv")
    + layer("Reshape", "kept", "conv", "reshape_param { shape { dim: 0 dim: 2 dim: -1 } }")
    + layer("Reshape", "rows", "conv", "reshape_param { shape { dim: -1 dim: 4 } }")
    + layer("Concat", "joined", "conv conv2")
    + layer("Slice", "a b c", "conv", "slice_param { slice_point: 1 slice_point: 3 }")
    + layer("Crop", "cropped", "x conv", "crop_param { offset: 1 }")
    + layer("ArgMax", "best", "flat", "argmax_param { top_k: 3 }")
    + layer("ArgMax", "pair", "flat", "argmax_param { top_k: 2 out_max_val: true }")
    + layer("ArgMax", "along", "conv", "argmax_param { axis: 1 }")
    + layer("Split", "s1 s2", "conv")
    + layer("Tile", "tiled", "conv", "tile_param { axis: 2 tiles: 3 }")
    + layer("Reduction", "total", "conv", "reduction_param { axis: 1 operation: SUM coeff: 0.5 }")
    + layer("Reduction", "squares", "conv", "reduction_param { axis: 2 operation: SUMSQ }")
    + layer("Reduction", "absolute", "conv", "reduction_param { axis: -1 operation: ASUM }")
    + layer("Reduction", "mean", "conv", "reduction_param { axis: 1 operation: MEAN }")
    + layer("Parameter", "learned", "", "parameter_param { shape { dim: 3 dim: 2 } }")
    + layer("BatchReindex", "picked", "conv index")
    + layer("Embed", "embed", "word", "embed_param { num_output: 3 input_dim: 7 }"),
    x=(2, 4, 6, 7),
    word=(2, 5),
    index=(3,),
).replace(
    layer("Concat", "joined", "conv conv2"),
    layer("Convolution", "conv2", settings="convolution_param { num_output: 2 kernel_size: 3 }")
    + layer("Concat", "joined", "conv conv2"),
)  # fmt: skip


def recurrent(type_: str, top: str, bottom: str, more: str = "") -> str:
    return layer(type_, top, bottom, f"recurrent_param {{ num_output: 5 {more} }}")


EXPOSED = "expose_hidden: true"
RECURRENT = net_of(
    recurrent("LSTM", "lstm", "x cont")
    + recurrent("LSTM", "lstm_static", "lstm cont static")
    + recurrent("LSTM", "exposed h_T c_T", "lstm_static cont h_0 c_0", EXPOSED)
    + recurrent("RNN", "rnn", "x cont static")
    + recurrent("RNN", "rnn_exposed o_T", "rnn cont static o_0", EXPOSED)
    + layer("InnerProduct", "gates", "h_T", "inner_product_param { num_output: 20 axis: 2 }")
    + layer("LSTMUnit", "c h", "c_T gates goes_on")
    + layer("InnerProduct", "scores", "exposed", "inner_product_param { num_output: 3 axis: 2 }"),
    x=(4, 3, 2, 3), cont=(4, 3), static=(3, 7), h_0=(1, 3, 5), c_0=(1, 3, 5), o_0=(1, 3, 5), goes_on=(1, 3),
)  # fmt: skip
LENET = """
name: "small"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 4 dim: 1 dim: 12 dim: 12 } shape { dim: 4 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 3 kernel_size: 5 } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "relu1" type: "ReLU" bottom: "pool1" top: "pool1" }
layer { name: "ip/2" type: "InnerProduct" bottom: "pool1" top: "ip/2" inner_product_param { num_output: 5 } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip/2" bottom: "label" top: "accuracy" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip/2" bottom: "label" top: "loss" }
"""
