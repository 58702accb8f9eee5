"""Prototxt files: Caffe's nets and solvers as text.

Everything that stops BVLC Caffe (an unknown field, a second value for a single field, a missing required field) raises
FormatError here, with the file, the line and a suggestion. As for Caffe, comments may have any encoding. Names must be
UTF-8.
"""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from google.protobuf import descriptor_pool, text_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor
from google.protobuf.message import Message

from caffeformat.caffeformat_pb2 import NetParameter, SolverParameter
from caffeformat.errors import FormatError

M = TypeVar("M", bound=Message)

_PACKAGE = NetParameter.DESCRIPTOR.file.package + "."
_UNKNOWN_FIELD = re.compile(r'Message type "(?P<type>[\w.]+)" has no field named "(?P<name>[^"]*)"')
_UNKNOWN_VALUE = re.compile(r'Enum type "(?P<type>[\w.]+)" has no value (named|with number) (?P<name>\S+)\.$')
_UNCLOSED = re.compile(r'Expected "([}>])"\.')  # protobuf reports it only at the end of the text
_STRAY_BYTE = re.compile(r"\\udc([89a-f][0-9a-f])")  # how "surrogateescape" shows a byte that is not UTF-8
_TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[{}<>\[\]]|\w+|\n""")
_FEW = 12  # more alternatives than this are not listed
_LONGEST = 200  # characters: the most that an error message quotes


def read_net(path: str | Path) -> NetParameter:
    """The net in the prototxt file `path`, as it is written: old formats are not upgraded. Raises FormatError."""
    return parse(_text_of(path), NetParameter(), str(path))


def read_solver(path: str | Path) -> SolverParameter:
    """The solver in the prototxt file `path`. Raises FormatError."""
    return parse(_text_of(path), SolverParameter(), str(path))


def layer_lines(path: str | Path) -> list[int]:
    """The line on which each `layer` of the net in `path` begins, in order. Raises FormatError as `read_net` does.

    Layers in a list, `layer: [{ ... }, { ... }]`, have no line of their own: then the result is shorter than the net.
    """
    lines, line, depth = [], 1, 0
    for token in _TOKEN.findall(_text_of(path)):
        if token == "\n":
            line += 1
        elif token in "{<[":
            depth += 1
        elif token in "}>]":
            depth -= 1
        elif token == "layer" and depth == 0:
            lines.append(line)
    return lines


def parse(text: str, message: M, name: str) -> M:
    """Fill the empty `message` from `text` and return it. Raises FormatError; its text calls the file `name`."""
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise FormatError(f"{name}:{error.GetLine() or 1}: {_explain(error, text)}") from None
    missing = message.FindInitializationErrors()  # type: ignore[attr-defined]  # not in protobuf's published types
    if missing:
        raise FormatError(f"{name}: required but not given: {', '.join(missing)}")
    return message


def to_text(message: Message) -> str:
    """`message` as prototxt: fields in order of their numbers, floats in their shortest exact form, UTF-8 unescaped."""
    return text_format.MessageToString(message, as_utf8=True)


def _text_of(path: str | Path) -> str:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}") from None
    if b"\0" in data:
        raise FormatError(f"{path}: a binary file; a prototxt (plain text) is needed here")
    return data.decode("utf-8-sig", errors="surrogateescape")  # a stray byte outside comments fails in parse()


def _explain(error: text_format.ParseError, text: str) -> str:
    """protobuf's message with a suggestion, and without the position, the quoted line and our package name."""
    line = text.split("\n")[(error.GetLine() or 1) - 1]
    message = re.sub(r"^\d+:\d+ : ", "", str(error)).removeprefix(f"'{line}': ")
    message = message.encode(errors="backslashreplace").decode()
    if stray := _STRAY_BYTE.search(message):
        return f"the byte 0x{stray[1]} is not UTF-8; save the file as UTF-8"
    if unknown := _UNKNOWN_FIELD.search(message):
        return _unknown_field(descriptor_pool.Default().FindMessageTypeByName(unknown["type"]), unknown["name"])
    if unknown := _UNKNOWN_VALUE.search(message):
        return _unknown_value(descriptor_pool.Default().FindEnumTypeByName(unknown["type"]), unknown["name"])
    if unclosed := _UNCLOSED.fullmatch(message):
        return f"the file ends inside a block: a {unclosed[1]} is missing"
    return _short(message.replace(_PACKAGE, ""))


def _short(message: str) -> str:
    """`message`, shortened: protobuf quotes a word of the text whole, however long it is."""
    return message if len(message) <= _LONGEST else f"{message[:_LONGEST]}..."


def _unknown_field(message: Descriptor, name: str) -> str:
    name = _short(name)
    homes = [f.name for f in message.fields if f.message_type and name in f.message_type.fields_by_name]
    if homes:
        hint = f"it belongs inside {' or '.join(homes[:4])}" + (" (and others)" if len(homes) > 4 else "")
    else:
        hint = _suggest(name, [f.name for f in message.fields])
    return f'{message.name} has no field "{name}"; {hint}'


def _unknown_value(enum: EnumDescriptor, name: str) -> str:
    return f"{enum.name} has no value {_short(name)}; {_suggest(name, [v.name for v in enum.values])}"


def _suggest(name: str, choices: list[str]) -> str:
    """A hint at the most similar of `choices`. Long names are cut: difflib's time is quadratic in the length."""
    name = name[:_LONGEST]
    similar = get_close_matches(name, choices, n=1) or get_close_matches(name.upper(), choices, n=1)
    if similar:
        return f"did you mean {similar[0]}?"
    return f"known: {', '.join(choices)}" if len(choices) <= _FEW else f"it is none of the {len(choices)} known ones"
