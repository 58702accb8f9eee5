"""A stage: outputs that appear together, and the marker, written last, that records what they were made from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.common.errors import UserError
from tools.common.files import read_json, sha256

Record = dict[str, Any]  # what a marker holds
Inputs = Mapping[str, Any]  # name -> checksum or setting. Equal inputs give equal outputs
Outputs = Mapping[Path, str | None]  # file -> its checksum, or None if only its presence is checked

_LACKS = (KeyError, TypeError, AttributeError)  # what reading a damaged record raises


class NotReady(UserError):
    """Something that a stage needs is not there yet. The text names it, and the verb that makes it."""


def _no_outputs(_: Record) -> Outputs:
    return {}


@dataclass(frozen=True)
class Stage:
    """Decides whether a stage is complete. Verbs, plan and graph all use this class.

    marker: a JSON file that is renamed into place when every output is there.
    inputs: returns what the outputs would be made from now. Its argument is the marker's record. It may raise NotReady.
    recorded: returns the inputs that the record has.
    outputs: the files that the record names.
    parts: further stages that must be complete.
    """

    name: str
    marker: Path
    inputs: Callable[[Record], Inputs]
    recorded: Callable[[Record], Inputs] = field(default=lambda record: record["inputs"])
    outputs: Callable[[Record], Outputs] = _no_outputs
    parts: Callable[[Record], list["Stage"]] = field(default=lambda record: [])

    @property
    def record(self) -> Record | None:
        """The content of the marker; None if it is absent or unreadable."""
        record = read_json(self.marker)
        return record if isinstance(record, dict) else None

    @property
    def is_complete(self) -> bool:
        return self.is_up_to_date(self.record)

    def is_up_to_date(self, record: Record | None) -> bool:
        """Whether `record` has the present inputs, and its outputs exist. A record that lacks a key is out of date."""
        if record is None or self._is_ready_and_changed(record) is not False:
            return False
        try:
            outputs, parts = self.outputs(record), self.parts(record)
        except _LACKS:
            return False
        return all(_is_there(path, digest) for path, digest in outputs.items()) and all(p.is_complete for p in parts)

    @property
    def is_outdated(self) -> bool:
        """Whether the marker records other inputs than the present ones. Outputs that are gone do not count."""
        record = self.record
        return record is not None and self._is_ready_and_changed(record) is True

    def _is_ready_and_changed(self, record: Record) -> bool | None:
        """Whether the inputs differ from those in `record`; None if something that the stage needs is not there yet."""
        try:
            return bool(self.changed(record))
        except NotReady:
            return None

    def changed(self, record: Record) -> list[str]:
        """The names of the inputs that differ from those in `record`, sorted. Raises NotReady.

        A record that lacks its inputs counts as none. What the present inputs lack is an error of its own.
        """
        try:
            then: object = self.recorded(record)
            if not isinstance(then, Mapping):
                return [self.marker.name]
        except _LACKS:
            return [self.marker.name]
        now = self.inputs(record)
        return sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))


def _is_there(path: Path, digest: str | None) -> bool:
    return path.is_file() and (digest is None or sha256(path) == digest)
