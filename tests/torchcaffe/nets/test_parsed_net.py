"""Rules: which layers a phase, a level and stages include, as in Caffe."""

import pytest

import torchcaffe as caffe

IP = 'type: "InnerProduct" inner_product_param { num_output: 3 weight_filler { type: "xavier" } }'

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }\n'

RULES = INPUT + "\n".join(
    f'layer {{ name: "{name}" bottom: "x" top: "{name}" {rule} {IP} }}'
    for name, rule in {
        "always": "",
        "train": "include { phase: TRAIN }",
        "not train": "exclude { phase: TRAIN }",
        "level 1 on": "include { min_level: 1 }",
        "up to level 1": "include { max_level: 1 }",
        "stage a": 'include { stage: "a" }',
        "stages a and b": 'include { stage: "a" stage: "b" }',
        "not stage a": 'include { not_stage: "a" }',
        "not both": 'exclude { stage: "a" phase: TEST }',
        "either": 'include { stage: "b" } include { phase: TRAIN min_level: 2 }',
    }.items()
)


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
@pytest.mark.parametrize(("level", "stages"), [(0, []), (1, ["a"]), (2, ["a", "b"]), (-1, ["b"])])
def test_rules_choose_the_layers_that_caffe_chooses(real_caffe, tmp_path, phase, level, stages) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(RULES)
    program = """
net = caffe.Net(given["path"], given["phase"], level=given["level"], stages=given["stages"])
out["blobs"], out["layers"] = np.array(list(net.blobs)), np.array(list(net._layer_names))
"""
    right = real_caffe.run(program, path=str(path), phase=phase, level=level, stages=stages)
    net = caffe.Net(path, phase, level=level, stages=stages)
    assert list(net.blobs) == right["blobs"].tolist()
    assert net._layer_names == right["layers"].tolist()
