"""Accuracy against real Caffe."""

import numpy as np
import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import layer


@pytest.mark.parametrize("settings_", ["", "top_k: 3", "ignore_label: 2", "top_k: 2 ignore_label: 0", "axis: -1"])
@pytest.mark.parametrize("tops", ["y", "y classes"], ids=["in all", "class by class"])
def test_accuracy(real_caffe, tmp_path, figures, settings_, tops) -> None:
    random = np.random.default_rng(4)
    shape, labels = ((6, 3, 5), (6, 3)) if "axis" in settings_ else ((6, 5, 3), (6, 3))
    scores = random.integers(0, 6, shape)  # with equal ones, which count against the label
    text = net_of(layer("Accuracy", f"accuracy_param {{ {settings_} }}", "x label", tops), x=shape, label=labels)
    both = Both(real_caffe, text.replace("force_backward: true", ""), tmp_path, backward=False, x=scores,
                label=random.integers(0, 5, labels))  # fmt: skip
    both.agree(figures, "Accuracy")
