"""The files of the data that runs stand on: lists, LMDBs, means, and the records that name them."""

from collections import defaultdict
from typing import Any

from tools.common.errors import UserError
from tools.common.files import is_whole, read_json
from tools.common.lmdb_checksum import CHECKSUM
from tools.common.lmdb_removal import is_removed
from tools.planning.stages import mean_file, split_stage
from tools.protocol.experiment import Experiment, Size
from tools.protocol.layout import Run, Split, split_of, train_sizes
from tools.protocol.runs import train_set
from tools.verification.commands import Commands
from tools.verification.findings import Check, Findings


def sizes_of_seeds(exp: Experiment, finished: list[Run]) -> dict[int, list[Size]]:
    """Seed -> the sizes of lists and LMDBs that the experiment or a finished run needs."""
    needed: defaultdict[int, list[Size]] = defaultdict(list)
    for seed in exp.seeds:
        needed[seed] = train_sizes(exp)
    for run in finished:
        for size in (exp.full_size, train_set(exp, run)[1]):
            if size not in needed[run.seed]:
                needed[run.seed].append(size)
    return dict(needed)


class DataFiles:
    """Of one seed. `stands`: whether a finished run stands on them; then a file that is not there is a fault."""

    def __init__(self, commands: Commands, seed: int, sizes: list[Size], stands: bool, findings: Findings) -> None:
        self._commands, self._seed, self._sizes, self._stands, self._findings = commands, seed, sizes, stands, findings
        self._place: Split = split_of(commands.exp, seed)

    def checks(self) -> list[Check]:
        """The files and their checksums. Adds a fault for a record that is absent, broken, or of other files."""
        split = self._record(self._place.marker, "lists", "split")
        if split is None:
            return []
        self._record(self._place.packed, "lmdbs", "pack")
        checks = []
        for name in self._place.lists(self._sizes):
            entry = split["lists"].get(f"{name}.txt")
            if isinstance(entry, dict) and "sha256" in entry:
                checks.append(Check(self._place.list_file(name), entry["sha256"], self._command("split")))
                checks += self._lmdb(name, entry)
            else:
                self._missing(self._place.list_file(name), "split", f"not in {self._place.marker}")
        return checks + self._means()

    def check_images(self) -> None:
        """Adds a fault if the images are there, and are not those that the lists were made of."""
        exp = self._commands.exp
        if self._seed not in exp.seeds or self._place.marker in self._findings.damaged:
            return
        stage = split_stage(exp, self._seed)
        try:
            changed = stage.changed(stage.record) if stage.record else []
        except UserError as error:
            self._findings.left_out[str(error)].append("the images")
            return
        if changed:
            what = f"made of other images than are there now ({', '.join(changed)})"
            self._findings.add(self._place.marker, what, self._commands.sweep())

    def _lmdb(self, name: str, entry: dict[str, str]) -> list[Check]:
        folder = self._place.lmdb(name)
        again = self._commands.remove(folder, self._command("pack", "mean"))
        packed = self._record(folder / "pack.json", "list_sha256", "pack", again)
        if packed is None:
            return []
        if packed["list_sha256"] != entry["sha256"]:
            self._findings.add(folder / "pack.json", f"of another list than {self._place.list_file(name)}", again)
        elif "content" in packed and packed["content"] != entry.get("content"):
            what = f"of other images than those of {self._place.list_file(name)}"
            self._findings.add(folder / "pack.json", what, again)
        recorded = packed.get(CHECKSUM)
        digest = recorded.get("sha256") if isinstance(recorded, dict) else None
        return [Check(folder / "data.mdb", digest, again, large=True, may_be_gone=is_removed(folder))]

    def _means(self) -> list[Check]:
        record = self._record(self._place.means, "means", "mean")
        checks = []
        for name in self._place.train_sets(self._sizes) if record else []:
            digest = record["means"].get(name) if record else None
            if digest:
                checks.append(Check(mean_file(self._place, name), digest, self._command("mean")))
            elif (self._place.lmdb(name) / "pack.json").is_file():
                self._missing(mean_file(self._place, name), "mean", f"not in {self._place.means}")
        return checks

    def _record(self, marker: Any, key: str, verb: str, again: str | None = None) -> dict[str, Any] | None:
        """The record that must have `key`; None, with a fault, if it is absent or broken."""
        if not marker.exists():
            self._missing(marker, verb, "not there", again)
            return None
        record = read_json(marker)
        if not isinstance(record, dict) or key not in record or (key[-1] == "s" and not isinstance(record[key], dict)):
            self._findings.add(marker, f"broken: not JSON, or it has no {key}", again or self._command(verb))
            return None
        if not is_whole(record):
            again = again or self._commands.remove(marker, self._command(verb))
            self._findings.add(marker, "changed since it was written", again)
            return None
        return record

    def _missing(self, file: Any, verb: str, what: str, again: str | None = None) -> None:
        if self._stands:
            self._findings.add(file, what, again or self._command(verb))
        elif (line := f"{verb} of seed {self._seed}") not in self._findings.unfinished:
            self._findings.unfinished.append(line)

    def _command(self, *verbs: str) -> str:
        return self._commands.of_data(*verbs, seed=self._seed, sizes=self._sizes)
