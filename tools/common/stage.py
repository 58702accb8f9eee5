"""A stage: outputs that appear together, and the marker, written last, that records what they were made from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.common.errors import UserError
from tools.common.files import read_json, sha256

Record = dict[str, Any]  # what a marker holds
Inputs = Mapping[str, Any]  # name -> checksum or setting: equal if the outputs would come out the same
Outputs = Mapping[Path, str | None]  # file -> its checksum, or None where only its presence is asked for


class NotReady(UserError):
    """Something that a stage needs is not there yet. The text names it, and the verb that makes it."""


def _no_outputs(_: Record) -> Outputs:
    return {}


@dataclass(frozen=True)
class Stage:
    """The one rule of "complete": verbs, plan and graph ask the same object.

    marker: a JSON file that is renamed into place when every output is there.
    inputs: what the outputs would be made from now. It is given the marker's record; it may raise NotReady.
    recorded: the same, as the record has it.
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
        """What the marker holds; None where it is absent or unreadable."""
        record = read_json(self.marker)
        return record if isinstance(record, dict) else None

    @property
    def is_complete(self) -> bool:
        return self.is_up_to_date(self.record)

    def is_up_to_date(self, record: Record | None) -> bool:
        """Whether `record` names today's inputs, and its outputs are there. A record with keys missing is not."""
        if record is None:
            return False
        try:
            return (
                not self.changed(record)
                and all(_is_there(path, digest) for path, digest in self.outputs(record).items())
                and all(part.is_complete for part in self.parts(record))
            )
        except (NotReady, KeyError, TypeError, AttributeError):
            return False

    def changed(self, record: Record) -> list[str]:
        """The names of the inputs that are not as `record` has them, sorted. Raises NotReady."""
        now, then = self.inputs(record), self.recorded(record)
        return sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))


def _is_there(path: Path, digest: str | None) -> bool:
    return path.is_file() and (digest is None or sha256(path) == digest)
