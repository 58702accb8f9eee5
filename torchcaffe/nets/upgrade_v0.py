"""Brings nets of 2013 (V0, `layers { layer { type: "conv" ... } bottom: ... }`) into the form of 2014 (V1).

One message held the settings of all types: each goes where its layer's type keeps it. A layer of type `padding`
becomes the `pad` of the one that reads it. Source followed: BVLC Caffe's util/upgrade_proto.cpp.
"""

from typing import TYPE_CHECKING

from caffeformat.caffeformat_pb2 import NetParameter, V0LayerParameter, V1LayerParameter
from torchcaffe.common import log

if TYPE_CHECKING:
    from torchcaffe.nets.parsed_net import Source

_V1 = V1LayerParameter
_RENAMED = {
    "conv": _V1.CONVOLUTION,
    "images": _V1.IMAGE_DATA,
    "innerproduct": _V1.INNER_PRODUCT,
    "pool": _V1.POOLING,
}
_SAME = """accuracy bnll concat data dropout euclidean_loss flatten hdf5_data hdf5_output im2col infogain_loss lrn
multinomial_logistic_loss relu sigmoid softmax softmax_loss split tanh window_data"""
_TYPES = _RENAMED | {name: _V1.LayerType.Value(name.upper()) for name in _SAME.split()}

_HOMES = {
    "conv": "convolution_param",
    "images": "image_data_param",
    "innerproduct": "inner_product_param",
    "pool": "pooling_param",
}  # of the others NAME_param
# A setting of V0, the line where Caffe complains of it in a type that has none, the types that have it, and its name
# in V1 where that is another one. In the order of Caffe's complaints.
_SETTINGS = [
    ("num_output", 237, "conv innerproduct", ""),
    ("biasterm", 249, "conv innerproduct", "bias_term"),
    ("weight_filler", 261, "conv innerproduct", ""),
    ("bias_filler", 273, "conv innerproduct", ""),
    ("pad", 283, "conv pool", ""),
    ("kernelsize", 295, "conv pool", "kernel_size"),
    ("group", 304, "conv", ""),
    ("stride", 316, "conv pool", ""),
    ("pool", 341, "pool", ""),
    ("dropout_ratio", 350, "dropout", ""),
    ("local_size", 359, "lrn", ""),
    ("alpha", 367, "lrn", ""),
    ("beta", 375, "lrn", ""),
    ("k", 383, "lrn", ""),
    ("source", 403, "data hdf5_data images window_data infogain_loss", ""),
    ("batchsize", 429, "data hdf5_data images window_data", "batch_size"),
    ("rand_skip", 449, "data images", ""),
    ("shuffle_images", 458, "images", "shuffle"),
    ("new_height", 467, "images", ""),
    ("new_width", 476, "images", ""),
    ("concat_dim", 485, "concat", ""),
    ("det_fg_threshold", 494, "window_data", "fg_threshold"),
    ("det_bg_threshold", 504, "window_data", "bg_threshold"),
    ("det_fg_fraction", 514, "window_data", "fg_fraction"),
    ("det_context_pad", 524, "window_data", "context_pad"),
    ("det_crop_mode", 534, "window_data", "crop_mode"),
    ("hdf5_output_param", 544, "hdf5_output", ""),
]
_TRANSFORM = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}


def is_v0(param: NetParameter) -> bool:
    return any(layer.HasField("layer") for layer in param.layers)


def net(source: "Source", path: str) -> "Source":
    """`source` with V1 layers. As in Caffe, of the net's other settings only name, inputs and force_backward stay.
    Raises Fatal."""
    deprecated = "Attempting to upgrade input file specified using deprecated V0LayerParameter: "
    log.info("upgrade_proto.cpp:28", deprecated + path)
    old, places = source.param, source.places
    both = f"{path}: the net has both 'layer' and 'layers' with a `layer` inside (the form of 2013); write one form"
    log.check(not old.layer, both, "upgrade_proto.cpp:671")
    kept = _without_padding(old, places)
    new = NetParameter(input=old.input, input_dim=old.input_dim)
    for name in ("name", "force_backward"):
        if old.HasField(name):
            setattr(new, name, getattr(old, name))
    compatible = True
    for layer, place in kept:
        compatible &= _upgrade(layer, new.layers.add(), place)
    if compatible:
        log.info("upgrade_proto.cpp:36", "Successfully upgraded file specified using deprecated V0LayerParameter")
    else:
        problems = "Warning: had one or more problems upgrading V0NetParameter to NetParameter (see above)"
        log.error("upgrade_proto.cpp:33", f"{problems}; continuing anyway.")
    future = "Note that future Caffe releases will not support V0NetParameter; use ./build/tools/upgrade_net_proto_text"
    future += " for prototxt and ./build/tools/upgrade_net_proto_binary for model weights upgrade this and any other "
    log.warning("upgrade_proto.cpp:39", future + "net protos to the new format.")
    source.param, source.places = new, [place for _, place in kept]
    return source


def _without_padding(param: NetParameter, places: list[str]) -> list[tuple[V1LayerParameter, str]]:
    """The layers and their places, the `padding` ones folded into the convolution or pooling that reads them."""
    makers: dict[str, V1LayerParameter | None] = dict.fromkeys(param.input)
    kept = []
    for old, place in zip(param.layers, places, strict=True):
        layer = V1LayerParameter()
        layer.CopyFrom(old)
        if layer.layer.type != "padding":
            kept.append((layer, place))
        for index, name in enumerate(layer.bottom):
            log.check(name in makers, f"{place}: Unknown blob input {name} to layer {index}", "upgrade_proto.cpp:165")
            maker = makers[name]
            if maker is not None and maker.layer.type == "padding":
                _check_padding(layer, maker, place)
                layer.layer.pad = maker.layer.pad
                layer.bottom[index] = maker.bottom[0]
        makers |= dict.fromkeys(layer.top, old)
    return kept


def _check_padding(reader: V1LayerParameter, padding: V1LayerParameter, place: str) -> None:
    kind = reader.layer.type
    wrong = f"{place}: Padding layer input to non-convolutional / non-pooling layer type {kind}"
    log.check(kind in ("conv", "pool"), wrong, "upgrade_proto.cpp:177")
    single = f"{place}: layer '{reader.layer.name}', behind a padding, takes a single blob as input."
    log.check(len(reader.bottom) == 1, single, "upgrade_proto.cpp:181")
    one = f"{place}: the padding layer '{padding.layer.name}' takes a single blob and produces a single one"
    log.check(len(padding.bottom) == len(padding.top) == 1, one, "upgrade_proto.cpp:183")


def _upgrade(old: V1LayerParameter, new: V1LayerParameter, place: str) -> bool:
    """Fills `new`; whether every setting found its place."""
    new.bottom.extend(old.bottom)
    new.top.extend(old.top)
    if not old.HasField("layer"):
        return True
    layer, kind = old.layer, old.layer.type
    if layer.HasField("name"):
        new.name = layer.name
    if layer.HasField("type"):
        log.check(kind in _TYPES, f"{place}: layer '{layer.name}': Unknown layer name: {kind}", "upgrade_proto.cpp:603")
        new.type = _TYPES[kind]
    for name in ("blobs", "blobs_lr", "weight_decay"):
        getattr(new, name).extend(getattr(layer, name))
    for name, today in _TRANSFORM.items():
        if layer.HasField(name):
            setattr(new.transform_param, today, getattr(layer, name))
    return all([_move(layer, new, *setting) for setting in _SETTINGS])


def _move(layer: V0LayerParameter, new: V1LayerParameter, name: str, place: int, types: str, today: str) -> bool:
    """Puts one setting, if it is given, where its type keeps it. A type that has none: the log says so."""
    if not layer.HasField(name):
        return True
    if layer.type not in types.split():
        called = "shuffle" if name == "shuffle_images" else name
        unknown = f"Unknown parameter {called} for layer type {layer.type}"
        log.error(f"upgrade_proto.cpp:{place}", unknown)
        return False
    value, today = getattr(layer, name), today or name
    home = new if name == "hdf5_output_param" else getattr(new, _HOMES.get(layer.type, f"{layer.type}_param"))
    field = home.DESCRIPTOR.fields_by_name[today]
    if field.message_type:
        getattr(home, today).CopyFrom(value)
    elif field.is_repeated:
        getattr(home, today).append(value)
    else:
        setattr(home, today, value)
    return True
