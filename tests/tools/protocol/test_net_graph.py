"""The graph of a net: its layers by phase, stage and level as real Caffe chooses them, and what each depends on."""

from pathlib import Path

import pytest

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import TEST, TRAIN, NetParameter, SolverParameter
from tests.helpers.real_caffe import RealCaffe
from tools.protocol.net_graph import NetGraph, graph_of

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }\n'


def ruled(name: str, rules: str) -> str:
    return f'layer {{ name: "{name}" type: "Power" bottom: "x" top: "{name}" {rules} }}\n'


RULES = {
    "everywhere": "",
    "train": "include { phase: TRAIN }",
    "no_train": "exclude { phase: TRAIN }",
    "either": "include { phase: TRAIN } include { phase: TEST }",
    "stage": 'include { stage: "v" }',
    "test_stage": 'include { phase: TEST stage: "v" }',
    "both_stages": 'include { stage: "v" stage: "w" }',
    "not_stage": 'include { phase: TEST not_stage: "v" }',
    "no_stage": 'exclude { stage: "v" }',
    "low": "include { max_level: 0 }",
    "high": "include { min_level: 1 }",
}
TEXT = INPUT + "".join(ruled(name, rules) for name, rules in RULES.items())


def net_of(text: str) -> NetParameter:
    return prototxt.parse(text, NetParameter(), "net")


@pytest.mark.parametrize("phase", [TRAIN, TEST])
@pytest.mark.parametrize(("level", "stages"), [(0, []), (1, ["v"]), (0, ["v", "w"])])
def test_a_phase_has_the_layers_that_real_caffe_gives_it(
    real_caffe: RealCaffe, tmp_path: Path, phase: int, level: int, stages: list[str]
) -> None:
    (tmp_path / "net.prototxt").write_text(TEXT)
    program = """
net = caffe.Net(given["path"], given["phase"], level=given["level"], stages=given["stages"])
out["names"] = np.array(list(net._layer_names))
"""
    found = real_caffe.run(program, path=str(tmp_path / "net.prototxt"), phase=phase, level=level, stages=stages)
    names = [name for name in found["names"].tolist() if not name.endswith("_split")]
    states = {"train_state" if phase == TRAIN else "test_state": {"level": level, "stage": stages}}
    if phase == TEST:
        states = {"test_state": [states["test_state"]]}
    graph = graph_of(net_of(TEXT), phase, SolverParameter(**states))
    assert [graph.net.layer[position].name for position in graph.layers] == names


def graph(*layers: tuple[str, str, str]) -> NetGraph:
    """A net of layers (name, bottoms, tops)."""
    lines = [
        f'layer {{ name: "{name}" type: "Power" '
        + " ".join([*(f'bottom: "{b}"' for b in bottoms.split()), *(f'top: "{t}"' for t in tops.split())])
        + " }"
        for name, bottoms, tops in layers
    ]
    return graph_of(net_of("\n".join(lines)), TEST)


def test_a_layer_depends_on_what_wrote_its_blobs_before_it_and_not_on_what_changes_them_later() -> None:
    net = graph(
        ("data", "", "x label"), ("a", "x", "y"), ("relu", "y", "y"), ("head", "y label", "h"), ("late", "y", "y")
    )
    assert net.above(3) == {0, 1, 2} and net.above(3, [1]) == {0}
    assert net.producing(["y"]) == {0, 1, 2, 4} and net.producing(["none"]) == set()


def test_the_outputs_are_the_blobs_that_no_layer_reads() -> None:
    net = graph(("data", "", "x label"), ("a", "x", "y"), ("relu", "y", "y"), ("head", "y label", "h"), ("b", "h", "h"))
    assert net.outputs == {"h"}


def test_the_depth_counts_the_layers_of_a_type_on_the_longest_way() -> None:
    net = graph(("data", "", "x"), ("a", "x", "a"), ("b", "a", "b"), ("c", "a b", "c"))
    assert net.depths(["Power"]) == {-1: 0, 0: 1, 1: 2, 2: 3, 3: 4}
    assert set(net.depths(["None"]).values()) == {0}


def test_the_nearest_layers_of_a_type_are_the_first_on_each_way_back() -> None:
    text = "".join(
        f'layer {{ name: "{name}" type: "{type_}" {" ".join(f"""bottom: "{b}" """ for b in bottoms)} top: "{top}" }}\n'
        for name, type_, bottoms, top in [
            ("a", "Convolution", "", "a"), ("b", "Convolution", "a", "b"), ("c", "Convolution", "a", "c"),
            ("relu", "ReLU", "c", "c"), ("sum", "Eltwise", "bc", "s"), ("d", "Power", "a", "d"),
        ]
    )  # fmt: skip
    net = graph_of(net_of(text + 'layer { name: "late" type: "ReLU" include { phase: TRAIN } }'), TEST)
    assert [net.nearest(position, ["Convolution"]) for position in range(7)] == [
        set(),
        {0},
        {0},
        {2},
        {1, 2},
        {0},
        set(),
    ]
