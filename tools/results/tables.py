"""The tables of an experiment, from results/EXP or from docs/results/EXP, where they are published.

In a notebook, as pandas frames:

    from tools.results.tables import frames
    tables = frames("demo")      # tables["runs"], tables["summary"], tables["curves"], tables["claims"]
"""

import io
import json
import sys
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from tools.common.checkout import CHECKOUT
from tools.common.errors import Faults, UserError
from tools.common.files import is_whole, read_record, sha256
from tools.protocol.experiment import Experiment, Size
from tools.protocol.layout import RESULTS, results_folder
from tools.results.columns import CURVES, NAMES, PREDICTIONS, RUNS, Row, engine_name, label_key, read_csv, size_order

if TYPE_CHECKING:
    import pandas

PUBLISHED = Path("docs") / "results"
_OF_MANIFESTS = ("experiment", "run", "engine", "commit", "began", "ended")  # keys that are read


@dataclass(frozen=True)
class Tables:
    """The tables in a folder. Each is read at its first use."""

    folder: Path

    @cached_property
    def runs(self) -> list[Row]:
        return self._csv(RUNS)

    @cached_property
    def curves(self) -> list[Row]:
        return self._csv(CURVES)

    @cached_property
    def predictions(self) -> dict[str, np.ndarray]:
        """Predicted classes by run key, labels by `label/A2B/seed0`; empty for older tables."""
        path = self.folder / PREDICTIONS
        if not path.exists():
            return {}
        try:
            with np.load(path) as file:
                arrays = dict(file)
            for key in (name for name in arrays if name.count("/") == 3):
                if label_key(key) not in arrays or len(arrays[label_key(key)]) != len(arrays[key]):
                    raise ValueError(f"it lacks labels for the predictions of {key}")
        except (ValueError, EOFError, BadZipFile, zlib.error) as error:
            raise UserError(f"{path}: cut or damaged: {error}; summarize or publish the experiment again") from None
        return arrays

    @property
    def dataset(self) -> str:
        return self.runs[0]["dataset"]

    @property
    def sizes(self) -> list[Size]:
        return sorted({row["size"] for row in self.runs}, key=size_order)

    @property
    def seeds(self) -> list[int]:
        return sorted({row["seed"] for row in self.runs})

    def _csv(self, name: str) -> list[Row]:
        path = self.folder / name
        if not path.is_file():
            raise UserError(f"{path}: no such table; summarize the experiment first, or give another folder")
        rows = read_csv(path)
        if name == RUNS and not rows:
            raise UserError(f"{path}: not one run in it; sweep first")
        return rows


def tables_of(exp: Experiment, folder: Path | None) -> Tables:
    """The tables in `folder`, else those of the experiment in results/.

    Raises UserError where there are none, or where they are of another data set than `exp`.
    """
    tables = Tables(folder or results_folder(exp, engine_name()))
    others = {row["dataset"] for row in tables.runs if row.get("dataset")} - {exp.dataset}
    if others:
        raise UserError(
            f"{tables.folder / RUNS}: its runs are of {', '.join(sorted(others))}, and {exp.file} is about "
            f"{exp.dataset}; name a folder of that data set's tables, or the experiment that these belong to"
        )
    return tables


def note_changed_tables(folder: Path) -> None:
    """Prints a note on stderr for each table that summary.json in `folder` names, and that is changed or gone."""
    recorded = (read_record(folder / "summary.json", tables=dict) or {"tables": {}})["tables"]
    for name, digest in recorded.items():
        if not (folder / name).is_file():
            print(f"note: {folder / name}: not there, and {folder}/summary.json names it", file=sys.stderr)
        elif sha256(folder / name) != digest:
            changed = f"cut or edited since {folder}/summary.json was written; `verify` says what mends it"
            print(f"note: {folder / name}: {changed}", file=sys.stderr)


def read_manifests(path: Path) -> list[dict[str, Any]]:
    """The manifests of published runs, one a line. Raises UserError, with the lines, if one is none or was edited.

    Those of older versions have no checksum; of these nothing is known.
    """
    manifests, faults = [], Faults()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        with faults:
            try:
                manifest = json.loads(line)
                if lacking := [key for key in _OF_MANIFESTS if key not in manifest]:
                    raise ValueError(f"it lacks {', '.join(lacking)}")
            except (ValueError, TypeError) as error:
                raise UserError(f"{path}:{number}: no manifest of a run ({error}); publish it again") from None
            if not is_whole(manifest):
                raise UserError(f"{path}:{number}: the manifest of {manifest['run']} was edited; publish it again")
        manifests.append(manifest)
    faults.raise_all()
    return manifests


def best_iterations(curves: list[Row]) -> tuple[dict[str, float], float]:
    """Run key -> iteration of its lowest validation loss after iteration 0; and the iterations between two tests."""
    best: dict[str, Row] = {}
    tested: set[int] = set()
    for row in curves:
        if row["validation_loss"] is None or not row["iteration"] or not np.isfinite(row["validation_loss"]):
            continue
        tested.add(row["iteration"])
        if row["run"] not in best or row["validation_loss"] < best[row["run"]]["validation_loss"]:
            best[row["run"]] = row
    steps = np.diff(sorted(tested))
    return {key: float(row["iteration"]) for key, row in best.items()}, float(steps.min()) if len(steps) else 0.0


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """Arrays by name as a compressed .npz. Equal arrays give equal bytes: numpy dates its members 1980."""
    out = io.BytesIO()
    np.savez_compressed(out, allow_pickle=False, **arrays)
    return out.getvalue()


def frames(experiment: str) -> dict[str, "pandas.DataFrame"]:
    """The CSV tables of an experiment by name (`runs`, `summary`, `curves`, `claims`, ...) as pandas frames.

    `experiment`: the name of a folder of results/ or docs/results/ below the cwd or the checkout, or a folder.
    """
    import pandas

    places = [
        Path(experiment),
        *(root / top / experiment for root in (Path(), CHECKOUT) for top in (RESULTS, PUBLISHED)),
    ]
    folder = next((place for place in places if (place / RUNS).is_file()), None)
    if folder is None:
        raise UserError(f"{experiment}: no tables in {', '.join(map(str, places[1:3]))}; sweep or summarize it first")
    texts = dict.fromkeys(NAMES, str)
    blank = ["", "nan", "-nan"]  # and not None or NA: a class may be called so
    return {
        path.stem: pandas.read_csv(path, dtype=texts, keep_default_na=False, na_values=blank)
        for path in sorted(folder.glob("*.csv"))
    }
