"""The tables that an experiment's claims are tested on, and the files of claims."""

from dataclasses import dataclass
from pathlib import Path

from tools.common.files import read_json, read_record, sha256
from tools.protocol.experiment import Experiment
from tools.protocol.layout import results_folder
from tools.results.columns import CLAIMS, CURVES, MANIFESTS, PREDICTIONS, RUNS
from tools.stats.claims_file import FOLDER, THESIS

MARKER = "claims.json"


@dataclass(frozen=True)
class Places:
    """Folders of tables (the experiment's own, its pre-study's, another data set's) and the files of claims."""

    own: Path
    prestudy: Path | None
    other: Path | None
    claims: tuple[Path, ...]

    @property
    def checksums(self) -> dict[str, str]:
        """path -> sha256 of every file that the verdicts depend on."""
        folders = [folder for folder in (self.own, self.prestudy, self.other) if folder]
        tables = [folder / name for folder in folders for name in (RUNS, CURVES, PREDICTIONS)]
        return {str(path): sha256(path) for path in [*tables, *self.claims] if path.is_file()}


def default_places(exp: Experiment, engine: str, own: Path | None = None) -> Places:
    """The experiment's own tables in results/ (or `own`), and those of its pre-study (tiny-prestudy).

    The claims are those that the experiment names. Another data set's tables and another file of claims are remembered
    from the last call of `claims`, if they still exist. Raises UserError for a file of claims that does not exist.
    """
    folder = results_folder(exp, engine)
    last = read_json(folder / MARKER) or {}
    other, claims = (Path(last[key]) if last.get(key) else None for key in ("other", "claims"))
    remembered = claims and claims != THESIS and claims.is_file()
    own, stem = own or folder, exp.file.stem
    is_prestudy = stem.endswith("-prestudy")
    beside = own if is_prestudy else own.with_name(own.name.replace(stem, f"{stem}-prestudy", 1))
    return Places(
        own,
        beside if (beside / RUNS).is_file() and (beside != own or is_prestudy) else None,
        other if other and (other / RUNS).is_file() else None,
        (claims,) if claims and remembered else own_claims(exp),
    )


def are_of(tables: Path) -> bool:
    """Whether the claims.csv in a folder of tables was tested on these tables, byte for byte, as claims.json tells.

    `claims --from` writes verdicts about other tables into the experiment's folder. A published folder has no
    claims.json: `publish` has looked at it.
    """
    if (tables / MANIFESTS).is_file():
        return True
    record = read_record(tables / MARKER, inputs=dict) or {"inputs": {}}
    tested = {sha256(tables / name) for name in (RUNS, CURVES, PREDICTIONS) if (tables / name).is_file()}
    return tested <= set(record["inputs"].values()) and record.get(CLAIMS) == sha256(tables / CLAIMS)


def own_claims(exp: Experiment) -> tuple[Path, ...]:
    """The files that the experiment's `claims` names. Raises UserError for one that does not exist."""
    files = tuple(FOLDER / f"{name}.yaml" for name in exp.claims)
    for file in files:
        if not file.is_file():
            there = ", ".join(sorted(path.stem for path in FOLDER.glob("*.yaml")))
            raise exp.fault("claims", file.stem, f"a file of experiments/claims/, without .yaml: {there}")
    return files
