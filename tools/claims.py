"""Judge the thesis' claims, C1 to C18, or your own, from the results of an experiment.

    python -m tools claims experiments/tiny.yaml [--from docs/results/tiny] [--other results/places] [--claims MINE]

prints a line a claim and writes results/<experiment>/claims.csv. The claims are data: experiments/claims/thesis.yaml.
--other and --claims are remembered for the next call, a sweep's included.

verdict: holds or fails where the claim's p-value, corrected for how many were tested (Holm), is at most 0.05; else
undecided; not applicable where the claim is of another data set, or what it compares was not measured. Seeds decide
(tools/stats/intervals.py): with one seed a claim is undecided. these_nets is the verdict of the same test over
validation images: true of the very nets that were trained, not of others. effect, low and high are of the comparison
that the answer hangs on, named in `at`: the weakest of a conjunction. The interval is 95 % and not corrected.
more_seeds is how many more seeds would decide an undecided claim with 80 % power, if the effect and spread of the seeds
so far are the true ones; blank where 200 would not, and 2 where a single seed knows no spread.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tools import cli
from tools.common.errors import UserError
from tools.common.files import read_json, sha256, write_atomic, write_json
from tools.protocol.experiment import Experiment
from tools.protocol.experiment import load as load_experiment
from tools.protocol.layout import RESULTS, results_folder
from tools.results.columns import CLAIMS, CURVES, PREDICTIONS, RUNS, Row, csv_text, engine_name, read_csv, size_order
from tools.results.tables import Tables, tables_of
from tools.stats.claims_file import THESIS, Claims, load

MARKER = "claims.json"
COLUMNS = (
    *("claim", "verdict", "these_nets", "text", "n", "seeds", "interval", "effect", "low", "high", "unit"),
    *("p", "p_corrected", "margin", "at", "sizes", "more_seeds", "note"),
)
ALPHA, POWER, MOST_SEEDS = 0.05, 0.8, 200


@dataclass(frozen=True)
class Places:
    """Where the tables are that claims are judged from, and the claims."""

    own: Path
    prestudy: Path | None
    other: Path | None
    claims: Path


def judge(tables: Tables, claims: Claims, prestudy: Tables | None = None, other: Tables | None = None) -> list[Row]:
    """A row of claims.csv for each claim."""
    from tools.stats.claim_tests import ClaimTester, NotApplicable

    by_seeds = ClaimTester(tables, claims.margin, prestudy, other)
    by_images = ClaimTester(tables, claims.margin, prestudy, other, these_nets=True)
    rows, tests, of_nets = [], {}, {}
    for name, claim in claims.claims.items():
        row = {"claim": name, "verdict": "not applicable", "text": claim.says}
        try:
            tests[name], of_nets[name] = by_seeds.test(claim), by_images.test(claim)
            row |= _facts(tests[name])
        except NotApplicable as why:
            row["note"] = str(why)
        rows.append(row)
    _decide(rows, tests)
    _decide_of_these_nets(rows, of_nets)
    return rows


def _facts(test) -> Row:
    """What a test is about, before it is known how many others there are."""
    estimates = [term.estimate for term in test.terms]
    deciding = test.deciding
    low, high = deciding.estimate.interval
    return {
        "n": len(frozenset().union(*(estimate.runs for estimate in estimates))),
        "seeds": deciding.estimate.seeds,
        "interval": deciding.estimate.unit,
        "effect": round(deciding.estimate.effect, 6),
        "low": round(low, 6) if math.isfinite(low) else None,
        "high": round(high, 6) if math.isfinite(high) else None,
        "unit": deciding.unit,
        "margin": abs(deciding.threshold) if deciding.unit == "accuracy" else None,
        "at": deciding.label,
        "sizes": " ".join(map(str, sorted(frozenset().union(*(term.sizes for term in test.terms)), key=size_order))),
    }


def _decide(rows: list[Row], tests: dict) -> None:
    """Verdicts, by Holm's correction among the claims that there are seeds (or conditions, C17) enough to test."""
    weak = {name: [term for term in test.terms if term.estimate.unit in ("images", "")] for name, test in tests.items()}
    family = [row for row in rows if row["claim"] in tests and not weak[row["claim"]]]
    for row, p, corrected in _corrected(family, tests):
        row["verdict"] = _verdict(tests[row["claim"]], corrected)
        row |= {"p": float(f"{p:.4g}"), "p_corrected": float(f"{corrected:.4g}")}
        if row["verdict"] == "undecided" and row["interval"] == "seeds":
            row["more_seeds"] = _more_seeds(tests[row["claim"]], len(family))
    for row in rows:
        if terms := weak.get(row["claim"]):
            note = "one seed: other nets may differ"
            if len(terms) < len(tests[row["claim"]].terms):
                note = f"one seed only has all runs of {terms[0].label}"
            row |= {"verdict": "undecided", "more_seeds": 2 if row["interval"] != "seeds" else 1, "note": note}


def _decide_of_these_nets(rows: list[Row], tests: dict) -> None:
    units = {name: {term.estimate.unit for term in test.terms} for name, test in tests.items()}
    family = [row for row in rows if units.get(row["claim"]) == {"images"}]
    for row, _, corrected in _corrected(family, tests):
        row["these_nets"] = _verdict(tests[row["claim"]], corrected)


def _corrected(family: list[Row], tests: dict) -> list[tuple[Row, float, float]]:
    """Rows with their p-value, and that corrected for how many there are."""
    raw = [min(1.0, 2 * min(tests[row["claim"]].p_holds, tests[row["claim"]].p_fails)) for row in family]
    return list(zip(family, raw, _holm(raw), strict=True))


def _verdict(test, corrected: float) -> str:
    return "undecided" if corrected > ALPHA else "holds" if test.p_holds < test.p_fails else "fails"


def _holm(p_values: list[float]) -> np.ndarray:
    from statsmodels.stats.multitest import multipletests

    return multipletests(p_values, method="holm")[1] if p_values else np.array([])


def _more_seeds(test, tested: int) -> int | None:
    """How many more would decide it with 80 % power, were it the last that Holm's correction comes to."""
    from statsmodels.stats.power import TTestPower

    estimate, threshold = test.deciding.estimate, test.deciding.threshold
    distance, sd = abs(estimate.effect - threshold), estimate.se * math.sqrt(estimate.seeds)
    holds = test.deciding.shortfall < 0
    alpha = ALPHA / 2 / tested / (1 if holds else len(test.terms))
    seeds = np.arange(estimate.seeds + 1, MOST_SEEDS)
    if distance == 0:
        return None
    power = TTestPower().power(distance / max(sd, 1e-12), seeds, alpha, alternative="larger")
    enough = seeds[np.nan_to_num(power, nan=1.0) >= POWER]
    return int(enough[0]) - estimate.seeds if len(enough) else None


def line(row: Row) -> str:
    """`C2 undecided: S2T - S3T at 300: -0.4 points [-1.2, 0.3]; n 36, 3 seeds; ...: a spike at n = 2 ...`"""
    head = f"{row['claim']} {row['verdict']}"
    if row["verdict"] == "not applicable":
        return f"{head}: {row['note']}: {row['text']}"
    scale, unit = (100, " points") if row["unit"] == "accuracy" else (1, f" {row['unit']}")
    unit = "" if row["unit"] == "rho" else unit
    digits = 2 if row["unit"] == "rho" else 1
    effect = f"{row['at']}: {scale * row['effect']:+.{digits}f}{unit}"
    if row["low"] is not None:
        effect += f" [{scale * row['low']:+.{digits}f}, {scale * row['high']:+.{digits}f}]"
    facts = [f"n {row['n']}, {row['seeds']} seed{'s' * (row['seeds'] != 1)}"]
    if row.get("p") is not None:
        facts.append(f"p {row['p']:.3g}, corrected {row['p_corrected']:.3g}")
    if row.get("these_nets"):
        facts.append(f"in these nets: {row['these_nets']}")
    if row["verdict"] == "undecided":
        more = row.get("more_seeds")
        facts.append(f"{'at least ' if row.get('p') is None else ''}{more} more seeds" if more else "seeds: many more")
    return f"{head}: {effect}; {'; '.join(facts)}: {row['text']}"


def claims(exp: Experiment, places: Places | None = None) -> bool:
    """Writes claims.csv; returns False if it was complete already. Raises UserError where there are no tables yet."""
    places = places or default_places(exp)
    folder = results_folder(exp, engine_name())
    if _is_complete(folder, places):
        return False
    own = tables_of(exp, places.own)
    prestudy, other = (tables_of(exp, place) if place else None for place in (places.prestudy, places.other))
    rows = judge(own, load(places.claims), prestudy, other)
    text = csv_text(COLUMNS, rows)
    (folder / MARKER).unlink(missing_ok=True)
    write_atomic(folder / CLAIMS, text)
    remembered = {"other": places.other and str(places.other), "claims": str(places.claims)}
    write_json(folder / MARKER, {"inputs": _inputs(places), CLAIMS: sha256(folder / CLAIMS)} | remembered)
    return True


def is_complete(exp: Experiment, engine: str) -> bool:
    """Whether claims.csv is that of the tables as they are, for the graph, which gives no options."""
    return _is_complete(results_folder(exp, engine), default_places(exp, engine))


def _is_complete(folder: Path, places: Places) -> bool:
    made = read_json(folder / MARKER)
    if made is None or not (folder / CLAIMS).is_file() or made[CLAIMS] != sha256(folder / CLAIMS):
        return False
    return (places.own / RUNS).is_file() and made["inputs"] == _inputs(places)


def _inputs(places: Places) -> dict[str, str]:
    folders = [folder for folder in (places.own, places.prestudy, places.other) if folder]
    tables = [folder / name for folder in folders for name in (RUNS, CURVES, PREDICTIONS)]
    return {str(path): sha256(path) for path in [*tables, places.claims] if path.is_file()}


def default_places(exp: Experiment, engine: str | None = None, own: Path | None = None) -> Places:
    """The experiment's own tables in results/, its pre-study's beside them (tiny-prestudy), and what else the claims
    were last judged with, as far as it is there."""
    folder = results_folder(exp, engine or engine_name())
    made = read_json(folder / MARKER) or {"other": None, "claims": ""}
    other = Path(made["other"]) if made["other"] and (Path(made["other"]) / RUNS).is_file() else None
    claims = Path(made["claims"]) if Path(made["claims"]).is_file() else THESIS
    own, stem = own or folder, exp.file.stem
    beside = own if stem.endswith("-prestudy") else own.with_name(own.name.replace(stem, f"{stem}-prestudy", 1))
    is_there = (beside / RUNS).is_file() and (beside != own or stem.endswith("-prestudy"))
    return Places(own, beside if is_there else None, other, claims)


def main(argv: list[str]) -> None:
    parser = cli.parser("claims", __doc__)
    parser.add_argument(
        "--from", dest="tables", type=Path, metavar="FOLDER", help="tables elsewhere: docs/results/tiny"
    )
    parser.add_argument(
        "--other", type=Path, metavar="FOLDER", help="another data set's tables, for C17: results/places"
    )
    parser.add_argument("--prestudy", type=Path, metavar="FOLDER", help="the pre-study's tables; default: beside")
    parser.add_argument("--claims", type=Path, metavar="FILE", help="the claims; default: the thesis'")
    given = parser.parse_args(argv)
    exp = load_experiment(given.experiment, given.set)
    found = default_places(exp, own=given.tables)
    places = Places(
        found.own, given.prestudy or found.prestudy, given.other or found.other, given.claims or found.claims
    )
    for folder in (places.prestudy, places.other):
        if folder and not (folder / RUNS).is_file():
            raise UserError(f"{folder}: no {RUNS} there; name a folder of tables, as {RESULTS}/places")
    claims(exp, places)
    for row in read_csv(results_folder(exp, engine_name()) / CLAIMS):
        print(line(row))
    print(f"{results_folder(exp, engine_name()) / CLAIMS}; docs/statistics.md says how it is judged")
