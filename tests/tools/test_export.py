"""The verb export: a run's net outside of Caffe, with its card."""

import shutil
from pathlib import Path

import pytest
import yaml

from caffeformat.caffeformat_pb2 import TransformationParameter
from tests.helpers.finished_runs import demo, finish
from tools import export
from tools.common.errors import UserError
from tools.common.files import read_json
from tools.protocol.experiment import Experiment
from tools.summarize import summarize

KEY = "A2B/n0012/base/seed0"
FOLDER = Path("results/quick/export/A2B-n0012-base-seed0")


@pytest.fixture
def exporter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchcaffe on the PATH, of this checkout."""
    pytest.importorskip("onnxruntime")
    if not shutil.which("torchcaffe"):
        monkeypatch.setattr(export, "find_exporter", lambda: Path(shutil.which("torchcaffe", path=".venv/bin") or ""))


@pytest.mark.slow
def test_a_run_of_caffe_becomes_onnx_and_pytorch_with_a_card(
    trained: Experiment, capsys: pytest.CaptureFixture
) -> None:
    summarize(trained, "caffe")
    export.main(["experiments/quick.yaml", KEY, "--to", "onnx,pytorch", "--preprocess"])
    assert "against BVLC Caffe 1.0.0, on random inputs and real inputs" in capsys.readouterr().out
    names = sorted(path.name for path in FOLDER.iterdir())
    assert names == ["mean.binaryproto", "net.onnx", "pytorch", "readme.md", "train_val.prototxt"]
    text = (FOLDER / "readme.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["caffemodel"] == "net_iter_40.caffemodel" and len(front["sha1"]) == 40
    assert 0 <= float(front["accuracy"]) <= 1 and "95 % interval" in text
    classes = [line[3:] for line in text.splitlines() if line[:2] in ("0.", "1.")]
    assert len(classes) == 2 and set(classes) < {"north", "east", "south", "west"}
    mean = "mean.binaryproto (its centre)"
    assert f"net.onnx takes these values: its graph subtracts {mean} and multiplies by 0.0078125." in text
    assert f"For pytorch: subtract {mean}, then multiply by 0.0078125." in text


def test_the_card_tells_the_steps_that_are_left_to_the_user_for_each_format() -> None:
    transform, formats = TransformationParameter(mean_value=[104], scale=0.5), ["onnx", "pytorch", "safetensors"]
    left = "ubtract [104.0], then multiply by 0.5."
    assert export.what_is_left(transform, formats, preprocess=False) == f"S{left}"
    done = "net.onnx takes these values: its graph subtracts [104.0] and multiplies by 0.5."
    assert export.what_is_left(transform, ["onnx"], preprocess=True) == done
    assert (
        export.what_is_left(transform, formats, preprocess=True) == f"{done} For pytorch and net.safetensors: s{left}"
    )


def test_a_run_outside_of_git_has_an_unknown_commit(root: Path) -> None:
    exp, run = demo(), finish("A2B/n0060/S3T/seed0", 0.5)
    manifest = read_json(run.manifest) | {"experiment": "demo", "commit": None}
    text = export.model_card(exp, run, manifest, run.manifest, 0, "Do nothing.", [])
    assert yaml.safe_load(text.split("---")[1])["commit"] == "unknown" and "float32. Do nothing. Images of 28" in text


def test_what_cannot_be_exported_is_told(root: Path) -> None:
    demo()
    finish("A2B/n0060/S3T/seed0", 0.5)
    with pytest.raises(UserError, match=r"not finished; run `python -m tools run experiments/demo.yaml A2B/n0010/S3T"):
        export.main(["experiments/demo.yaml", "A2B/n0010/S3T/seed0"])
    with pytest.raises(UserError, match="--to tflite: found a format that is none of onnx, pytorch, safetensors"):
        export.main(["experiments/demo.yaml", "A2B/n0060/S3T/seed0", "--to", "tflite"])
    assert not Path("results/demo/export").exists()


def test_without_torchcaffe_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.shutil, "which", lambda *_, **__: None)
    with pytest.raises(UserError, match="also those that BVLC Caffe trained, and it is not installed; run `make"):
        export.find_exporter()


def test_a_value_of_the_front_matter_stays_a_text() -> None:
    values = ["a: b", "1.0", "it's", "yes # no", "plain text", "{x}", "2012-01-01"]
    for value in values:
        assert yaml.safe_load(f"key: {export._scalar(value)}") == {"key": value}
