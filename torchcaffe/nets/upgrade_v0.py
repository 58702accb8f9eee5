"""Upgrades nets of 2013 (V0, `layers { layer { type: "conv" ... } bottom: ... }`) to the format of 2014 (V1).

In V0 one message holds the settings of all layer types. Each setting moves to the message of its layer's type. A layer
of type `padding` becomes the `pad` of the layer that reads it. Source followed: BVLC Caffe's util/upgrade_proto.cpp.
"""

from caffeformat.caffeformat_pb2 import NetParameter, V0LayerParameter, V1LayerParameter
from torchcaffe.common import log
from torchcaffe.nets.parsed_net import ParsedNet

_V1 = V1LayerParameter
_RENAMED = {
    "conv": _V1.CONVOLUTION,
    "images": _V1.IMAGE_DATA,
    "innerproduct": _V1.INNER_PRODUCT,
    "pool": _V1.POOLING,
}
_SAME_NAME = """accuracy bnll concat data dropout euclidean_loss flatten hdf5_data hdf5_output im2col infogain_loss lrn
multinomial_logistic_loss relu sigmoid softmax softmax_loss split tanh window_data"""
_TYPES = _RENAMED | {name: getattr(_V1, name.upper()) for name in _SAME_NAME.split()}

# The message in V1 that holds a type's settings. For all other types it is NAME_param.
_MESSAGES = {
    "conv": "convolution_param",
    "images": "image_data_param",
    "innerproduct": "inner_product_param",
    "pool": "pooling_param",
}
# A setting of V0; the line of upgrade_proto.cpp that logs it as unknown for a layer type; the types that have it; its
# name in V1, if that differs. In the order in which Caffe checks them.
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


def net(parsed: ParsedNet, path: str) -> ParsedNet:
    """Upgrades `parsed` to V1 in place and returns it. Raises Fatal.

    As in Caffe, only the net's name, inputs and force_backward are kept of its other settings.
    """
    deprecated = "Attempting to upgrade input file specified using deprecated V0LayerParameter: "
    log.info("upgrade_proto.cpp:28", deprecated + path)
    old, places = parsed.param, parsed.places
    both = f"{path}: the net has both 'layer' and 'layers' with a `layer` inside (the format of 2013); use one format"
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
    parsed.param, parsed.places = new, [place for _, place in kept]
    return parsed


def _without_padding(param: NetParameter, places: list[str]) -> list[tuple[V1LayerParameter, str]]:
    """The layers and their places. A `padding` layer is merged into the convolution or pooling that reads it."""
    producers: dict[str, V1LayerParameter | None] = dict.fromkeys(param.input)
    kept = []
    for old, place in zip(param.layers, places, strict=True):
        layer = V1LayerParameter()
        layer.CopyFrom(old)
        if layer.layer.type != "padding":
            kept.append((layer, place))
        for index, name in enumerate(layer.bottom):
            unknown = f"{place}: Unknown blob input {name} to layer {index}"
            log.check(name in producers, unknown, "upgrade_proto.cpp:165")
            producer = producers[name]
            if producer is not None and producer.layer.type == "padding":
                _check_padding(layer, producer, place)
                layer.layer.pad = producer.layer.pad
                layer.bottom[index] = producer.bottom[0]
        producers |= dict.fromkeys(layer.top, old)
    return kept


def _check_padding(reader: V1LayerParameter, padding: V1LayerParameter, place: str) -> None:
    kind = reader.layer.type
    wrong_type = f"{place}: Padding layer input to non-convolutional / non-pooling layer type {kind}"
    log.check(kind in ("conv", "pool"), wrong_type, "upgrade_proto.cpp:177")
    one_bottom = f"{place}: layer '{reader.layer.name}', which reads a padding layer, takes a single blob as input."
    log.check(len(reader.bottom) == 1, one_bottom, "upgrade_proto.cpp:181")
    one_each = f"{place}: the padding layer '{padding.layer.name}' takes a single blob and produces a single blob"
    log.check(len(padding.bottom) == len(padding.top) == 1, one_each, "upgrade_proto.cpp:183")


def _upgrade(old: V1LayerParameter, new: V1LayerParameter, place: str) -> bool:
    """Fills `new` from `old`. Returns whether every setting could be moved."""
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
    for name, new_name in _TRANSFORM.items():
        if layer.HasField(name):
            setattr(new.transform_param, new_name, getattr(layer, name))
    return all([_move(layer, new, *setting) for setting in _SETTINGS])


def _move(layer: V0LayerParameter, new: V1LayerParameter, name: str, line: int, types: str, new_name: str) -> bool:
    """Moves one setting of _SETTINGS, if it is given, into the message of its layer's type.

    Returns False and logs an error if the type has no such setting.
    """
    if not layer.HasField(name):
        return True
    if layer.type not in types.split():
        logged_name = "shuffle" if name == "shuffle_images" else name
        log.error(f"upgrade_proto.cpp:{line}", f"Unknown parameter {logged_name} for layer type {layer.type}")
        return False
    value, new_name = getattr(layer, name), new_name or name
    message = new if name == "hdf5_output_param" else getattr(new, _MESSAGES.get(layer.type, f"{layer.type}_param"))
    field = message.DESCRIPTOR.fields_by_name[new_name]
    if field.message_type:
        getattr(message, new_name).CopyFrom(value)
    elif field.is_repeated:
        getattr(message, new_name).append(value)
    else:
        setattr(message, new_name, value)
    return True
