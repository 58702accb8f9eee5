"""Gradients of a net against differences of its outputs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

import torchcaffe as caffe
from tests.helpers.both_engines import Figures

STEP = 1e-6
TOLERANCE = 1e-6


def built(folder: Path, text: str) -> tuple[caffe.Net, np.random.Generator]:
    (folder / "net.prototxt").write_text(text)
    net, random = caffe.Net(folder / "net.prototxt", caffe.TEST), np.random.default_rng(6)
    for name in net.inputs:
        net.blobs[name].data = random.standard_normal(net.blobs[name].shape)
    return net, random


def check(net: caffe.Net, random: np.random.Generator, score: Callable[[], float], figures: Figures) -> None:
    """Along a random direction of each blob that has a gradient."""
    blobs = [net.blobs[name] for name in net.inputs if name != "label"] + [b for bs in net.params.values() for b in bs]
    for blob in blobs:
        direction, values = random.standard_normal(blob.shape), blob.data.copy()
        slope = float((blob.diff * direction).sum())
        scores = []
        for sign in (1, -1):
            blob.data = values + sign * STEP * direction
            scores.append(score())
        blob.data = values
        difference = (scores[0] - scores[1]) / (2 * STEP)
        size = np.linalg.norm(blob.diff) * np.linalg.norm(direction) or 1  # what has no gradient must have no slope
        figures.note("gradients against differences, float64", abs(slope - difference) / size, TOLERANCE)
