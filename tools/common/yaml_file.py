"""YAML files that people write: read once, with the line of every key, so that an error can name it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.common.errors import UserError

Steps = tuple[int | str, ...]  # the way to a value: ("claims", "C2", "holds_if", 0, "right")


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

    Raises UserError naming file and line for: a missing file, not text, not YAML, no mapping, a key given twice.
    """
    try:
        text = file.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except FileNotFoundError:
        others = ", ".join(sorted(str(path) for path in file.parent.glob("*.yaml"))) or "none"
        raise UserError(f"{file}: no such file; it should be {what}; in that folder: {others}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as a text file ({error})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or error
        raise UserError(f"{file}:{mark.line + 1 if mark else 1}: not YAML: {problem}") from None
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{file}:1: {what} is a list of `key: value` lines; see {example}")
    lines: dict[Steps, int] = {}
    _note_lines(file, root, (), lines)
    try:
        values = yaml.safe_load(text)
    except ValueError as error:
        raise UserError(f"{file}: {error}; put a text that looks like a date in quotes") from None
    return YamlFile(file, {str(key): value for key, value in values.items()}, lines)


def _note_lines(file: Path, node: yaml.Node, above: Steps, lines: dict[Steps, int]) -> None:
    """Notes the line of every key and entry below `node`. YAML itself takes the last of two equal keys silently."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            steps, line = (*above, str(key.value)), key.start_mark.line + 1
            if steps in lines:
                raise UserError(f"{file}:{line}: {key.value}: given twice, first at line {lines[steps]}; keep one")
            lines[steps] = line
            _note_lines(file, value, steps, lines)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            lines[*above, number] = value.start_mark.line + 1
            _note_lines(file, value, (*above, number), lines)
