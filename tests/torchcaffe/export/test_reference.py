"""What an export is checked against."""

from pathlib import Path

import numpy as np
import pytest

from caffeformat import FormatError
from tests.helpers.exported import LENET, weighted
from torchcaffe.export.exporter import Options, load, quiet
from torchcaffe.export.reference import Case, ask, compute, find_pycaffe


@pytest.mark.slow
def test_caffe_and_torchcaffe_give_the_same_blobs(tmp_path: Path, pycaffe: Path) -> None:
    with quiet():
        loaded = load(Options(*weighted(tmp_path, LENET), "onnx", tmp_path / "out"), None)
        case = Case({"data": np.ones((3, 1, 12, 12), np.float32)}, {})
        answers = ask(loaded.param, loaded.options.caffemodel, [case], pycaffe, "torchcaffe")
        found = compute(loaded.param, loaded.options.caffemodel, case)
    assert answers.by == "BVLC Caffe 1.0.0" and found.keys() == answers.cases[0].keys()
    for name, array in found.items():
        np.testing.assert_allclose(array, answers.cases[0][name], rtol=1e-4, atol=1e-4)


def test_a_caffe_that_fails_is_told_and_torchcaffe_takes_its_place(tmp_path: Path) -> None:
    broken = tmp_path / "pycaffe"
    broken.write_text("#!/bin/sh\necho no such library >&2; exit 3\n")
    broken.chmod(0o755)
    with quiet():
        loaded = load(Options(*weighted(tmp_path, LENET), "onnx", tmp_path / "out"), None)
        answers = ask(loaded.param, loaded.options.caffemodel, [], broken, "torchcaffe 9")
    assert answers.by == "torchcaffe 9" and "exit 3: no such library" in answers.note


def test_a_caffe_that_is_named_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FormatError, match="--pycaffe=nowhere"):
        find_pycaffe("nowhere")
    monkeypatch.setenv("PYCAFFE", "none")
    assert find_pycaffe("") is None
