"""Prototxt files: Caffe's nets and solvers as text.

What stops BVLC Caffe (an unknown field, a second value for a single field, a missing required one) raises FormatError
here, with the file, the line and a suggestion. Comments may be in any encoding, as for Caffe; names must be UTF-8.
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
_UNCLOSED = re.compile(r'Expected "([}>])"\.')  # said only at the end of the text
_STRAY_BYTE = re.compile(r"\\udc([89a-f][0-9a-f])")  # how "surrogateescape" shows a byte that is not UTF-8
_FEW = 12  # more alternatives than this are not listed
_LONGEST = 200  # characters of a message that quotes the text


def read_net(path: str | Path) -> NetParameter:
    """The net in the prototxt file `path`, as it is written: older formats are not upgraded. Raises FormatError."""
    return parse(_text_of(path), NetParameter(), str(path))


def read_solver(path: str | Path) -> SolverParameter:
    """The solver in the prototxt file `path`. Raises FormatError."""
    return parse(_text_of(path), SolverParameter(), str(path))


def parse(text: str, message: M, name: str) -> M:
    """Fill the empty `message` from `text` and return it; `name` stands for the file in a FormatError."""
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise FormatError(f"{name}:{error.GetLine() or 1}: {_explain(error, text)}") from None
    missing = message.FindInitializationErrors()
    if missing:
        raise FormatError(f"{name}: required but not given: {', '.join(missing)}")
    return message


def to_text(message: Message) -> str:
    """`message` as prototxt: fields by number, floats in their shortest exact form, UTF-8 as it is."""
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
    """protobuf's message without its position, its copy of the line and our package name, with a suggestion."""
    line = text.split("\n")[(error.GetLine() or 1) - 1]
    message = re.sub(r"^\d+:\d+ : ", "", str(error)).removeprefix(f"'{line}': ")
    message = message.encode(errors="backslashreplace").decode()
    if stray := _STRAY_BYTE.search(message):
        return f"a byte (0x{stray[1]}) that is not UTF-8; save the file as UTF-8"
    if unknown := _UNKNOWN_FIELD.search(message):
        return _unknown_field(descriptor_pool.Default().FindMessageTypeByName(unknown["type"]), unknown["name"])
    if unknown := _UNKNOWN_VALUE.search(message):
        return _unknown_value(descriptor_pool.Default().FindEnumTypeByName(unknown["type"]), unknown["name"])
    if unclosed := _UNCLOSED.fullmatch(message):
        return f"the file ends inside a block: a {unclosed[1]} is missing"
    return _short(message.replace(_PACKAGE, ""))


def _short(message: str) -> str:
    """protobuf quotes a word of the text whole, however long it is."""
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


def _suggest(name: str, known: list[str]) -> str:
    """What `name` may have been meant to be; difflib's time grows with the square of a name's length."""
    name = name[:_LONGEST]
    near = get_close_matches(name, known, n=1) or get_close_matches(name.upper(), known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(known)}" if len(known) <= _FEW else f"it is none of the {len(known)} known ones"
