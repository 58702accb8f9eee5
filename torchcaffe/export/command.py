"""The command `torchcaffe export`: what it takes, and the packages that it needs."""

import os
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from torchcaffe.common.log import Fatal, check
from torchcaffe.export.exporter import FORMATS, Options, quiet

_MODULES = {"onnx": "onnx_export", "pytorch": "torch_export", "safetensors": "safetensors_export"}


def run(files: list[str], options: Options) -> list[str]:
    """Exports what `files`, a prototxt and a caffemodel, hold. Returns lines about what was written. Raises Fatal."""
    check(len(files) == 2, f"export needs two files, NET.prototxt WEIGHTS.caffemodel; found {len(files)}")
    to, output = options.to, options.output
    check(to in FORMATS, f"--to={to}: one of {', '.join(FORMATS)} is needed")
    check(output.name, "--output=PATH is needed: a folder for pytorch, else a file")
    check(output.parent.is_dir(), f"{output}: the folder {output.parent} is not there; create it first")
    same = [file for file in files if os.path.exists(output) and os.path.exists(file) and output.samefile(file)]
    check(not same, f"--output={output}: this is the input {', '.join(same)}, which would be lost; give another path")
    if to != "pytorch":
        check(not output.is_dir(), f"{output}: a folder; --to={to} writes a file")
    if to != "onnx":
        check(not options.preprocess and not options.channels, "--preprocess and --channels are for --to=onnx")
    missing = [name for name in FORMATS[to] if find_spec(name) is None]
    if missing:
        extra = "onnx" if to == "onnx" else "safetensors"
        hint = f"run `pip install 'torchcaffe[{extra}]'`, or `make torchcaffe` in a checkout"
        raise Fatal(f"--to={to} needs {' and '.join(missing)}, not installed: {hint}")
    with quiet():
        module = import_module(f"torchcaffe.export.{_MODULES[to]}")
        lines: list[str] = module.export(replace(options, model=Path(files[0]), caffemodel=Path(files[1])))
    return lines
