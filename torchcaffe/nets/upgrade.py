"""Upgrades old nets and solvers as Caffe does: V0 and V1 `layers`, inputs without a layer, BatchNorm layers with three
`param`, `solver_type`.

Source followed: BVLC Caffe's util/upgrade_proto.cpp.
"""

import os
from pathlib import Path

from caffeformat.caffeformat_pb2 import (
    BlobShape,
    LayerParameter,
    NetParameter,
    ParamSpec,
    SolverParameter,
    V1LayerParameter,
)
from torchcaffe.common import log
from torchcaffe.nets import upgrade_v0
from torchcaffe.nets.parsed_net import ParsedNet

_V1 = V1LayerParameter
_TYPES = {
    _V1.NONE: "",
    _V1.ABSVAL: "AbsVal",
    _V1.ARGMAX: "ArgMax",
    _V1.BNLL: "BNLL",
    _V1.HDF5_DATA: "HDF5Data",
    _V1.HDF5_OUTPUT: "HDF5Output",
    _V1.LRN: "LRN",
    _V1.MVN: "MVN",
    _V1.RELU: "ReLU",
    _V1.SOFTMAX_LOSS: "SoftmaxWithLoss",
    _V1.TANH: "TanH",
}  # all others are the words of the enum's name, capitalized: INNER_PRODUCT becomes InnerProduct
_TRANSFORM = ("scale", "mean_file", "crop_size", "mirror")


def net(parsed: ParsedNet, path: str) -> ParsedNet:
    """Upgrades `parsed` in place and returns it. Raises Fatal."""
    if upgrade_v0.is_v0(parsed.param):
        upgrade_v0.net(parsed, path)
    param = parsed.param
    if any(_transforms(layer) for layer in param.layers):
        _upgrade_data(param, path)
    if param.layers:
        _upgrade_v1(param, path)
    if param.input:
        _upgrade_input(parsed, path)
    if any(_has_three_params(layer) for layer in param.layer):
        _upgrade_batch_norm(param, path)
    return parsed


def _transforms(layer: V1LayerParameter) -> list[tuple[str, str]]:
    """The fields of today's transform_param that `layer` gives in its old place: (message, field) pairs."""
    messages = {_V1.DATA: "data_param", _V1.IMAGE_DATA: "image_data_param", _V1.WINDOW_DATA: "window_data_param"}
    message = messages.get(layer.type)
    return [(message, name) for name in _TRANSFORM if message and getattr(layer, message).HasField(name)]


def _upgrade_data(param: NetParameter, path: str) -> None:
    deprecated = "Attempting to upgrade input file specified using deprecated transformation parameters: "
    log.info("upgrade_proto.cpp:46", deprecated + path)
    for layer in param.layers:
        for message, name in _transforms(layer):
            old = getattr(layer, message)
            setattr(layer.transform_param, name, getattr(old, name))
            old.ClearField(name)
    success = "Successfully upgraded file specified using deprecated data transformation parameters."
    log.info("upgrade_proto.cpp:49", success)
    future = "Note that future Caffe releases will only support transform_param messages for transformation fields."
    log.warning("upgrade_proto.cpp:51", future)


def _upgrade_v1(param: NetParameter, path: str) -> None:
    deprecated = "Attempting to upgrade input file specified using deprecated V1LayerParameter: "
    log.info("upgrade_proto.cpp:55", deprecated + path)
    both = f"{path}: the net has both 'layer' and 'layers' (the format of 2014); write them all as 'layer'"
    log.check(not param.layer, both, "upgrade_proto.cpp:671")
    param.layer.extend(v1_layer(layer) for layer in param.layers)
    del param.layers[:]
    success = "Successfully upgraded file specified using deprecated V1LayerParameter"
    log.info("upgrade_proto.cpp:63", success)


def v1_layer(old: V1LayerParameter) -> LayerParameter:
    """A V1 layer (2014) in today's format. Most fields have the same names in both; the renamed ones follow below."""
    new = LayerParameter()
    if old.HasField("name"):
        new.name = old.name
    for field, value in old.ListFields():
        same = LayerParameter.DESCRIPTOR.fields_by_name.get(field.name)
        if same is None or field.name in ("type", "param"):
            continue
        if field.is_repeated:
            getattr(new, field.name).extend(value)
        elif field.message_type:
            getattr(new, field.name).CopyFrom(value)
    if old.HasField("type"):
        words = _V1.LayerType.Name(old.type).split("_")
        new.type = _TYPES.get(old.type, "".join(word.capitalize() for word in words))
    for values, name in (
        (old.param, "name"),
        (old.blob_share_mode, "share_mode"),
        (old.blobs_lr, "lr_mult"),
        (old.weight_decay, "decay_mult"),
    ):
        for index, value in enumerate(values):
            if index == len(new.param):
                new.param.append(ParamSpec())
            setattr(new.param[index], name, value)
    return new


def _upgrade_input(parsed: ParsedNet, path: str) -> None:
    param = parsed.param
    deprecated = "Attempting to upgrade input file specified using deprecated input fields: "
    log.info("upgrade_proto.cpp:69", deprecated + path)
    shapes = list(param.input_shape) or [
        BlobShape(dim=param.input_dim[start : start + 4]) for start in range(0, len(param.input_dim), 4)
    ]
    if shapes:
        few = f"{path}: {len(param.input)} inputs, but {len(shapes)} shapes; give each input four input_dim or a shape"
        log.check(len(shapes) >= len(param.input), few, "upgrade_proto.cpp:1000")
        layer = LayerParameter(name="input", type="Input", top=param.input)
        layer.input_param.shape.extend(shapes[: len(param.input)])
        layers = [layer, *param.layer]
        del param.layer[:]
        param.layer.extend(layers)
        parsed.places.insert(0, f"{path}, input fields")
    for name in ("input", "input_shape", "input_dim"):
        param.ClearField(name)
    log.info("upgrade_proto.cpp:72", "Successfully upgraded file specified using deprecated input fields.")
    future = "Note that future Caffe releases will only support input layers and not input fields."
    log.warning("upgrade_proto.cpp:74", future)


def _has_three_params(layer: LayerParameter) -> bool:
    return layer.type == "BatchNorm" and len(layer.param) == 3


def _upgrade_batch_norm(param: NetParameter, path: str) -> None:
    """Until 2017 prototxts gave a BatchNorm three `param` with lr_mult 0, because its blobs are not learned."""
    log.info("upgrade_proto.cpp:79", f"Attempting to upgrade batch norm layers using deprecated params: {path}")
    for layer in filter(_has_three_params, param.layer):
        for spec in layer.param:
            spec.lr_mult = spec.decay_mult = 0
    log.info("upgrade_proto.cpp:82", "Successfully upgraded batch norm layers using deprecated params.")


def solver(param: SolverParameter, path: str) -> SolverParameter:
    """Upgrades `param` in place and returns it: `solver_type` becomes `type`, and it has a snapshot_prefix.

    `path` is the solver's file, from which a missing prefix is derived. Raises Fatal.
    """
    if param.HasField("solver_type"):
        old = "Attempting to upgrade input file specified using deprecated 'solver_type' field (enum)': "
        log.info("upgrade_proto.cpp:1084", old + path)
        both = f"{path}: solver_type (the old field) and type are both given; give type alone"
        log.check(not param.HasField("type"), both, "upgrade_proto.cpp:1043")
        names = {"NESTEROV": "Nesterov", "ADAGRAD": "AdaGrad", "RMSPROP": "RMSProp", "ADADELTA": "AdaDelta"}
        name = SolverParameter.SolverType.Name(param.solver_type)
        param.type = names.get(name, "Adam" if name == "ADAM" else name)
        param.ClearField("solver_type")
        success = "Successfully upgraded file specified using deprecated 'solver_type' field (enum) to 'type' field"
        log.info("upgrade_proto.cpp:1091", f"{success} (string).")
        future = "Note that future Caffe releases will only support 'type' field (string) for a solver's type."
        log.warning("upgrade_proto.cpp:1093", future)
    if not param.HasField("snapshot_prefix"):
        param.snapshot_prefix = os.path.splitext(path)[0]
        log.info("upgrade_proto.cpp:1108", f"snapshot_prefix was not specified and is set to {param.snapshot_prefix}")
    elif os.path.isdir(param.snapshot_prefix):
        param.snapshot_prefix = prefix = os.path.join(param.snapshot_prefix, Path(path).stem)
        log.info("upgrade_proto.cpp:1113", f"snapshot_prefix was a directory and is replaced to {prefix}")
    return param
