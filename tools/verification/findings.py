"""What a walk has found: faults with the commands that mend them, and what is not finished, not here or not checked."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

_SHOWN = 3  # names of a long list


@dataclass(frozen=True)
class Fault:
    file: Path
    what: str
    command: str  # mends it


@dataclass(frozen=True)
class Check:
    """A file that must have a checksum."""

    file: Path
    sha256: str | None  # None: the record has none
    command: str  # mends it
    large: bool = False  # left out by --fast
    may_be_gone: bool = False  # `keep_models` and `keep_lmdbs` remove it, `restore` does not bring a net

    @property
    def bytes(self) -> int:
        return self.file.stat().st_size if self.file.is_file() else 0


@dataclass
class Findings:
    """unfinished: what a sweep has still to do. gone: nets and LMDBs that are not here.

    unrecorded: files without a checksum. left_out: what was not looked at, and why.
    """

    faults: list[Fault] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    gone: list[Path] = field(default_factory=list)
    unrecorded: list[Path] = field(default_factory=list)
    left_out: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    files: int = 0  # whose checksum is the recorded one
    proofs: int = 0  # runs whose copied layers are still proven

    @property
    def damaged(self) -> set[Path]:
        return {fault.file for fault in self.faults}

    def add(self, file: Path, what: str, command: str) -> None:
        self.faults.append(Fault(file, what, command))

    def text(self) -> str:
        """Every fault with its command, then what else there is to say, then the verdict."""
        lines = []
        for fault in self.faults:
            lines += [f"{fault.file}: {fault.what}", f"    {fault.command}"]
        lines += [f"not looked at: {_some(names)}: {why}" for why, names in self.left_out.items()]
        nets = [path for path in self.gone if path.name != "data.mdb"]
        lmdbs = [path.parent for path in self.gone if path.name == "data.mdb"]
        if nets:
            why = "restored or removed since (keep_models)"
            lines.append(f"not here: {_count(len(nets), 'net')}, {why}: {_some(map(str, nets))}")
        if lmdbs:
            named = _some(map(str, lmdbs))
            lines.append(f"not here: {_count(len(lmdbs), 'LMDB')}, removed since (keep_lmdbs): {named}")
        if self.unrecorded:
            kinds = Counter(path.name for path in self.unrecorded)
            named = ", ".join(f"{count} {name}" for name, count in kinds.most_common())
            lines.append(f"not checked: {_count(len(self.unrecorded), 'file')} without a recorded checksum: {named}")
        if self.unfinished:
            lines.append(f"not finished: {_some(self.unfinished)}")
        return "\n".join([*lines, self.verdict])

    @property
    def verdict(self) -> str:
        good = f"{_count(self.files, 'file')} as recorded, {_count(self.proofs, 'copying run')} proven again"
        if self.faults:
            return f"{_count(len(self.faults), 'fault')}; {good}; the command below each fault mends it"
        return f"no fault{' in what there is' if self.unfinished else ''}: {good}"


def _some(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - _SHOWN
    return ", ".join(every[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
