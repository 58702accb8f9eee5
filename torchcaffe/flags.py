"""The flags of the command line, as gflags reads those of `caffe`, and the text of --help.

A flag is written `--name=value`, `-name=value` or `--name value`, before or after the command.
"""

from dataclasses import dataclass, fields

_GLOG = ("alsologtostderr", "logtostderr", "log_dir", "minloglevel", "stderrthreshold", "v", "vmodule")
_SWITCHES = ("alsologtostderr", "logtostderr", "help", "version")

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
    flags, switches, words = Flags(), set(), []
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
        name, equals_sign, value = argument.lstrip("-").partition("=")
        if name not in types and name not in _GLOG and name not in _SWITCHES:
            raise BadFlag(f"unknown command line flag '{name}'")
        if name in _SWITCHES:
            switches.add(name)
            continue
        if not equals_sign:
            if not rest:
                raise BadFlag(f"flag '--{name}' is missing its argument")
            value = rest.pop(0)
        if name in types:
            setattr(flags, name, _int32(name, value) if types[name] is int else value)
    return flags, switches, words


def _int32(name: str, value: str) -> int:
    try:
        number = int(value)
    except ValueError:
        number = None
    if number is None or not -(2**31) <= number < 2**31:
        raise BadFlag(f"illegal value '{value}' specified for int32 flag '{name}'")
    return number
