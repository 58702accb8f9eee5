"""Nets of random layers between random blobs, as prototxt text: what users write, and what nobody thinks of."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import assume
from hypothesis import strategies as st

import torchcaffe
from caffeformat import FormatError
from tests.helpers.both_engines import net_of
from torchcaffe.export.exporter import quiet

Shape = tuple[int, ...]
NAMES = ("conv1", "a/b", "1x1", "class", "self", "x.y", "fc-8", "torch", "data_1", "Net")
NEURONS = {
    "AbsVal": "",
    "BNLL": "",
    "Clip": "clip_param { min: -1 max: 0.5 }",
    "Dropout": "dropout_param { dropout_ratio: 0.3 }",
    "ELU": "elu_param { alpha: 0.7 }",
    "Exp": "exp_param { scale: 0.1 }",
    "PReLU": "",
    "Power": "power_param { scale: 0.5 shift: 1 }",
    "ReLU": "relu_param { negative_slope: 0.1 }",
    "Sigmoid": "",
    "Swish": "swish_param { beta: 1.3 }",
    "TanH": "",
    "Threshold": "threshold_param { threshold: 0.2 }",
}
SAFE_IN_PLACE = ("Dropout", "ReLU", "Sigmoid", "TanH", "ELU")


@dataclass
class RandomNet:
    """A net that grows. `inputs` and `shapes` are those of its blobs, `text` its layers."""

    folder: Path
    draw: Callable
    inputs: dict[str, Shape] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    text: str = ""
    refused: list[tuple[str, str]] = field(default_factory=list)  # nets that torchcaffe refused, and why

    def of(self, *choices: object) -> object:
        return self.draw(st.sampled_from(choices))

    def number(self, least: int, most: int) -> int:
        return self.draw(st.integers(least, most))

    def name(self) -> str:
        """One that no blob has."""
        name = self.of(*NAMES)
        return name if name not in self.shapes else f"{name}_{len(self.shapes)}"

    def add(self, type_: str, bottoms: list[str], settings: str, tops: int = 1, in_place: bool = False) -> None:
        """Adds the layer, unless torchcaffe refuses it."""
        names = bottoms[:1] if in_place else list(dict.fromkeys(f"{self.name()}{i or ''}" for i in range(tops)))
        blobs = " ".join([*(f'bottom: "{b}"' for b in bottoms), *(f'top: "{t}"' for t in names)])
        layer = f'layer {{ name: "{len(self.text)}/{names[0]}" type: "{type_}" {blobs} {settings} }}\n'
        path = self.folder / "growing.prototxt"
        path.write_text(net_of(self.text + layer, **self.inputs))
        try:
            with quiet():
                net = torchcaffe.Net(path, torchcaffe.TEST)
        except FormatError as error:
            self.refused.append((path.read_text(), str(error)))
            return
        self.text += layer
        self.shapes.update({name: tuple(net.blobs[name].shape) for name in names})

    def step(self) -> None:
        """Draws one more layer."""
        blob = self.of(*(name for name, shape in self.shapes.items() if shape))  # a sum over everything has no axes
        shape = self.shapes[blob]
        makers = [self.neuron, self.product, self.reshaped, self.joined, self.reduced]
        makers += [self.convolution, self.pooling, self.normalized] * (2 if len(shape) == 4 else 0)
        makers += [self.columns, self.pyramid] * (len(shape) == 4)
        in_time = (
            blob != "data" and len(shape) > 2 and self.inputs.get("cont") == shape[:2]
        )  # pixels saturate all gates
        makers += [self.recurrent] * (4 if in_time else 0)
        self.of(*makers)(blob, shape)

    def neuron(self, blob: str, shape: Shape) -> None:
        type_ = self.of(*NEURONS)
        self.add(type_, [blob], NEURONS[type_], in_place=type_ in SAFE_IN_PLACE and self.of(True, False))

    def product(self, blob: str, shape: Shape) -> None:
        turned = self.of("", "transpose: true", "bias_term: false")
        outputs, axis = self.number(1, 5), self.number(-len(shape), len(shape) - 1)
        shared = self.of("", f'param {{ name: "w{outputs}" }}')
        self.add(
            "InnerProduct", [blob], f"{shared} inner_product_param {{ num_output: {outputs} axis: {axis} {turned} }}"
        )

    def recurrent(self, blob: str, shape: Shape) -> None:
        statics = [name for name, other in self.shapes.items() if name == "vector" and other[:1] == shape[1:2]]
        static = self.of("", *statics)
        settings = f"recurrent_param {{ num_output: {self.number(1, 4)} }}"
        self.add(self.of("LSTM", "RNN"), [blob, "cont", *([static] if static else [])], settings)

    def convolution(self, blob: str, shape: Shape) -> None:
        type_ = self.of("Convolution", "Convolution", "Deconvolution")
        group = self.of(*(n for n in (1, 2, 3, shape[1]) if n and shape[1] % n == 0))
        settings = f"num_output: {group * self.number(1, 3)} group: {group} " + self.of("", "", "bias_term: false")
        settings += self.of(
            f" kernel_size: {self.number(1, 4)} stride: {self.number(1, 3)} pad: {self.number(0, 3)}",
            f" kernel_h: 3 kernel_w: {self.number(1, 4)} stride: 2 pad_h: {self.number(0, 2)} pad_w: 1",
            f" kernel_size: {self.number(1, 3)} kernel_size: 2 dilation: {self.number(1, 3)} pad: {self.number(0, 3)}",
        )
        shared = self.of("", "", 'param { name: "shared" }')
        self.add(type_, [blob], f"{shared} convolution_param {{ {settings} }}")

    def columns(self, blob: str, shape: Shape) -> None:
        settings = f"kernel_size: {self.number(1, 3)} stride: {self.number(1, 3)} pad: {self.number(0, 2)}"
        self.add("Im2col", [blob], f"convolution_param {{ {settings} dilation: {self.number(1, 2)} }}")

    def pyramid(self, blob: str, shape: Shape) -> None:
        settings = f"pyramid_height: {self.number(1, 3)} pool: {self.of('MAX', 'AVE')}"
        self.add("SPP", [blob], f"spp_param {{ {settings} }}")

    def pooling(self, blob: str, shape: Shape) -> None:
        kind = self.of("MAX", "AVE")
        settings = self.of(
            "global_pooling: true",
            f"kernel_size: {self.number(1, 4)} stride: {self.number(1, 4)} pad: {self.number(0, 2)}",
            f"kernel_h: {self.number(1, 3)} kernel_w: {self.number(1, 4)} stride_h: {self.number(1, 3)} stride_w: 1",
            f"kernel_size: {self.number(1, 3)} stride: {self.number(1, 3)} round_mode: FLOOR",
        )
        self.add("Pooling", [blob], f"pooling_param {{ pool: {kind} {settings} }}")

    def normalized(self, blob: str, shape: Shape) -> None:
        type_ = self.of("LRN", "BatchNorm", "MVN", "Scale", "Bias", "Softmax")
        settings = {
            "LRN": f"lrn_param {{ local_size: {self.of(1, 3, 5)} alpha: {self.of(0.1, 1)} beta: {self.of(0.75, 0.5)} "
            f"k: {self.of(1, 2)} norm_region: {self.of('ACROSS_CHANNELS', 'WITHIN_CHANNEL')} }}",
            "BatchNorm": f"batch_norm_param {{ eps: {self.of(1e-5, 0.01)} {self.of('', 'use_global_stats: false')} }}",
            "MVN": f"mvn_param {{ normalize_variance: {self.of('true', 'false')} across_channels: "
            f"{self.of('true', 'false')} }}",
            "Scale": f"scale_param {{ axis: {self.of(0, 1, 2, -1)} num_axes: {self.of(0, 1, 2)} bias_term: true }}",
            "Bias": f"bias_param {{ axis: {self.of(0, 1, 2, -1)} num_axes: {self.of(0, 1, 2)} }}",
            "Softmax": f"softmax_param {{ axis: {self.of(0, 1, 2, 3, -1)} }}",
        }[type_]
        self.add(type_, [blob], settings)

    def reshaped(self, blob: str, shape: Shape) -> None:
        type_ = self.of("Flatten", "Reshape", "Tile", "Slice", "Split")
        axis = self.number(-len(shape), len(shape) - 1)
        dims = self.of(
            "dim: 0 dim: -1", "dim: -1", "dim: 0 dim: 0 dim: -1 dim: 1", "dim: 1 dim: -1", "dim: 0 dim: -1 dim: 2"
        )
        settings = {
            "Flatten": f"flatten_param {{ axis: {axis} }}",
            "Reshape": f"reshape_param {{ shape {{ {dims} }} {self.of('', 'axis: 1', 'axis: 1 num_axes: 1')} }}",
            "Tile": f"tile_param {{ axis: {axis} tiles: {self.number(1, 3)} }}",
            "Slice": f"slice_param {{ axis: {axis} slice_point: {self.number(1, 3)} }}",
            "Split": "",
        }[type_]
        self.add(type_, [blob], settings, tops=2 if type_ in ("Slice", "Split") else 1)

    def joined(self, blob: str, shape: Shape) -> None:
        alike = [name for name, other in self.shapes.items() if other == shape]
        like = [name for name, other in self.shapes.items() if len(other) == len(shape)]
        type_ = self.of("Eltwise", "Concat", "Crop", "Scale", "Bias")
        other = self.of(*(alike if type_ == "Eltwise" else like if type_ in ("Concat", "Crop") else self.shapes))
        operation = self.of("SUM coeff: 1 coeff: -0.5", "SUM", "PROD", "MAX")
        axis = self.number(-len(shape), len(shape) - 1)
        settings = {
            "Eltwise": f"eltwise_param {{ operation: {operation} }}",
            "Concat": f"concat_param {{ axis: {axis} }}",
            "Crop": f"crop_param {{ axis: {axis} offset: {self.number(0, 1)} }}",
            "Scale": f"scale_param {{ axis: {axis} }}",
            "Bias": f"bias_param {{ axis: {axis} }}",
        }[type_]
        self.add(type_, [blob, other], settings)

    def reduced(self, blob: str, shape: Shape) -> None:
        axis = self.number(-len(shape), len(shape) - 1)
        type_ = self.of("Reduction", "ArgMax")
        if type_ == "Reduction":
            operation = self.of("SUM", "ASUM", "SUMSQ", "MEAN")
            self.add(type_, [blob], f"reduction_param {{ axis: {axis} operation: {operation} coeff: 0.5 }}")
        else:
            place = self.of("", f"axis: {axis}")
            more = self.of("", "out_max_val: true")
            self.add(type_, [blob], f"argmax_param {{ {place} {more} top_k: {self.number(1, 2)} }}")


@st.composite
def random_nets(draw: st.DrawFn, folder: Path, most: int = 6) -> RandomNet:
    """A net of an image input, sometimes of a vector or a sequence too, and at least one layer."""
    net = RandomNet(folder, draw)
    net.inputs = {"data": (2, net.number(1, 4), net.number(3, 9), net.number(3, 9))}
    if net.of(True, False, False):
        net.inputs["vector"] = (2, net.number(1, 4))
    if net.of(True, False, False):
        steps = net.number(1, 4)
        net.inputs |= {"sequence": (steps, 2, 3), "cont": (steps, 2)}
    net.shapes = dict(net.inputs)
    for _ in range(net.number(1, most)):
        net.step()
    assume(net.text)
    return net
