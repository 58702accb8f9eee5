"""YAML files that people write: read once, with the line of every key, so that an error can name it.

YAML has more than such a file needs, and some of it changes what was written: 010 is 8, 1:30 is 90, `no` is false. Here
a value is what it looks like, or an error that says how to write it.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.common.errors import UserError

Steps = tuple[int | str, ...]  # the way to a value: ("claims", "C2", "holds_if", 0, "right")

_MOST_BYTES = 1 << 18  # the largest file of the project has 6 KB; yaml reads some 50 KB a second
_MOST_NODES = 20_000  # values, with those that an alias repeats
_DEEPEST = 30
_KINDS = {"map", "seq", "str", "int", "float", "bool", "null", "merge"}
_PLAIN = {
    "int": re.compile(r"[-+]?(0|[1-9][0-9]*)"),
    "float": re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?"),
    "bool": re.compile("true|false|True|False|TRUE|FALSE"),
}
_RIGHT = {
    "int": "write a whole number in decimal digits without a leading 0 (YAML reads 010 as 8 and 1:30 as 90)",
    "float": "write a number in decimal digits, as 0.01 or 1.0e-3",
    "bool": "write true or false",
}


class _Loader(yaml.SafeLoader):
    """Reads 1e-3 as a number, as everybody does but YAML 1.1, which wants 1.0e-3."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


@dataclass(frozen=True)
class YamlFile:
    """A file whose top level is `key: value` lines.

    values: as yaml.safe_load gives them, with text keys. lines: the line (from 1) of every key and list entry.
    """

    file: Path
    values: dict[str, Any]
    lines: dict[Steps, int]

    def place(self, *steps: int | str) -> str:
        """`experiments/tiny.yaml:12`: where the value at `steps` was given, or the nearest key above it that was."""
        for length in range(len(steps), 0, -1):
            if steps[:length] in self.lines:
                return f"{self.file}:{self.lines[steps[:length]]}"
        return str(self.file)

    def has(self, *steps: int | str) -> bool:
        """Whether the file gives a value at `steps`."""
        return steps in self.lines


def read_yaml(file: Path, what: str, example: str) -> YamlFile:
    """Reads `file`. For errors: `what` says what it is ("an experiment file"), `example` names a correct one.

    Raises UserError naming file and line for: a missing file, not text, not YAML, no mapping, a key given twice, a
    value that YAML would read as another, too many or too deep.
    """
    root, loader = _compose(_text(file, what), str(file))
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{file}:1: {what} is a list of `key: value` lines; see {example}")
    lines: dict[Steps, int] = {}
    for steps, line, node in _nodes(root, str(file)):
        if steps in lines:
            raise UserError(f"{file}:{line}: {steps[-1]}: given twice, first at line {lines[steps]}; keep one")
        if steps:
            lines[steps] = line
        _check(node, f"{file}:{line}: " + "".join(f"{step}: " for step in steps if isinstance(step, str)))
    return YamlFile(file, {str(key): value for key, value in _construct(loader, root, str(file)).items()}, lines)


def read_value(text: str, place: str) -> Any:
    """The value in a text of one line, as in `key: text`. Raises UserError, which begins with `place`."""
    root, loader = _compose(text, place)
    if root is None:
        return None
    for _, _, node in _nodes(root, place):
        _check(node, f"{place}: ")
    return _construct(loader, root, place)


def _text(file: Path, what: str) -> str:
    try:
        with open(file, "rb") as content:
            data = content.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise UserError(f"{file}: more than {_MOST_BYTES:,} bytes; it should be {what}")
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        others = ", ".join(sorted(str(path) for path in file.parent.glob("*.yaml"))) or "none"
        raise UserError(f"{file}: no such file; it should be {what}; in that folder: {others}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as a text file ({error})") from None


def _compose(text: str, place: str) -> tuple[yaml.Node | None, yaml.SafeLoader]:
    """The root of a YAML text, and the loader that makes values of it."""
    with _named_errors(place):
        loader = _Loader(text)
        return loader.get_single_node(), loader


def _construct(loader: yaml.SafeLoader, root: yaml.Node, place: str) -> Any:
    with _named_errors(place):
        return loader.construct_document(root)


@contextlib.contextmanager
def _named_errors(place: str) -> Iterator[None]:
    try:
        yield
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{place}:{mark.line + 1 if mark else 1}: not YAML: {problem}") from None
    except RecursionError:
        raise UserError(f"{place}: nested too deeply; such a file is flat") from None
    except (ValueError, OverflowError) as error:  # an escape such as "\UFFFFFFFF", a number of 5,000 digits
        raise UserError(f"{place}: not YAML: {str(error).partition(';')[0]}") from None


def _nodes(root: yaml.Node, place: str) -> Iterator[tuple[Steps, int, yaml.Node]]:
    """(steps, line of the key or entry, value) of `root` and of all below it, in the order of the file.

    An aliased value is met at each place that repeats it: a few lines can be a billion values, or have no end.
    """
    waiting: list[tuple[Steps, int, yaml.Node]] = [((), 1, root)]
    for _ in range(_MOST_NODES):
        if not waiting:
            return
        steps, line, node = waiting.pop()
        if len(steps) > _DEEPEST:
            raise UserError(f"{place}:{line}: nested more than {_DEEPEST} deep; such a file is flat")
        yield steps, line, node
        below: list[tuple[Steps, int, yaml.Node]] = []
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                line = key.start_mark.line + 1
                if not isinstance(key, yaml.ScalarNode):
                    raise UserError(f"{place}:{line}: a key is a word or text, not a list or mapping")
                _check(key, f"{place}:{line}: in a key: ")
                below.append(((*steps, str(key.value)), line, value))
        elif isinstance(node, yaml.SequenceNode):
            below = [((*steps, number), value.start_mark.line + 1, value) for number, value in enumerate(node.value)]
        waiting += reversed(below)
    raise UserError(f"{place}: more than {_MOST_NODES:,} values, counting those that an alias (*name) repeats")


def _check(node: yaml.Node, where: str) -> None:
    """Raises UserError for a value that is not what it looks like."""
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if kind not in _KINDS and kind != "timestamp":
        raise UserError(f"{where}found the tag {node.tag}; write the plain value, without a word that begins with !")
    if not isinstance(node, yaml.ScalarNode) or (kind in _PLAIN and _PLAIN[kind].fullmatch(node.value)):
        return
    if kind == "timestamp":
        raise UserError(f"{where}found {node.value}; put a text that looks like a date in quotes")
    if kind in _RIGHT:
        raise UserError(f"{where}found {node.value[:60]}; {_RIGHT[kind]}; if it is a text, put it in quotes")
