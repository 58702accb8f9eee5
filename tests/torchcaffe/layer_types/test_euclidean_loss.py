"""EuclideanLoss against real Caffe."""

from pathlib import Path

from tests.helpers.both_engines import Both, Figures, net_of
from tests.helpers.layer_text import layer
from tests.helpers.real_caffe import RealCaffe


def test_euclidean_loss(real_caffe: RealCaffe, tmp_path: Path, figures: Figures) -> None:
    for shape in ((4, 3), (4, 3, 2, 2)):
        text = net_of(layer("EuclideanLoss", "loss_weight: 1.5", "x z"), x=shape, z=shape)
        Both(real_caffe, text, tmp_path).agree(figures, "EuclideanLoss")
