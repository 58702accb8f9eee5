"""The flags of the command line, as gflags reads those of `caffe`, and the text of --help.

A flag is written `--name=value`, `-name=value` or `--name value`, before or after the command.
"""

import os
import re
from dataclasses import dataclass, fields

_WITHOUT_EFFECT = (
    "stderrthreshold",
    "logbufsecs",
    "v",
    "vmodule",
)  # of glog: every line goes to standard error at once
_SWITCHES = ("alsologtostderr", "logtostderr", "help", "version")
_NO = ("0", "f", "false", "n", "no")

USAGE = """torchcaffe: command line brew
usage: torchcaffe <command> <args>

commands:
  train           train or finetune a model
  test            score a model
  device_query    show GPU diagnostic information
  time            benchmark model execution time
  export          write a model as ONNX, PyTorch code or safetensors: export NET.prototxt WEIGHTS.caffemodel

  Flags:
    -channels (export: of the images that an ONNX graph takes, BGR or RGB) default: "BGR"
    -data (where data sets are: streamed, resident on the device, or auto: resident on a GPU if it fits) default: "auto"
    -gpu (run on this GPU; `all` for device_query) default: ""
    -iterations (the number of iterations to run) default: 50
    -level (the net's level) default: 0
    -log_dir (a folder for files of the log, beside standard error: caffe.INFO and so on) default: GLOG_log_dir or none
    -minloglevel (the lowest severity to log: 0 INFO, 1 WARNING, 2 ERROR, 3 FATAL) default: GLOG_minloglevel or 0
    -model (the net's prototxt) default: ""
    -precision (of matrix products: fp32, tf32 or bf16) default: "fp32"
    -output (export: the file to write, or the folder for pytorch) default: ""
    -phase (TRAIN or TEST, for `time`) default: ""
    -preprocess (export: mean and scale as part of an ONNX graph: `net`, as the net's data layer has them, or the fields
      of a transform_param) default: ""
    -pycaffe (export: the Python of BVLC Caffe to check against; `none`: torchcaffe) default: pycaffe, .caffe/pycaffe
    -shape (export: shapes of inputs, data:1,3,227,227;more:1,10) default: ""
    -sighup_effect (what SIGHUP does: snapshot, stop or none) default: "snapshot"
    -sigint_effect (what SIGINT does: snapshot, stop or none) default: "stop"
    -snapshot (the solverstate to resume from) default: ""
    -solver (the solver's prototxt) default: ""
    -step (how an iteration runs: eager, static, or auto: static, as CUDA graphs, on a GPU) default: "auto"
    -stage (the net's stages, separated by ',') default: ""
    -to (export: onnx, pytorch or safetensors) default: ""
    -weights (caffemodels to start from, separated by ','; not with -snapshot) default: ""
"""


@dataclass
class Flags:
    """The value of each flag; USAGE describes them."""

    gpu: str = ""
    solver: str = ""
    model: str = ""
    phase: str = ""
    level: int = 0
    stage: str = ""
    snapshot: str = ""
    weights: str = ""
    iterations: int = 50
    log_dir: str = ""
    minloglevel: int | None = None
    precision: str = "fp32"
    data: str = "auto"
    step: str = "auto"
    sigint_effect: str = "stop"
    sighup_effect: str = "snapshot"
    to: str = ""
    output: str = ""
    shape: str = ""
    preprocess: str = ""
    channels: str = ""
    pycaffe: str = ""


class BadFlag(Exception):
    """A flag that does not exist, or has no value or a wrong one. The text is meant for the user."""


def parse(arguments: list[str]) -> tuple[Flags, set[str], list[str]]:
    """The flags, the switches that are set (`help`, `version`), and the words that are not flags. Raises BadFlag."""
    flags, switches, words = Flags(log_dir=os.environ.get("GLOG_log_dir", "")), set[str](), []  # noqa: SIM112
    if os.environ.get("GLOG_logtostderr", "")[:1] in (*"tTyY1",):  # noqa: SIM112
        switches.add("logtostderr")
    types = {field.name: field.type for field in fields(Flags)}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("-") or argument == "-":
            words.append(argument)
            continue
        if argument == "--":
            words += rest
            break
        name, equals_sign, value = argument[2 if argument.startswith("--") else 1 :].partition("=")
        if name in _SWITCHES and value.lower() not in _NO:
            switches.add(name)
            continue
        if name in (*_SWITCHES, "nologtostderr"):
            if name == "alsologtostderr":
                raise BadFlag(f"flag '--{name}' cannot be {value}: the log always goes to standard error too")
            switches.discard(name.removeprefix("no"))
            continue
        if name not in types and name not in _WITHOUT_EFFECT:
            raise BadFlag(f"unknown command line flag '{name}'")
        if not equals_sign:
            if not rest:
                raise BadFlag(f"flag '--{name}' is missing its argument")
            value = rest.pop(0)
        if name in types:
            setattr(flags, name, value if types[name] is str else _int32(name, value))
    if "logtostderr" in switches:
        flags.log_dir = ""
    return flags, switches, words


def _int32(name: str, value: str) -> int:
    is_hex = re.fullmatch(r"0[xX][\da-fA-F]+", value)
    number = int(value, 16 if is_hex else 10) if is_hex or re.fullmatch(r"[-+]?[0-9]+", value) else 2**31
    if not -(2**31) <= number < 2**31:
        raise BadFlag(f"illegal value '{value}' specified for int32 flag '{name}'")
    return number
