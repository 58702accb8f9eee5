"""caffe.Classifier against pycaffe's."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from tests.helpers.both_engines import net_of
from tests.helpers.real_caffe import RealCaffe

LAYERS = """
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param { num_output: 3 kernel_size: 3
  weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 4
  weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
PROGRAM = """
settings = {}
for name in ("mean", "image_dims", "channel_swap"):
    if name in given:
        settings[name] = given[name]
if "raw_scale" in given:
    settings["raw_scale"] = given["raw_scale"]
    settings["input_scale"] = 0.5
classifier = caffe.Classifier(given["path"], given["weights"], **settings)
images = [given["wide"], given["high"], given["wide"][:, ::-1]]
out["ten"] = classifier.predict(images)
out["centre"] = classifier.predict(images, oversample=False)
out["one"] = classifier.predict(images[:1], False)
out["dims"] = np.array([list(classifier.image_dims), list(classifier.crop_dims)])
"""
SETTINGS = {
    "plain": {},
    "resized": {"image_dims": [12, 13]},
    "all": {"image_dims": [11, 10], "raw_scale": 255, "channel_swap": [2, 1, 0], "mean": np.array([90.0, 100, 110])},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_images_are_classified_as_by_pycaffe(real_caffe: RealCaffe, tmp_path: Path, settings: dict) -> None:
    path, weights = tmp_path / "net.prototxt", tmp_path / "it.caffemodel"
    path.write_text(net_of(LAYERS, x=(4, 3, 8, 8)))
    caffe.set_random_seed(2)
    caffe.Net(path, caffe.TEST).save(weights)
    random = np.random.default_rng(3)
    images = {
        name: random.random(shape).astype(np.float32) for name, shape in (("wide", (9, 15, 3)), ("high", (20, 6, 3)))
    }
    given = {"path": str(path), "weights": str(weights), **images, **settings}
    right = real_caffe.run(PROGRAM, **given)
    found: dict[str, np.ndarray] = {}
    exec(PROGRAM, {"caffe": caffe, "np": np, "given": given, "out": found})
    assert found.keys() == right.keys() and right["ten"].shape == (3, 4)
    for name in right:
        np.testing.assert_allclose(found[name], right[name], rtol=1e-4, err_msg=name)
