"""Reads a net from a prototxt file or from a message, and upgrades it to today's format."""

import re
from pathlib import Path

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import NetParameter
from torchcaffe.nets import upgrade
from torchcaffe.nets.parsed_net import ParsedNet

_TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[{}<>]|\n|\w+""")


def read(path: str | Path) -> ParsedNet:
    """The net in a prototxt file, upgraded as Caffe does. Raises FormatError."""
    param = prototxt.read_net(path)
    lines = layer_lines(Path(path).read_text(encoding="utf-8-sig", errors="replace"))
    count = len(param.layer) + len(param.layers)
    places = [f"{path}:{line}" for line in lines] if len(lines) == count else [str(path)] * count
    return upgrade.net(ParsedNet(param, places), str(path))


def from_message(param: NetParameter, name: str) -> ParsedNet:
    """A copy of the net in a message, such as a solver's `net_param`, upgraded. Errors call it `name`. Raises Fatal."""
    copy = NetParameter()
    copy.CopyFrom(param)
    places = [f"{name}, layer {index}" for index in range(len(copy.layer) or len(copy.layers))]
    return upgrade.net(ParsedNet(copy, places), name)


def layer_lines(text: str) -> list[int]:
    """The line, from 1, of each `layer` or `layers` block at the top level of a prototxt.

    The list form, `layer [{...}, {...}]`, is not recognized: then the number of lines is not the number of layers.
    """
    lines, line, depth, name, name_line = [], 1, 0, "", 1
    for token in _TOKEN.findall(text):
        if token == "\n":
            line += 1
        elif token in "{<":
            if depth == 0 and name in ("layer", "layers"):
                lines.append(name_line)
            depth += 1
        elif token in "}>":
            depth -= 1
        elif token[0] not in "#\"'":
            name, name_line = token, line
    return lines
