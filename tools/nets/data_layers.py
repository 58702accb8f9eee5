"""The Data layers of a template: one for each phase, and what they do to the images."""

from pathlib import Path

from caffeformat.caffeformat_pb2 import (
    LayerParameter,
    NetParameter,
    SolverParameter,
    TransformationParameter,
)
from tools.common.errors import UserError
from tools.protocol.experiment import Experiment
from tools.protocol.heads import Places
from tools.protocol.net_graph import PHASES, graph_of


def data_layers(net: NetParameter, file: Path, solver: SolverParameter) -> tuple[int, int]:
    """The positions of the one Data layer of the TRAIN phase and that of the TEST phase; `solver` has their states.

    Raises UserError, with all faults, where a phase has none or several, where both have the same one, and where the
    TEST phase does not read every image once, as it is.
    """
    places = Places(net, file)
    graphs = {name: graph_of(net, phase, solver) for phase, name in PHASES.items()}
    train, test = (graph.of_type("Data") for graph in graphs.values())
    faults = []
    for (name, graph), found in zip(graphs.items(), (train, test), strict=True):
        others = [at for at in graph.layers if not net.layer[at].bottom]
        if not found and others:
            named = ", ".join(f"{net.layer[at].name!r} ({net.layer[at].type})" for at in others)
            faults.append(
                f"{places[others[0]]}: no Data layer in the {name} phase, but {named}; write a Data layer in its "
                f"place, with include {{ phase: {name} }}: the pipeline makes its LMDB"
            )
        elif len(found) != 1:
            where = f" (at {', '.join(places[at] for at in found)})" if found else ""
            faults.append(
                f"{file}: {len(found)} Data layers in the {name} phase{where}; there must be exactly one, with "
                f"include {{ phase: {name} }}"
            )
    faults += [
        f"{places[at]}: Data layer {net.layer[at].name!r} is in both phases, and would train on the images that it is "
        "tested on; write one Data layer for each phase, with include { phase: TRAIN } and include { phase: TEST }"
        for at in train
        if at in test
    ]
    for at in test:
        faults += _test_faults(net.layer[at], places[at])
    if faults:
        raise UserError("\n".join(faults))
    return train[0], test[0]


def set_data(exp: Experiment, train: LayerParameter, test: LayerParameter) -> None:
    """Sets what the experiment file gives in the Data layers of both phases. Raises UserError for too large crops."""
    train.data_param.batch_size = exp.train_batch_size or train.data_param.batch_size
    test.data_param.batch_size = exp.test_batch_size or test.data_param.batch_size
    for layer in (train, test):
        layer.data_param.backend = layer.data_param.LMDB
        layer.transform_param.crop_size = exp.crop_size or layer.transform_param.crop_size
        if layer.transform_param.crop_size > exp.image_size:
            value = f"crops of {layer.transform_param.crop_size} in images of {exp.image_size}"
            raise exp.fault("crop_size", value, "at most image_size")


def check_transforms(exp: Experiment, net: NetParameter, file: Path, data: tuple[int, int]) -> None:
    """Raises UserError, with all faults, where Caffe refuses the means that the Data layers at `data` subtract, or
    where the TEST phase has other inputs than the net learns from."""
    places, channels = Places(net, file), 1 if exp.gray else 3
    faults = []
    for at in data:
        transform = net.layer[at].transform_param
        values = len(transform.mean_value)
        layer = f"{places[at]}: Data layer {net.layer[at].name!r}"
        if values and transform.HasField("mean_file"):
            faults.append(f"{layer}: mean_file and mean_value; Caffe takes one of them: remove the other")
        if values not in (0, 1, channels):
            right = f"once, or {channels} times: once a channel" if channels > 1 else "once: the images are gray"
            faults.append(f"{layer}: {values} times mean_value; give it {right}")
    train, test = (_inputs(net.layer[at].transform_param, channels) for at in data)
    layer = f"{places[data[1]]}: Data layer {net.layer[data[1]].name!r} of the TEST phase"
    faults += [
        f"{layer}: {tested}, but {learnt} in the TRAIN phase: the net would be tested on other inputs than "
        "it learns from; write the same into both"
        for learnt, tested in zip(train, test, strict=True)
        if learnt != tested
    ]
    if faults:
        raise UserError("\n".join(faults))


def _inputs(transform: TransformationParameter, channels: int) -> tuple[str, str]:
    """What is subtracted from the images, and what they are multiplied by."""
    values = [f"{value:g}" for value in transform.mean_value]
    mean = f"mean_value {', '.join(values * channels if len(values) == 1 else values)}"
    mean = mean if any(transform.mean_value) else "no mean"
    return "mean_file" if transform.HasField("mean_file") else mean, f"scale {transform.scale:g}"


def _test_faults(layer: LayerParameter, place: str) -> list[str]:
    changes = (
        ("mirror: true", layer.transform_param.mirror),
        (f"rand_skip: {layer.data_param.rand_skip}", layer.data_param.rand_skip),
    )
    return [
        f"{place}: Data layer {layer.name!r} of the TEST phase: {field}; a test reads every validation "
        "image once, as it is, and so does `predict`: remove it"
        for field, is_set in changes
        if is_set
    ]
