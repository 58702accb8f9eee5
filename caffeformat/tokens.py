"""The words of a prototxt: names, numbers, strings and signs, as the parser of BVLC Caffe reads them.

That is protobuf's for C++. Unlike the one for Python it stops at `+0.1`, `1_000`, `0b1`, `\\d` in a string and a
no-break space, and takes `- 0.1`.
"""

import re
import unicodedata
from typing import NamedTuple

from caffeformat.errors import FormatError

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\v\f\n]+|\#[^\n]*)
      |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
      |(?P<number>\.?[0-9](?:[eE][+-]|[0-9A-Za-z_.])*)
      |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      |(?P<sign>[!-/:-@\[-`{-~])""",
    re.VERBOSE,
)
_INTEGER = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*")
_FLOAT = re.compile(r"(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?")
_ESCAPE = re.compile(
    rb"""\\(?:(?P<one>[abfnrtv\\?'"])|(?P<octal>[0-7]{1,3})|x(?P<hex>[0-9a-fA-F]{1,2})
      |u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})
      |u(?P<short>[0-9a-fA-F]{4})|U(?P<long>00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})|(?P<wrong>.?))""",
    re.VERBOSE | re.DOTALL,
)
_ONE = dict(zip(b"abfnrtv\\?'\"", (bytes([code]) for code in b"\a\b\f\n\r\t\v\\?'\""), strict=True))
LONGEST = 200  # characters: the most of a text that a message quotes


class Token(NamedTuple):
    """A word of the text. `kind`: name, integer, float, string, sign, or end (of the text)."""

    kind: str
    text: str
    at: int  # its place in the whole text


class Wrong(Exception):
    """A text is no prototxt. `at` is the place in it."""

    def __init__(self, message: str, at: int):
        super().__init__(message)
        self.at = at


def tokens(text: str) -> list[Token]:
    """The tokens of `text`, which is UTF-8 with "surrogateescape"; the last one is of the kind `end`. Raises Wrong."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Wrong(_unknown_character(text[at]), at)
        kind, word = str(match.lastgroup), match[0]
        if kind == "number":
            kind = "integer" if _INTEGER.fullmatch(word) else "float" if _FLOAT.fullmatch(word) else ""
            if not kind:
                raise Wrong(f"{shortened(word)} is not a number; {_number_hint(word)}", at)
        if kind == "sign" and word in "\"'":
            line = text[at:].partition("\n")[0]
            raise Wrong(f"a string without its closing {word}: {shortened(line)}", at)
        if kind != "space":
            found.append(Token(kind, word, at))
        at = match.end()
    return [*found, Token("end", "", found[-1].at if found else 0)]


def string_bytes(token: Token) -> bytes:
    """What a string stands for, without its quotes and escapes. Raises Wrong."""

    def unescaped(match: re.Match[bytes]) -> bytes:
        kind = str(match.lastgroup)
        digits = match[kind]
        if kind == "one":
            return _ONE[digits[0]]
        if kind in ("octal", "hex"):
            return bytes([int(digits, 8 if kind == "octal" else 16) % 256])
        if kind == "low":
            return (bytes.fromhex(match["high"].decode()) + bytes.fromhex(digits.decode())).decode("utf-16-be").encode()
        if kind == "wrong":
            escape = match[0].decode(errors="replace")
            raise Wrong(f"{escape} in a string is no escape; write / in a path, or \\\\ for one \\", token.at)
        return chr(int(digits, 16)).encode(errors="surrogatepass")

    return _ESCAPE.sub(unescaped, token.text[1:-1].encode(errors="surrogateescape"))


def string_text(token: Token) -> str:
    """As `string_bytes`, for a string that must be UTF-8. Raises Wrong."""
    data = string_bytes(token)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Wrong(_not_utf8(data[error.start]), token.at) from None


def shortened(text: str) -> str:
    """`text`, as long as a message may be, and printable."""
    text = text.encode(errors="backslashreplace").decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def error_at(name: str, text: str, wrong: Wrong) -> FormatError:
    """The error that names the file and the line."""
    return FormatError(f"{name}:{line_of(text, wrong.at)}: {wrong}")


def line_of(text: str, at: int) -> int:
    """The line, from 1, of a place in `text`."""
    return text.count("\n", 0, at) + 1


def _unknown_character(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return _not_utf8(ord(character) - 0xDC00)
    name = unicodedata.name(character, "a control character").lower()
    return f"{name} (U+{ord(character):04X}) stands outside of a string or comment; type it again in plain ASCII"


def _not_utf8(byte: int) -> str:
    return f"the byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"


def _number_hint(word: str) -> str:
    if "_" in word:
        return "write it without _"
    if re.fullmatch(r"0[0-9]+", word):
        return "one that begins with 0 is octal, and has no 8 or 9"
    return "write it as 10, 0.1 or 1e-4, with a space after it"
