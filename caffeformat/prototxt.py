"""Prototxt files: Caffe's nets and solvers as text.

Everything that stops BVLC Caffe (an unknown field, a second value for a single field, a missing required field, a
number in another language's form) raises FormatError here, with the file, the line and a suggestion. What it takes is
read as it reads it; only an editor's byte order mark at the beginning, which stops it, is passed over. As for Caffe,
comments may have any encoding. Names must be UTF-8.
"""

from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from caffeformat.caffeformat_pb2 import LayerParameter, NetParameter, SolverParameter
from caffeformat.errors import FormatError
from caffeformat.tokens import LONGEST, Token, Wrong, error_at, line_of, shortened, string_bytes, string_text, tokens

M = TypeVar("M", bound=Message)

_BOOLS = {"true": True, "True": True, "t": True, "false": False, "False": False, "f": False}
_FLOATS = {"inf": float("inf"), "infinity": float("inf"), "nan": float("nan")}  # in capitals, too
_INTEGERS = {  # the values of each type of field
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_CLOSING = {"{": "}", "<": ">"}
_DIGITS = 30  # of an integer that are read; more are out of any range, and Python refuses to read thousands
_FEW = 12  # more alternatives than this are not listed


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
    return field_lines(path, "layer")


def field_lines(path: str | Path, name: str) -> list[int]:
    """The line of each field `name` outside of all blocks of the prototxt in `path`, in order. Raises FormatError."""
    text = _text_of(path)
    lines, depth = [], 0
    try:
        for word in tokens(text):
            if word.kind == "sign":
                depth += (word.text in "{<[") - (word.text in "}>]")
            elif word.text == name and depth == 0:
                lines.append(line_of(text, word.at))
    except Wrong as wrong:
        raise error_at(str(path), text, wrong) from None
    return lines


def place_of(path: str | Path, *names: str) -> str:
    """`path:line` of the first of the fields `names` that the prototxt in `path` has; `path` if it has none of them, or
    is no file."""
    try:
        lines = [line for name in names for line in field_lines(path, name)]
    except FormatError:
        lines = []
    return f"{path}:{lines[0]}" if lines else str(path)


def parse(text: str, message: M, name: str) -> M:
    """Fill the empty `message` from `text` and return it. Raises FormatError; its text calls the file `name`."""
    try:
        _Reader(tokens(text)).read(message)
    except Wrong as wrong:
        raise error_at(name, text, wrong) from None
    missing = message.FindInitializationErrors()  # type: ignore[attr-defined]  # not in protobuf's published types
    if missing:
        raise FormatError(f"{name}: required but not given: {', '.join(missing)}")
    return message


def to_text(message: Message) -> str:
    """`message` as prototxt: fields in order of their numbers, floats in their shortest exact form, UTF-8 unescaped.

    The layers of a net come last, and most nets of an experiment share most layers: the text of each is kept.
    """
    if not isinstance(message, NetParameter):
        return text_format.MessageToString(message, as_utf8=True)
    rest = NetParameter()
    rest.CopyFrom(message)
    rest.ClearField("layer")
    layers = (_layer_text(layer.SerializePartialToString(deterministic=True)) for layer in message.layer)
    return text_format.MessageToString(rest, as_utf8=True) + "".join(layers)


@lru_cache(maxsize=4096)
def _layer_text(layer: bytes) -> str:
    """A layer as the text of a net with it alone."""
    return text_format.MessageToString(NetParameter(layer=[LayerParameter.FromString(layer)]), as_utf8=True)


def _text_of(path: str | Path) -> str:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}") from None
    if b"\0" in data:
        raise FormatError(f"{path}: a binary file; a prototxt (plain text) is needed here")
    return data.decode("utf-8-sig", errors="surrogateescape")  # a stray byte outside comments fails in parse()


class _Reader:
    """Fills a message from tokens, as protobuf's C++ parser does. Raises Wrong."""

    def __init__(self, words: list[Token]):
        self._words = words
        self._next = 0

    def read(self, message: Message) -> None:
        self._fields(message, "")

    def _fields(self, message: Message, closing: str) -> None:
        """The fields up to the sign `closing`, or up to the end of the text."""
        while not (self._take(closing) if closing else self._word.kind == "end"):
            if self._word.kind == "end":
                raise self._wrong(f"the file ends inside a block: a {closing} is missing")
            if self._word.kind != "name":
                raise self._wrong(f"found {self._found()}; the name of a field is needed here")
            self._field(message)
            _ = self._take(";") or self._take(",")

    def _field(self, message: Message) -> None:
        word = self._pop()
        name, kind = word.text, cast(Descriptor, message.DESCRIPTOR)
        field = kind.fields_by_name.get(name)
        if field is None:
            raise self._wrong(_unknown_field(kind, name), word)
        if not field.is_repeated and message.HasField(name):
            raise self._wrong(f'{kind.name} has a second "{name}"; it takes one', word)
        if not self._take(":") and not field.message_type:
            raise self._wrong(f"{name}: found {self._found()}; a colon is needed here")
        if not (field.is_repeated and self._take("[")):
            self._value(message, field)
        elif not self._take("]"):
            self._value(message, field)
            while self._take(","):
                self._value(message, field)
            self._expect("]", name)

    def _value(self, message: Message, field: FieldDescriptor) -> None:
        if field.message_type:
            closing = _CLOSING.get(self._word.text)
            if closing is None:
                raise self._wrong(f"{field.name}: found {self._found()}; a block in {{ }} is needed")
            self._pop()
            inner = getattr(message, field.name)
            inner = inner.add() if field.is_repeated else inner
            inner.SetInParent()
            self._fields(inner, closing)
        elif field.is_repeated:
            getattr(message, field.name).append(self._scalar(field))
        else:
            setattr(message, field.name, self._scalar(field))

    def _scalar(self, field: FieldDescriptor) -> Any:
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            return self._string(field)
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return self._bool(field)
        if field.enum_type:
            return self._enum(field.name, field.enum_type)
        if field.cpp_type in _INTEGERS:
            return self._integer(field.name, *_INTEGERS[field.cpp_type])
        return self._float(field.name)

    def _string(self, field: FieldDescriptor) -> str | bytes:
        """One string, or several one after the other, which are joined."""
        if self._word.kind != "string":
            raise self._needed(field.name, "a string in quotes")
        parts = []
        while self._word.kind == "string":
            parts.append(self._pop())
        if field.type == FieldDescriptor.TYPE_BYTES:
            return b"".join(map(string_bytes, parts))
        return "".join(map(string_text, parts))

    def _bool(self, field: FieldDescriptor) -> bool:
        if self._word.kind == "integer" and _number(self._word) <= 1:
            return bool(_number(self._pop()))
        if self._word.kind != "name" or self._word.text not in _BOOLS:
            raise self._needed(field.name, "true or false")
        return _BOOLS[self._pop().text]

    def _enum(self, name: str, enum: EnumDescriptor) -> int:
        word = self._word
        if word.kind == "name":
            value = enum.values_by_name.get(self._pop().text)
        elif word.kind == "integer" or word.text == "-":
            value = enum.values_by_number.get(number := self._integer(name, -(2**31), 2**31 - 1))
            word = word._replace(text=str(number))
        else:
            raise self._needed(name, f"a value of {enum.name}")
        if value is None:
            raise self._wrong(
                f"{enum.name} has no value {shortened(word.text)}; {_suggest_value(enum, word.text)}", word
            )
        return value.number

    def _integer(self, name: str, least: int, most: int) -> int:
        negative = least < 0 and self._take("-")
        if self._word.kind != "integer":
            raise self._needed(name, "an integer" if least < 0 else "an integer without a sign")
        word = self._pop()
        value = -_number(word) if negative else _number(word)
        if not least <= value <= most:
            found = f"{'-' * negative}{shortened(word.text)}"
            raise self._wrong(f"{name}: {found} is out of range; it takes {least} to {most}", word)
        return value

    def _float(self, name: str) -> float:
        negative = self._take("-")
        word = self._word
        if word.kind == "float":
            value = float(word.text.rstrip("fF"))
        elif word.kind == "integer" and (word.text == "0" or not word.text.startswith("0")):
            value = float(word.text)
        elif word.kind == "name" and word.text.lower() in _FLOATS:
            value = _FLOATS[word.text.lower()]
        else:
            raise self._needed(name, "a decimal number")
        self._pop()
        return -value if negative else value

    @property
    def _word(self) -> Token:
        return self._words[self._next]

    def _pop(self) -> Token:
        self._next += 1
        return self._words[self._next - 1]

    def _take(self, sign: str) -> bool:
        """Passes over the sign if it is the next token; returns whether it was."""
        taken = self._word.kind == "sign" and self._word.text == sign
        self._next += taken
        return taken

    def _expect(self, sign: str, name: str) -> None:
        if not self._take(sign):
            raise self._wrong(f"{name}: found {self._found()}; a {sign} is needed here")

    def _found(self) -> str:
        return shortened(self._word.text) or "the end of the file"

    def _needed(self, name: str, what: str) -> Wrong:
        return self._wrong(f"{name}: found {self._found()}; {what} is needed")

    def _wrong(self, message: str, word: Token | None = None) -> Wrong:
        return Wrong(message, (word or self._word).at)


def _number(word: Token) -> int:
    """The value of an integer: decimal, octal (010) or hexadecimal (0x10). One beyond 64 bits may be cut."""
    text = word.text.lower()
    if text.startswith("0"):
        return int(text, 16 if text.startswith("0x") else 8)
    return int(text[:_DIGITS])


def _unknown_field(message: Descriptor, name: str) -> str:
    name = shortened(name)
    homes = [f.name for f in message.fields if f.message_type and name in f.message_type.fields_by_name]
    if homes:
        hint = f"it belongs inside {' or '.join(homes[:4])}" + (" (and others)" if len(homes) > 4 else "")
    else:
        hint = _suggest(name, [f.name for f in message.fields])
    return f'{message.name} has no field "{name}"; {hint}'


def _suggest_value(enum: EnumDescriptor, name: str) -> str:
    return _suggest(name, [v.name for v in enum.values])


def _suggest(name: str, choices: list[str]) -> str:
    """A hint at the most similar of `choices`. Long names are cut: difflib's time is quadratic in the length."""
    name = name[:LONGEST]
    similar = get_close_matches(name, choices, n=1) or get_close_matches(name.upper(), choices, n=1)
    if similar:
        return f"did you mean {similar[0]}?"
    return f"known: {', '.join(choices)}" if len(choices) <= _FEW else f"it is none of the {len(choices)} known ones"
