"""What the image is: programs that work, one Python for Caffe and the pipeline, nothing that is not needed to run."""

import cv2
import numpy as np
import pytest

from caffeformat import blobs

pytestmark = pytest.mark.slow


def test_caffe_is_bvlc_1_0_and_the_pipeline_finds_it_and_all_packages(image):
    assert image("caffe", "--version").splitlines()[0] == "caffe version 1.0.0"
    doctor = image("make", "doctor")
    assert "/opt/caffe/bin/caffe, caffe version 1.0.0" in doctor
    assert "as requirements.txt pins them" in doctor and "The demo can run" in doctor


def test_convert_imageset_and_compute_image_mean_give_the_mean_of_the_images(image):
    pictures = np.random.RandomState(0).randint(0, 256, (5, 8, 6, 3), np.uint8)
    for i, picture in enumerate(pictures):
        cv2.imwrite(str(image.work / f"{i}.png"), picture)
    (image.work / "list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(5)))
    image("convert_imageset", "./", "list.txt", "lmdb")
    image("compute_image_mean", "lmdb", "mean.binaryproto")
    mean = blobs.read_mean(image.work / "mean.binaryproto")
    np.testing.assert_allclose(mean, pictures.mean(0).transpose(2, 0, 1), rtol=1e-6)


PYTHON_LAYER = """
import sys
sys.path.insert(0, "/work")
import caffe, cv2, pydantic, snakemake
import numpy as np

net = caffe.NetSpec()
net.data = caffe.layers.Input(shape=dict(dim=[2, 3]))
net.sum = caffe.layers.InnerProduct(net.data, num_output=1, weight_filler=dict(type="constant", value=2))
net.out = caffe.layers.Python(net.sum, module="layers", layer="PlusOne")
open("/tmp/net.prototxt", "w").write(str(net.to_proto()))
net = caffe.Net("/tmp/net.prototxt", caffe.TEST)
net.blobs["data"].data[...] = np.arange(6).reshape(2, 3)
result = net.forward()["out"].tolist()
"""


def test_pycaffe_runs_a_net_with_a_python_layer_beside_the_pipelines_packages(image):
    (image.work / "layers.py").write_text("""
import caffe

class PlusOne(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data + 1
""")
    assert image.python(PYTHON_LAYER) == [[7], [25]]


def test_caffe_io_loads_and_resizes_an_image(image):
    cv2.imwrite(str(image.work / "gray.png"), np.full((4, 4), 51, np.uint8))
    code = "import caffe.io as io\nresult = io.resize_image(io.load_image('/work/gray.png'), (2, 2)).tolist()"
    np.testing.assert_allclose(image.python(code), np.full((2, 2, 3), 0.2), rtol=1e-5)


def test_it_starts_no_service_opens_no_port_and_is_not_root(image, config):
    assert config["Cmd"] == ["make"] and not config.get("Entrypoint")
    assert not config.get("ExposedPorts") and not config.get("Volumes")
    assert config["User"] == "1000:1000" and image("id", "-u").strip() == "1000"


def test_the_licences_of_caffe_and_of_the_project_are_in_it(image):
    assert "Copyright (c) 2014-2017 The Regents of the University of California" in image("cat", "/opt/caffe/LICENSE")
    assert "the caffe-transfer authors" in image("cat", "/opt/caffe-transfer/LICENSE")
    assert "BVLC Caffe" in image("cat", "/opt/caffe-transfer/LICENSE-CAFFE")


def test_what_built_it_is_not_in_it(image):
    tools = "gcc g++ cmake nvcc cuobjdump protoc patch"
    assert image.shell(f"for tool in {tools}; do command -v $tool || true; done") == ""
    leftovers = "/src /var/lib/apt/lists/*_* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb /root/.cache /tmp/*"
    headers = "/usr/include/*/ /opt/caffe/include /opt/caffe/lib/*.a /usr/lib/*/libcudart_static.a"
    assert image.shell(f"for path in {leftovers} {headers}; do [ ! -e $path ] || echo $path; done") == ""


def test_a_user_cannot_change_it(image):
    found = image.shell("find / -xdev -writable -not -type l -not -path '/proc/*' -not -path '/work*' || true")
    places = {line for line in found.splitlines() if line.startswith("/") and not line.startswith("/dev")}
    assert places <= {"/tmp", "/var/tmp", "/run/lock"}
