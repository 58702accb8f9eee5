"""A small net for each layer type, from a blob x (8, 4, 9, 9) and labels (8,) to a loss: for what any layer must do."""

FILLED = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 0.3 }'
HEAD = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 8 dim: 4 dim: 9 dim: 9 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 8 } } }
layer { name: "first" type: "Convolution" bottom: "x" top: "a"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
"""
SCORES = """
layer { name: "scores" type: "InnerProduct" bottom: "b" top: "scores"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
"""
SOFTMAX = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "label" top: "loss" }\n'


def one(type_: str, settings: str = "", bottoms: str = "a", tops: str = "b") -> str:
    names = " ".join([f'bottom: "{b}"' for b in bottoms.split()] + [f'top: "{t}"' for t in tops.split()])
    return f'layer {{ name: "it" type: "{type_}" {names} {settings} }}\n'


# From a to t, two timesteps, and cont, whether the second goes on.
SEQUENCE = (
    one("Reshape", "reshape_param { shape { dim: 2 dim: 4 dim: -1 } }", "a", "t")
    + one("Reshape", "reshape_param { shape { dim: 2 dim: 4 } }", "label", "l")
    + one("Threshold", "", "l", "cont")
)
# From a to b.
BODIES = {
    "AbsVal": one("AbsVal"),
    "BNLL": one("BNLL"),
    "BatchNorm": one("BatchNorm"),
    "BatchNorm of old": one("BatchNorm", "batch_norm_param { use_global_stats: true }"),
    "BatchReindex": one("BatchReindex", "propagate_down: true propagate_down: false", "a label"),
    "Bias": one("Bias"),
    "Clip": one("Clip", "clip_param { min: -1 max: 2 }"),
    "Concat": one("Concat", "", "a x"),
    "Convolution": one("Convolution", f"convolution_param {{ num_output: 6 kernel_size: 3 group: 2 {FILLED} }}"),
    "Convolution larger than the map": one(
        "Convolution", f"convolution_param {{ num_output: 3 kernel_size: 12 stride: 4 {FILLED} }}"
    ),
    "Convolution of vectors": one("Flatten", "", "a", "f")
    + one("Convolution", f"convolution_param {{ num_output: 5 {FILLED} }}", "f"),
    "Crop": one("Split", "", "x", "x1 x2")
    + one("Pooling", "pooling_param { kernel_size: 4 }", "x1", "p")
    + one("Silence", "", "x2", "")
    + one("Crop", "crop_param { offset: 1 }", "a p"),
    "Deconvolution": one("Deconvolution", f"convolution_param {{ num_output: 3 kernel_size: 4 stride: 2 {FILLED} }}"),
    "Dropout": one("Dropout"),
    "ELU": one("ELU"),
    "Eltwise": one("Eltwise", "eltwise_param { coeff: 2 coeff: -1 }", "a x"),
    "Eltwise MAX": one("Eltwise", "eltwise_param { operation: MAX }", "a x"),
    "Eltwise PROD": one("Eltwise", "eltwise_param { operation: PROD }", "a x"),
    "Embed": one("Embed", f"embed_param {{ num_output: 3 input_dim: 5 {FILLED} }}", "label", "e")
    + one("Flatten", "", "a", "f")
    + one("Concat", "", "f e"),
    "Exp": one("Exp", "exp_param { scale: 0.1 }"),
    "Flatten": one("Flatten"),
    "Im2col": one("Im2col", "convolution_param { kernel_size: 3 stride: 2 dilation: 2 pad: 1 }"),
    "InnerProduct": one("InnerProduct", f"inner_product_param {{ num_output: 7 transpose: true {FILLED} }}"),
    "LRN": one("LRN"),
    "LSTM": SEQUENCE
    + one("LSTM", f"recurrent_param {{ num_output: 6 {FILLED} }}", "t cont", "h")
    + one("Reshape", "reshape_param { shape { dim: 8 dim: 6 } }", "h"),
    "LSTMUnit": one("Reshape", "reshape_param { shape { dim: 1 dim: 8 dim: -1 } }", "a", "gates")
    + one("InnerProduct", f"inner_product_param {{ num_output: 81 axis: 2 {FILLED} }}", "gates", "cells")
    + one("Reshape", "reshape_param { shape { dim: 1 dim: -1 } }", "label", "cont")
    + one("LSTMUnit", "propagate_down: true propagate_down: true propagate_down: false", "cells gates cont", "c h")
    + one("Concat", "concat_param { axis: 2 }", "c h", "ch")
    + one("Reshape", "reshape_param { shape { dim: 8 dim: -1 } }", "ch"),
    "LRN within": one("LRN", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }"),
    "Log": one("Log", "log_param { shift: 20 }"),
    "MVN": one("MVN"),
    "MVN across channels": one("MVN", "mvn_param { across_channels: true normalize_variance: false }"),
    "PReLU": one("PReLU"),
    "Parameter": one("Parameter", "parameter_param { shape { dim: 8 dim: 4 dim: 9 dim: 9 } }", "", "p")
    + one("Eltwise", "", "a p"),
    "Pooling": one("Pooling", "pooling_param { kernel_size: 3 stride: 2 }"),
    "Pooling AVE": one("Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }"),
    "Pooling AVE padded": one("Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 2 }"),
    "Pooling global": one("Pooling", "pooling_param { pool: AVE global_pooling: true }"),
    "Pooling padded": one("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 2 }", "a", "b places"),
    "Pooling stochastic": one("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 3 stride: 2 }"),
    "Power": one("Power", "power_param { power: 3 scale: 0.1 shift: 2 }"),
    "RNN": SEQUENCE
    + one("RNN", f"recurrent_param {{ num_output: 6 {FILLED} }}", "t cont", "h")
    + one("Reshape", "reshape_param { shape { dim: 8 dim: 6 } }", "h"),
    "ReLU": one("ReLU", "relu_param { negative_slope: 0.1 }"),
    "ReLU in place": one("ReLU", "", "a", "a") + one("Power"),
    "Reduction": one("Reduction", "reduction_param { operation: ASUM axis: 3 }"),
    "Reduction SUMSQ": one("Reduction", "reduction_param { operation: SUMSQ axis: 2 coeff: 0.1 }"),
    "Reshape": one("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 2 } }"),
    "SPP": one("SPP", "spp_param { pyramid_height: 2 pool: AVE }"),
    "Scale": one("Scale", "scale_param { bias_term: true }"),
    "Sigmoid": one("Sigmoid"),
    "Slice": one("Slice", "slice_param { slice_point: 1 }", "a", "b rest") + one("Silence", "", "rest", ""),
    "Softmax": one("Softmax"),
    "Swish": one("Swish"),
    "TanH": one("TanH"),
    "Threshold": one("Threshold", "", "x", "t") + one("Eltwise", "eltwise_param { operation: PROD }", "a t"),
    "Tile": one("Tile", "tile_param { axis: 2 tiles: 2 }"),
}
# From b, and the labels, to the loss.
LOSSES = {
    "ContrastiveLoss": SCORES.replace('top: "scores"', 'top: "y"')
    + SCORES.replace('top: "scores"', 'top: "z"').replace('"scores"', '"others"')
    + one("ContrastiveLoss", "contrastive_loss_param { margin: 3 }", "y z label", "loss"),
    "EuclideanLoss": one("InnerProduct", f"inner_product_param {{ num_output: 1 {FILLED} }}", "b", "y")
    + one("EuclideanLoss", "", "y label", "loss"),
    "Filter": one("Filter", "", "b label label", "f chosen")
    + SCORES.replace('"b"', '"f"')
    + one("SoftmaxWithLoss", "propagate_down: true propagate_down: false", "scores chosen", "loss"),
    "HingeLoss": SCORES + one("HingeLoss", "hinge_loss_param { norm: L2 }", "scores label", "loss"),
    "InfogainLoss": SCORES
    + one("DummyData", "dummy_data_param { shape { dim: 5 dim: 5 } data_filler { value: 0.5 } }", "", "h")
    + one("InfogainLoss", "loss_param { ignore_label: 3 }", "scores label h", "loss"),
    "MultinomialLogisticLoss": SCORES
    + one("Softmax", "", "scores", "p")
    + one("MultinomialLogisticLoss", "", "p label", "loss"),
    "SigmoidCrossEntropyLoss": one("InnerProduct", f"inner_product_param {{ num_output: 1 {FILLED} }}", "b", "y")
    + one("SigmoidCrossEntropyLoss", "loss_param { ignore_label: 3 normalization: VALID }", "y label", "loss"),
    "SoftmaxWithLoss": SCORES + one("SoftmaxWithLoss", "loss_param { ignore_label: 3 }", "scores label", "loss"),
    "Accuracy": SCORES + SOFTMAX + one("Accuracy", "accuracy_param { ignore_label: 2 }", "scores label", "hits each"),
    "ArgMax": SCORES + SOFTMAX + one("ArgMax", "argmax_param { top_k: 2 }", "scores", "best"),
}
NETS = {name: HEAD + body + SCORES + SOFTMAX for name, body in BODIES.items()}
NETS |= {name: HEAD + one("ReLU") + loss for name, loss in LOSSES.items()}
for _name, _net in NETS.items():  # several layers of a net are named "it": each gets a name of its own
    for _count in range(_net.count('name: "it"')):
        _net = _net.replace('name: "it"', f'name: "it{_count}"', 1)
    NETS[_name] = _net
