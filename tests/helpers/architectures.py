"""Well-known nets, built as messages from the tables of their papers: what a drop-in has to load, train and agree on.

LeNet and the CIFAR-10 nets are small enough to be written out. AlexNet and CaffeNet are the project's own templates, at
the 227 pixels of the paper.
"""

from pathlib import Path

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import LayerParameter, LRNParameter, NetParameter, PoolingParameter

TEMPLATES = Path(__file__).resolve().parents[2] / "prototxt"


class Builder:
    """A net that grows layer by layer; each method gives the name of the top that it made.

    Layers that can work in place do, unless `apart`.
    """

    def __init__(
        self,
        name: str,
        batch: int,
        size: int,
        classes: int,
        channels: int = 3,
        lr_mult: bool = True,
        apart: bool = False,
    ):
        self.net = NetParameter(name=name)
        self.lr_mult, self.apart = lr_mult, apart
        data = self.net.layer.add(name="data", type="DummyData", top=["data", "label"]).dummy_data_param
        data.shape.add(dim=(batch, channels, size, size))
        data.shape.add(dim=(batch,))
        data.data_filler.add(type="gaussian", std=50)
        data.data_filler.add(type="uniform", max=classes)

    def layer(self, type_: str, name: str, *bottoms: str, top: str | None = None) -> LayerParameter:
        return self.net.layer.add(name=name, type=type_, bottom=bottoms, top=[top or name])

    def conv(self, name: str, bottom: str, outputs: int, kernel: int, *, stride: int = 1, pad: int = 0, filler: str =
             "xavier", std: float = 1, bias: bool = True) -> str:  # fmt: skip
        layer = self.layer("Convolution", name, bottom)
        param = layer.convolution_param
        param.num_output, param.bias_term = outputs, bias
        param.kernel_size.append(kernel)
        param.stride.append(stride)
        param.pad.append(pad)
        param.weight_filler.type, param.weight_filler.std = filler, std
        self._rates(layer, bias)
        return name

    def inner(self, name: str, bottom: str, outputs: int, filler: str = "xavier", std: float = 1) -> str:
        layer = self.layer("InnerProduct", name, bottom)
        layer.inner_product_param.num_output = outputs
        layer.inner_product_param.weight_filler.type, layer.inner_product_param.weight_filler.std = filler, std
        self._rates(layer, True)
        return name

    def _rates(self, layer: LayerParameter, bias: bool) -> None:
        if self.lr_mult:
            layer.param.add(lr_mult=1, decay_mult=1)
            if bias:
                layer.param.add(lr_mult=2, decay_mult=0)

    def in_place(self, type_: str, suffix: str, blob: str) -> LayerParameter:
        name = f"{blob}/{suffix}"
        return self.layer(type_, name, blob, top=name if self.apart else blob)

    def relu(self, blob: str) -> str:
        return self.in_place("ReLU", "relu", blob).top[0]

    def drop(self, blob: str, ratio: float) -> str:
        layer = self.in_place("Dropout", "drop", blob)
        layer.dropout_param.dropout_ratio = ratio
        return layer.top[0]

    def pool(self, name: str, bottom: str, kernel: int, stride: int = 2, *, pad: int = 0, ave: bool = False) -> str:
        param = self.layer("Pooling", name, bottom).pooling_param
        param.pool = PoolingParameter.AVE if ave else PoolingParameter.MAX
        param.kernel_size, param.stride, param.pad = kernel, stride, pad
        return name

    def lrn(self, name: str, bottom: str, size: int, alpha: float, within: bool = False) -> str:
        param = self.layer("LRN", name, bottom).lrn_param
        param.local_size, param.alpha, param.beta = size, alpha, 0.75
        if within:
            param.norm_region = LRNParameter.WITHIN_CHANNEL
        return name

    def loss(self, name: str, scores: str, weight: float = 1) -> None:
        self.layer("SoftmaxWithLoss", name, scores, "label").loss_weight.append(weight)


def lenet() -> NetParameter:
    b = Builder("LeNet", batch=8, size=28, classes=10, channels=1)
    blob = b.pool("pool1", b.conv("conv1", "data", 20, 5), 2)
    blob = b.pool("pool2", b.conv("conv2", blob, 50, 5), 2)
    b.loss("loss", b.inner("ip2", b.relu(b.inner("ip1", blob, 500)), 10))
    return b.net


def cifar10(full: bool) -> NetParameter:
    """Three convolutions of 5x5, of which the last two pool by means; `full` normalizes within channels."""
    b = Builder("CIFAR10_full" if full else "CIFAR10_quick", batch=6, size=32, classes=10)
    small = {"pad": 2, "filler": "gaussian"}
    blob = b.relu(b.pool("pool1", b.conv("conv1", "data", 32, 5, std=0.0001, **small), 3))
    blob = b.lrn("norm1", blob, 3, 5e-5, within=True) if full else blob
    blob = b.pool("pool2", b.relu(b.conv("conv2", blob, 32, 5, std=0.01, **small)), 3, ave=True)
    blob = b.lrn("norm2", blob, 3, 5e-5, within=True) if full else blob
    blob = b.pool("pool3", b.relu(b.conv("conv3", blob, 64, 5, std=0.01, **small)), 3, ave=True)
    blob = blob if full else b.inner("ip1", blob, 64, "gaussian", 0.1)
    b.loss("loss", b.inner("score", blob, 10, "gaussian", 0.01 if full else 0.1))
    return b.net


def template(name: str, size: int = 227, apart: bool = False) -> NetParameter:
    """The project's alexnet or caffenet, for its TRAIN phase, at the paper's size."""
    net = prototxt.read_net(TEMPLATES / name / "train_val.prototxt")
    layers = [layer for layer in net.layer if layer.type not in ("Data", "Accuracy")]
    latest = dict[str, str]()  # blob -> what the layers so far made of it
    for layer in layers:
        bottoms = [latest.get(blob, blob) for blob in layer.bottom]
        if apart and list(layer.top) == list(layer.bottom):
            latest[layer.top[0]] = layer.top[0] = layer.name
        layer.bottom[:] = bottoms
    del net.layer[:]
    net.layer.extend([*Builder("", batch=2, size=size, classes=100).net.layer, *layers])
    return net


# Filters of each inception module: 1x1; 3x3 behind its reduction; 5x5 behind its reduction; behind the pool.
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def googlenet(batch: int = 1, apart: bool = False) -> NetParameter:
    """Szegedy et al., Going deeper with convolutions, table 1, with both auxiliary classifiers."""
    b = Builder("GoogLeNet", batch, size=224, classes=1000, apart=apart)
    blob = b.pool("pool1", b.relu(b.conv("conv1", "data", 64, 7, stride=2, pad=3)), 3)
    blob = b.relu(b.conv("conv2/reduce", b.lrn("norm1", blob, 5, 1e-4), 64, 1))
    blob = b.lrn("norm2", b.relu(b.conv("conv2", blob, 192, 3, pad=1)), 5, 1e-4)
    blob = b.pool("pool2", blob, 3)
    for name, filters in INCEPTIONS.items():
        if name in ("4a", "5a"):
            blob = b.pool(f"pool{int(name[0]) - 1}", blob, 3)
        blob = inception(b, f"inception_{name}", blob, *filters)
        if name in ("4a", "4d"):
            auxiliary(b, f"aux_{name}", blob)
    blob = b.drop(b.pool("pool5", blob, 7, 1, ave=True), 0.4)
    b.loss("loss", b.inner("score", blob, 1000))
    return b.net


def inception(b: Builder, name: str, blob: str, one: int, reduce3: int, three: int, reduce5: int, five: int,
              pooled: int) -> str:  # fmt: skip
    towers = [
        b.relu(b.conv(f"{name}/1x1", blob, one, 1)),
        b.relu(b.conv(f"{name}/3x3", b.relu(b.conv(f"{name}/3x3_reduce", blob, reduce3, 1)), three, 3, pad=1)),
        b.relu(b.conv(f"{name}/5x5", b.relu(b.conv(f"{name}/5x5_reduce", blob, reduce5, 1)), five, 5, pad=2)),
        b.relu(b.conv(f"{name}/pool_proj", b.pool(f"{name}/pool", blob, 3, 1, pad=1), pooled, 1)),
    ]
    b.layer("Concat", name, *towers)
    return name


def auxiliary(b: Builder, name: str, blob: str) -> None:
    blob = b.relu(b.conv(f"{name}/conv", b.pool(f"{name}/pool", blob, 5, 3, ave=True), 128, 1))
    blob = b.drop(b.relu(b.inner(f"{name}/fc", blob, 1024)), 0.7)
    b.loss(f"{name}/loss", b.inner(f"{name}/score", blob, 1000), weight=0.3)


def resnet50(batch: int = 2, size: int = 224, apart: bool = False) -> NetParameter:
    """He et al., Deep residual learning, table 1, with BatchNorm and Scale behind each convolution."""
    b = Builder("ResNet-50", batch, size, classes=1000, lr_mult=False, apart=apart)
    blob = b.pool("pool1", b.relu(normalized(b, "conv1", "data", 64, 7, stride=2, pad=3)), 3)
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 2):
        for block in range(blocks):
            stride = 2 if block == 0 and stage > 2 else 1
            blob = bottleneck(b, f"res{stage}{'abcdef'[block]}", blob, width, stride, project=block == 0)
    param = b.layer("Pooling", "pool5", blob).pooling_param
    param.pool, param.global_pooling = PoolingParameter.AVE, True
    b.loss("loss", b.inner("fc1000", "pool5", 1000))
    return b.net


def bottleneck(b: Builder, name: str, blob: str, width: int, stride: int, project: bool) -> str:
    """1x1, 3x3 and 1x1 filters, beside the bottom itself, or its projection to their size."""
    short = normalized(b, f"{name}/short", blob, 4 * width, 1, stride=stride) if project else blob
    inner = b.relu(normalized(b, f"{name}/a", blob, width, 1, stride=stride))
    inner = b.relu(normalized(b, f"{name}/b", inner, width, 3, pad=1))
    b.layer("Eltwise", name, short, normalized(b, f"{name}/c", inner, 4 * width, 1))
    return b.relu(name)


def normalized(b: Builder, name: str, bottom: str, outputs: int, kernel: int, stride: int = 1, pad: int = 0) -> str:
    blob = b.conv(name, bottom, outputs, kernel, stride=stride, pad=pad, filler="msra", bias=False)
    scale = b.in_place("Scale", "scale", b.in_place("BatchNorm", "bn", blob).top[0])
    scale.scale_param.bias_term = True
    return scale.top[0]


def vgg16(batch: int = 2, size: int = 224) -> NetParameter:
    """Simonyan and Zisserman, Very deep convolutional networks, table 1, column D."""
    b = Builder("VGG-16", batch, size, classes=1000)
    blob = "data"
    for stage, (count, width) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1):
        for index in range(count):
            blob = b.relu(b.conv(f"conv{stage}_{index + 1}", blob, width, 3, pad=1, filler="msra"))
        blob = b.pool(f"pool{stage}", blob, 2)
    for name in ("fc6", "fc7"):
        blob = b.drop(b.relu(b.inner(name, blob, 4096)), 0.5)
    b.loss("loss", b.inner("fc8", blob, 1000))
    return b.net


def lrcn(factored: bool, steps: int = 20, words: int = 8801, width: int = 1000) -> NetParameter:
    """Donahue et al., Long-term recurrent convolutional networks: CaffeNet, and an LSTM that reads the words so far.

    Its scores of the image are an input of all timesteps; `factored`, of a second LSTM above the first, else of the
    only one.
    """
    net = template("caffenet")
    del net.layer[-1]  # the loss
    data = net.layer[0]
    data.top[:] = ["data", "cont", "words", "target"]
    streams = data.dummy_data_param.shape[0].dim[0]
    del data.dummy_data_param.shape[1:], data.dummy_data_param.data_filler[:]
    for _ in range(3):
        data.dummy_data_param.shape.add(dim=(steps, streams))
    embed = net.layer.add(name="embed", type="Embed", bottom=["words"], top=["embed"]).embed_param
    embed.input_dim, embed.num_output, embed.bias_term = words, width, False
    layers = [("lstm1", ["embed", "cont"]), ("lstm2", ["lstm1", "cont", "fc8"])]
    for name, bottoms in layers if factored else [("lstm1", ["embed", "cont", "fc8"])]:
        net.layer.add(name=name, type="LSTM", bottom=bottoms, top=[name]).recurrent_param.num_output = width
    scores = net.layer.add(name="predict", type="InnerProduct", bottom=[name], top=["predict"]).inner_product_param
    scores.num_output, scores.axis = words, 2
    loss = net.layer.add(name="loss", type="SoftmaxWithLoss", bottom=["predict", "target"], top=["loss"])
    loss.softmax_param.axis = 2
    net.name = f"LRCN with {'two LSTMs' if factored else 'an LSTM'}"
    return net


NETS = {
    "LeNet": lenet,
    "CIFAR-10 quick": lambda: cifar10(full=False),
    "CIFAR-10 full": lambda: cifar10(full=True),
    "AlexNet": lambda **size: template("alexnet", **size),
    "CaffeNet": lambda **size: template("caffenet", **size),
    "GoogLeNet": googlenet,
    "ResNet-50": resnet50,
}
WIDE = {
    "VGG-16": vgg16,
    "LRCN, an LSTM": lambda: lrcn(factored=False),
    "LRCN, two LSTMs": lambda: lrcn(factored=True),
}  # too heavy for the tests: benchmarks/export_figures.py
SMALL = {"AlexNet": {"size": 99}, "CaffeNet": {"size": 99}, "ResNet-50": {"size": 96}}
