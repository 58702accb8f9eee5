"""pycaffe's NetSpec: nets written in Python.

    from torchcaffe import layers as L, params as P
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 3, 8, 8]))
    n.conv = L.Convolution(n.data, num_output=4, kernel_size=3)
    n.pool = L.Pooling(n.conv, pool=P.Pooling.MAX, kernel_size=2)
    str(n.to_proto())  # the prototxt

Source followed: BVLC Caffe's python/caffe/net_spec.py.
"""

from collections import Counter
from collections.abc import Callable

from google.protobuf.message import Message

from torchcaffe.proto import caffe_pb2

Names = dict["Top | Function", str]
Built = dict["Function", caffe_pb2.LayerParameter]


class Top:
    """Top `n` of the layer that `fn` describes."""

    def __init__(self, fn: "Function", n: int):
        self.fn = fn
        self.n = n

    def to_proto(self) -> caffe_pb2.NetParameter:
        """A net of all layers that this top needs, with names of their own."""
        return to_proto(self)


class Function:
    """A layer: its type, the tops that it reads, and its settings as keywords.

    `ntop` is the number of its tops, `in_place` gives them the names of the bottoms.
    """

    def __init__(self, type_name: str, inputs: tuple[Top, ...], params: dict[str, object]):
        for index, each in enumerate(inputs):
            if not isinstance(each, Top):
                raise TypeError(f"{type_name} input {index} is not a Top (type is {type(each)})")
        self.type_name = type_name
        self.inputs = inputs
        self.params = dict(params)
        self.ntop = int(str(self.params.pop("ntop", 1)))
        self.in_place = bool(self.params.pop("in_place", False))
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def build(self, layers: Built, names: Names, autonames: "Counter[str]") -> None:
        """Adds the layer to `layers`, after those that it reads. `names` are those given so far; what has none is
        called by its type and a number."""
        if self in layers:
            return
        for each in self.inputs:
            each.fn.build(layers, names, autonames)
        layer = caffe_pb2.LayerParameter(type=self.type_name)
        layer.bottom.extend(layers[each.fn].top[each.n] for each in self.inputs)
        tops = [] if self.in_place else [self._name(top, names, autonames) for top in self.tops]
        layer.top.extend(layer.bottom if self.in_place else tops)
        if self not in names:
            names[self] = self._name(self.tops[0] if self.tops else self, names, autonames)
        layer.name = names[self]
        for key, value in self.params.items():
            self._set(layer, key, value)
        layers[self] = layer

    def _name(self, of: "Top | Function", names: Names, autonames: "Counter[str]") -> str:
        if of not in names:
            autonames[self.type_name] += 1
            names[of] = f"{self.type_name}{autonames[self.type_name]}"
        return names[of]

    def _set(self, layer: caffe_pb2.LayerParameter, key: str, value: object) -> None:
        """Sets a field of the layer's own parameters, such as convolution_param, or else of the layer."""
        own = _param_names.get(self.type_name)
        if not key.endswith("param") and own and key in getattr(layer, f"{own}_param").DESCRIPTOR.fields_by_name:
            assign_proto(getattr(layer, f"{own}_param"), key, value)
        elif key in layer.DESCRIPTOR.fields_by_name:
            assign_proto(layer, key, value)
        else:
            places = f"{own}_param and LayerParameter have" if own else "LayerParameter has"
            raise AttributeError(f"layers.{self.type_name}: {places} no field {key}")


class NetSpec:
    """A net: what is assigned to its attributes are tops, and the attributes' names are those of blobs and layers."""

    tops: dict[str, Top | Function]

    def __init__(self) -> None:
        super().__setattr__("tops", {})

    def __setattr__(self, name: str, value: Top | Function) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Top | Function:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.tops[name]

    def __setitem__(self, name: str, value: Top | Function) -> None:
        self.tops[name] = value

    def __getitem__(self, name: str) -> Top | Function:
        return self.tops[name]

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The net as a message; its text, `str(...)`, is the prototxt."""
        return _net(list(self.tops.values()), {top: name for name, top in self.tops.items()})


class Layers:
    """Has a function for every layer type: `layers.ReLU(top, in_place=True)` gives its top, its tops, or, with
    ntop=0, the layer."""

    def __getattr__(self, name: str) -> Callable[..., "Top | Function | tuple[Top, ...]"]:
        if name.startswith("__"):
            raise AttributeError(name)

        def layer(*inputs: Top, **params: object) -> "Top | Function | tuple[Top, ...]":
            fn = Function(name, inputs, params)
            return fn if fn.ntop == 0 else fn.tops[0] if fn.ntop == 1 else fn.tops

        return layer


class Parameters:
    """Has the constants of layers' settings: `params.Pooling.MAX`."""

    def __getattr__(self, name: str) -> object:
        message = getattr(caffe_pb2, f"{name}Parameter", None)
        if message is None:
            raise AttributeError(f"params.{name}: Caffe has no {name}Parameter")
        return message


def to_proto(*tops: Top) -> caffe_pb2.NetParameter:
    """A net of all layers that `tops` need, with names of their own."""
    return _net(list(tops), {})


def assign_proto(proto: Message, name: str, val: object) -> None:
    """Sets a field: lists for repeated fields (a single value is a list of one), dicts for messages, else the value."""
    if hasattr(getattr(proto, name), "extend"):
        for value in val if isinstance(val, list | tuple) else [val]:
            if isinstance(value, dict):
                _fill(getattr(proto, name).add(), value)
            else:
                getattr(proto, name).append(value)
    elif isinstance(val, dict):
        _fill(getattr(proto, name), val)
    else:
        setattr(proto, name, val)


def param_name_dict() -> dict[str, str]:
    """Layer type -> the field with its settings, without `_param`: `InnerProduct` -> `inner_product`."""
    layer = caffe_pb2.LayerParameter()
    names = [name for name in layer.DESCRIPTOR.fields_by_name if name.endswith("_param")]
    return {
        type(getattr(layer, name)).__name__.removesuffix("Parameter"): name.removesuffix("_param") for name in names
    }


def _fill(proto: Message, values: dict[str, object]) -> None:
    for name, value in values.items():
        if name not in proto.DESCRIPTOR.fields_by_name:
            raise AttributeError(f"{type(proto).__name__} has no field {name}")
        assign_proto(proto, name, value)


def _net(tops: list[Top | Function], names: Names) -> caffe_pb2.NetParameter:
    layers: Built = {}
    autonames: Counter[str] = Counter()
    for top in tops:
        (top.fn if isinstance(top, Top) else top).build(layers, names, autonames)
    return caffe_pb2.NetParameter(layer=layers.values())


_param_names = param_name_dict()
layers = Layers()
params = Parameters()
