"""What a run must prove about its layers, and that each violation is found. The nets are real caffemodels."""

from pathlib import Path

import numpy as np
import pytest

from caffeformat import prototxt
from caffeformat.blobs import caffemodel_bytes, layer_blob_bytes
from caffeformat.caffeformat_pb2 import NetParameter
from tools.nets.surgery import LayerPlan
from tools.protocol.layout import Run
from tools.training.proofs import ProofFailed, check_end, check_ignored, check_start, start_solver

PLAN = [
    LayerPlan("conv1", "conv1", copied=True, frozen=True),
    LayerPlan("conv2", "conv2", copied=True, frozen=False),
    LayerPlan("fc8", "fc8_T", copied=False, frozen=False),
]
Net = dict[str, list[np.ndarray]]


def net(**changed: float) -> Net:
    """Weights and biases of three layers; `changed` is added to the bias of a layer."""
    values = {
        name: [np.full((2, 3), i, np.float32), np.full(2, -i, np.float32)]
        for i, name in enumerate(("conv1", "conv2", "fc8"))
    }
    for name, by in changed.items():
        values[name][1] += np.float32(by)
    return values


def renamed(values: Net, by: float = 1) -> Net:
    """The net with fc8 under its new name, its weights changed by `by`."""
    weights, bias = values.pop("fc8")
    return values | {"fc8_T": [weights + np.float32(by), bias]}


@pytest.fixture
def write(tmp_path: Path):
    def written(name: str, values: Net) -> Path:
        path = tmp_path / f"{name}.caffemodel"
        path.write_bytes(caffemodel_bytes(values))
        return path

    return written


def test_exactly_the_renamed_layers_are_ignored() -> None:
    assert check_ignored(PLAN, ["fc8", "fc8_fc8_0_split"]) == ["fc8"]
    for ignored in ([], ["fc8", "conv2"]):
        with pytest.raises(
            ProofFailed, match=r"the log says that layers \[.*\] of the source net were ignored, not \['fc8'\]"
        ):
            check_ignored(PLAN, ignored)


def test_a_layer_of_the_template_may_be_named_as_caffe_names_its_own() -> None:
    plan = [LayerPlan("conv1_split", "conv1_split", True, True), LayerPlan("fc8_split", "fc8_split_T", False, False)]
    assert check_ignored(plan, ["fc8_split", "fc8_split_fc8_split_0_split"]) == ["fc8_split"]
    with pytest.raises(ProofFailed, match=r"layers \['conv1_split', 'fc8_split'\] of the source net were ignored, not"):
        check_ignored(plan, ["conv1_split", "fc8_split"])


def test_a_layer_that_keeps_some_filters_under_its_name_is_not_ignored() -> None:
    plan = [LayerPlan("conv2", "conv2", True, True, "8 of 16"), LayerPlan("conv2", "conv2_T", False, False)]
    assert check_ignored(plan, []) == []


def test_copied_layers_start_as_the_source_nets_and_random_ones_do_not(write) -> None:
    source = layer_blob_bytes(write("source", net()))
    start = write("start", renamed(net()))
    assert check_start(PLAN, start, source, NetParameter()) == {"copied_equal": 2, "random_differ": 1}
    with pytest.raises(ProofFailed, match="layer conv2 should start as a copy of the source net's conv2, and does not"):
        check_start(PLAN, write("start", renamed(net(conv2=1e-6))), source, NetParameter())
    with pytest.raises(ProofFailed, match="layer fc8_T should start random, and starts as the source net's fc8"):
        check_start(PLAN, write("start", renamed(net(), by=0)), source, NetParameter())


def test_a_layer_whose_weights_the_plan_does_not_name_is_found(write) -> None:
    source, more = layer_blob_bytes(write("source", net())), {"py": [np.ones(2, np.float32)]}
    with pytest.raises(
        ProofFailed, match=r"start.caffemodel: layer py has weights, and the copy plan does not name it"
    ):
        check_start(PLAN, write("start", renamed(net()) | more), source, NetParameter())


@pytest.mark.parametrize(
    ("layer", "proves"),
    [
        ('type: "Scale" param { lr_mult: 0 } scale_param { filler { value: 30 } }', False),  # as NormFace has it
        ('type: "InnerProduct" param { lr_mult: 0 } inner_product_param { num_output: 2 }', False),
        ('type: "Scale" param { lr_mult: 1 } scale_param { filler { value: 30 } }', True),
        ('type: "InnerProduct" param { lr_mult: 0 } inner_product_param { weight_filler { type: "xavier" } }', True),
        ('type: "BatchNorm" param { lr_mult: 0 } batch_norm_param { eps: 1e-4 }', True),
    ],
)
def test_a_layer_that_is_fixed_at_a_constant_need_not_differ(write, layer: str, proves: bool) -> None:
    template = prototxt.parse(f'layer {{ name: "fc8_T" {layer} }}', NetParameter(), "net")
    source, start = layer_blob_bytes(write("source", net())), write("start", renamed(net(), by=0))
    if proves:
        with pytest.raises(ProofFailed, match="layer fc8_T should start random"):
            check_start(PLAN, start, source, template)
    else:
        assert check_start(PLAN, start, source, template) == {"copied_equal": 2, "random_differ": 0}


def test_frozen_layers_end_as_they_started_biases_included(write) -> None:
    start = write("start", renamed(net()))
    end = write("end", renamed(net(conv2=0.5), by=2))
    assert check_end(PLAN, start, end) == {"frozen_equal": 1, "learning_moved": 2}
    with pytest.raises(ProofFailed, match="layer conv1 was frozen, and its blobs changed in training"):
        check_end(PLAN, start, write("end", renamed(net(conv1=1e-6))))


def test_the_solver_that_writes_the_start_trains_and_tests_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run("demo", "A2B", 60, "S3T", 0)
    run.folder.mkdir(parents=True)
    (run.folder / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 max_iter: 300 display: 20 snapshot: 300 test_iter: 100 test_interval: 100 '
        'random_seed: 7 snapshot_prefix: "x"'
    )
    solver = prototxt.read_solver(start_solver(run))
    assert (solver.max_iter, solver.display, solver.snapshot, list(solver.test_iter)) == (0, 0, 0, [])
    assert (solver.net, solver.random_seed, solver.base_lr) == ("net.prototxt", 7, pytest.approx(0.1))
    assert solver.snapshot_prefix == str(run.folder / "start")
