"""The command line of `torchcaffe export`."""

from pathlib import Path

import pytest

from tests.helpers.engine_runs import ours
from tests.helpers.exported import LENET, weighted
from torchcaffe.export import command


def test_it_writes_the_file_and_prints_the_largest_difference(tmp_path: Path) -> None:
    weighted(tmp_path, LENET)
    files = ("export", "net.prototxt", "net.caffemodel", "--to", "onnx", "--output", "net.onnx")
    run = ours(tmp_path, *files, "--pycaffe=none")
    assert run.code == 0 and "blobs checked against torchcaffe 0." in run.log
    assert (tmp_path / "net.onnx").stat().st_size > 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("net.prototxt", "two files, NET.prototxt WEIGHTS.caffemodel; found 1"),
        ("net.prototxt net.caffemodel --output x", "--to=: one of onnx, pytorch, safetensors is needed"),
        ("net.prototxt net.caffemodel --to onnx", "--output=PATH is needed"),
        ("net.prototxt net.caffemodel --to onnx --output no/x", "the folder no is not there"),
        ("net.prototxt net.caffemodel --to onnx --output .", "--output=PATH is needed"),
        ("net.prototxt net.caffemodel --to pytorch --output x --channels=RGB", "are for --to=onnx"),
        ("net.prototxt no.caffemodel --to onnx --output x", "no.caffemodel: cannot be read"),
    ],
)
def test_a_mistake_is_one_error(tmp_path: Path, arguments: str, error: str) -> None:
    weighted(tmp_path, LENET)
    run = ours(tmp_path, "export", *arguments.split())
    assert run.code == 134 and error in run.log and not (tmp_path / "x").exists()


@pytest.mark.parametrize("named", ["net.prototxt", "net.caffemodel", "./net.caffemodel", "link"])
def test_an_input_is_not_overwritten(tmp_path: Path, named: str) -> None:
    before = [file.read_bytes() for file in weighted(tmp_path, LENET)]
    (tmp_path / "link").symlink_to("net.caffemodel")
    run = ours(tmp_path, "export", "net.prototxt", "net.caffemodel", "--to=safetensors", f"--output={named}")
    assert run.code == 134 and "which would be lost; give another path" in run.log
    assert [(tmp_path / name).read_bytes() for name in ("net.prototxt", "net.caffemodel")] == before


def test_a_package_that_is_missing_is_named_with_the_command_that_brings_it(tmp_path: Path, monkeypatch) -> None:
    weighted(tmp_path, LENET)
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "onnxruntime" else name)
    run = ours(tmp_path, "export", "net.prototxt", "net.caffemodel", "--to", "onnx", "--output", "x")
    assert run.code == 134 and "needs onnxruntime, not installed: run `pip install 'torchcaffe[onnx]'`" in run.log
