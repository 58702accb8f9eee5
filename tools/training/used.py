"""The files that a training reads, hashed as they are used, and compared with what their own records say.

A manifest must name the bytes that were used. So the weights, the mean and the LMDBs are checked before the engine
starts, and again when it has read them: a file that was exchanged before or meanwhile is refused by name.
"""

from pathlib import Path

from tools.common.files import read_json, sha256
from tools.common.lmdb_checksum import CHECKSUM, lmdb_fault
from tools.common.stage import NotReady, Record
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run, split_of
from tools.protocol.runs import lmdbs_of, mean_of, source_run
from tools.training.inputs import check_lmdbs, images_of, trained_weights
from tools.training.process import RunFailed


def used_files(exp: Experiment, run: Run) -> Record:
    """The manifest's entry `used`: name -> sha256 of what the engine reads.

    `weights`: the source net's caffemodel, hashed now. `mean`: the mean file, hashed now. `train_data`, `val_data`: of
    the whole data.mdb, as pack stored it; size and samples of the file are compared with it. None for an LMDB of an
    older version. `train_images`, `val_images`: of the image files that the LMDBs were made of, as pack stored it.
    Raises RunFailed for a file that is not what its record says, NotReady for one that is absent.
    """
    used: Record = {}
    if source := source_run(exp, run):
        used["weights"] = checked_weights(exp, source)[1]
    used["mean"] = _mean(exp, run)
    return used | used_data(exp, run)


def used_data(exp: Experiment, run: Run) -> Record:
    """`train_data`, `val_data`, `train_images` and `val_images` of `used_files`."""
    check_lmdbs(exp, run)
    lmdbs = zip(("train_data", "val_data"), lmdbs_of(exp, run), strict=True)
    return {name: _data(exp, folder) for name, folder in lmdbs} | images_of(exp, run)


def checked_weights(exp: Experiment, run: Run) -> tuple[Path, str]:
    """The caffemodel of a finished run and its sha256. Raises RunFailed unless the file is the one in its manifest.

    Raises NotReady if the run is not finished or its caffemodel is gone.
    """
    path, recorded = trained_weights(run)
    again = f"`python -m tools sweep {exp.file}` trains it again"
    if not path.is_file():
        raise NotReady(f"{path}: gone (keep_models, or deleted); {again}")
    found = sha256(path)
    if found != recorded:
        raise RunFailed(
            f"{path}: not the net that {run.manifest.name} beside it names: its sha256 is {found}, there it is "
            f"{recorded}; remove the file, then {again}: rm {path}"
        )
    return path, found


class Confirmation:
    """Looks, once the engine has read its files, whether they still are what `used` says. Raises RunFailed."""

    def __init__(self, exp: Experiment, run: Run, used: Record) -> None:
        self._exp, self._run, self._used = exp, run, used
        self._has_started = False

    def take(self, line: str) -> None:
        """Takes the lines of the engine's log. It has read all files but the LMDBs before it says that it starts."""
        if not self._has_started and "Starting Optimization" in line:
            self._has_started = True
            self._compare(used_files(self._exp, self._run))

    def at_the_end(self) -> None:
        """To be called when the engine has ended. The source net may be gone by now, the LMDBs were read until now."""
        self._compare((used_data if self._has_started else used_files)(self._exp, self._run))

    def _compare(self, now: Record) -> None:
        changed = ", ".join(name for name, digest in now.items() if digest != self._used[name])
        if changed:
            raise RunFailed(f"{self._run.folder}: {changed}: exchanged while the engine used it; train the run again")


def _mean(exp: Experiment, run: Run) -> str:
    path, split = mean_of(exp, run), split_of(exp, run.seed)
    found = sha256(path)
    name = str(path.parent.relative_to(split.folder / split.images))
    record = read_json(split.means)
    means = record.get("means") if isinstance(record, dict) else None
    recorded = means.get(name) if isinstance(means, dict) else None
    if recorded not in (None, found):
        raise RunFailed(
            f"{path}: not the mean that {split.means} names: its sha256 is {found}, there it is {recorded}; "
            f"`python -m tools mean {exp.file}` computes it again"
        )
    return found


def _data(exp: Experiment, folder: Path) -> str | None:
    if fault := lmdb_fault(folder):
        again = f"`python -m tools pack {exp.file}` packs it again"
        raise RunFailed(f"{fault}; remove the folder, then {again}: rm -r {folder}")
    recorded = (read_json(folder / "pack.json") or {}).get(CHECKSUM) or {}
    return recorded.get("sha256")
