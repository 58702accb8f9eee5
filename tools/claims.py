"""Test the claims of an experiment on its results: its own, and those of the thesis, C1 to C18.

    python -m tools claims experiments/demo.yaml --from docs/results/demo
    python -m tools claims experiments/tiny.yaml --other results/places --claims experiments/claims/mine.yaml

prints a line for each claim and writes results/<experiment>/claims.csv. The experiment's key `claims` names the files
of experiments/claims/; each file is a family of claims. --other and --claims are remembered for the next call, also for
that of a sweep.

verdict: holds or fails if the claim's p-value, corrected for the number of claims tested in its file (Holm), is at most
0.05; else undecided. It is not applicable if the claim is about another data set, or if what it compares was not
measured. The unit is the seed (tools/stats/intervals.py): with one seed a claim is undecided. these_nets is the verdict
of the same test over validation images: it is about the very nets that were trained, not about others. effect, low and
high are of the comparison that the answer depends on, named in `at`: the weakest one of a conjunction. The interval is
a 95 % one, not corrected. more_seeds: at least so many more seeds are needed to decide an undecided claim. With so many
the comparison named in `at` alone has 80 % power, if its effect and spread so far are the true ones; a conjunction can
need more. Blank where 200 would not do, and where a comparison has one seed only, which has no spread.
"""

import math
from pathlib import Path

import numpy as np

from tools import cli
from tools.common.errors import UserError
from tools.common.files import sha256, write_atomic, write_record
from tools.planning.stages import claims_stage
from tools.protocol.experiment import Experiment
from tools.protocol.experiment import load as load_experiment
from tools.protocol.layout import RESULTS, results_folder
from tools.results.columns import CLAIM_COLUMNS, CLAIMS, RUNS, Row, csv_text, engine_name, read_csv, row_of, size_order
from tools.results.tables import Tables, note_changed_tables, tables_of
from tools.stats.claim_places import Places, default_places, own_claims
from tools.stats.claim_tests import ClaimTester, NotApplicable
from tools.stats.claims_file import Claims, load
from tools.stats.terms import ClaimTest

ALPHA, POWER, MOST_SEEDS = 0.05, 0.8, 200


def decide(
    tables: Tables, claims: Claims, prestudy: Tables | None = None, other: Tables | None = None, file: str = "thesis"
) -> list[Row]:
    """The rows of claims.csv for one file of claims: one for each claim, corrected for the number of these."""
    by_seeds = ClaimTester(tables, claims.margin, prestudy, other)
    by_images = ClaimTester(tables, claims.margin, prestudy, other, these_nets=True)
    rows: list[Row] = []
    tests: dict[str, ClaimTest] = {}
    of_nets: dict[str, ClaimTest] = {}
    for name, claim in claims.claims.items():
        row = row_of(CLAIM_COLUMNS, claims=file, claim=name, verdict="not applicable", text=claim.says)
        try:
            tests[name], of_nets[name] = by_seeds.test(claim), by_images.test(claim)
            row |= _facts(tests[name])
        except NotApplicable as why:
            row["note"] = str(why)
        rows.append(row)
    _decide(rows, tests)
    _decide_of_these_nets(rows, of_nets)
    return rows


def _facts(test: ClaimTest) -> Row:
    """The columns that do not depend on the other claims."""
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


def _decide(rows: list[Row], tests: dict[str, ClaimTest]) -> None:
    """Sets the verdicts, with Holm's correction over the claims that have enough seeds (C17: conditions) for a test."""
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
            row |= {"verdict": "undecided", "note": note}


def _decide_of_these_nets(rows: list[Row], tests: dict[str, ClaimTest]) -> None:
    units = {name: {term.estimate.unit for term in test.terms} for name, test in tests.items()}
    family = [row for row in rows if units.get(row["claim"]) == {"images"}]
    for row, _, corrected in _corrected(family, tests):
        row["these_nets"] = _verdict(tests[row["claim"]], corrected)


def _corrected(family: list[Row], tests: dict[str, ClaimTest]) -> list[tuple[Row, float, float]]:
    """Each row with its p-value, and the p-value corrected for the number of rows."""
    raw = [min(1.0, 2 * min(tests[row["claim"]].p_holds, tests[row["claim"]].p_fails)) for row in family]
    return list(zip(family, raw, _holm(raw), strict=True))


def _verdict(test: ClaimTest, corrected: float) -> str:
    return "undecided" if corrected > ALPHA else "holds" if test.p_holds < test.p_fails else "fails"


def _holm(p_values: list[float]) -> np.ndarray:
    from statsmodels.stats.multitest import multipletests  # and pandas: claims that stand need neither

    return multipletests(p_values, method="holm")[1] if p_values else np.array([])


def _more_seeds(test: ClaimTest, tested: int) -> int | None:
    """The number of further seeds with which the deciding comparison has 80 % power, at Holm's strictest level."""
    estimate, threshold = test.deciding.estimate, test.deciding.threshold
    distance, sd = abs(estimate.effect - threshold), estimate.se * math.sqrt(estimate.seeds)
    holds = test.deciding.shortfall < 0
    alpha = ALPHA / 2 / tested / (1 if holds else len(test.terms))
    seeds = np.arange(estimate.seeds + 1, MOST_SEEDS)
    if distance == 0:
        return None
    from statsmodels.stats.power import TTestPower

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
    if row["verdict"] == "undecided" and row.get("p") is None:
        facts.append("how many more seeds: unknown, as one has no spread")
    elif row["verdict"] == "undecided":
        more = row.get("more_seeds")
        facts.append(f"at least {more} more seed{'s' * (more != 1)}" if more else "seeds: many more")
    return f"{head}: {effect}; {'; '.join(facts)}: {row['text']}"


def claims(exp: Experiment, places: Places | None = None) -> bool:
    """Writes claims.csv; returns False if it was complete already. Raises UserError where there are no tables yet."""
    engine = engine_name()
    places = places or default_places(exp, engine)
    folder = results_folder(exp, engine)
    stage = claims_stage(exp, engine, places)
    own = tables_of(exp, places.own)
    prestudy = tables_of(exp, places.prestudy) if places.prestudy else None
    if stage.is_complete:
        return False
    other = Tables(places.other) if places.other else None
    families = {file.stem: load(file) for file in places.claims}
    rows = [row for name, family in families.items() for row in decide(own, family, prestudy, other, name)]
    text = csv_text(CLAIM_COLUMNS, rows)
    stage.marker.unlink(missing_ok=True)
    write_atomic(folder / CLAIMS, text)
    given = places.claims != own_claims(exp)
    remembered = {"other": places.other and str(places.other), "claims": str(places.claims[0]) if given else None}
    write_record(stage.marker, {"inputs": places.checksums, CLAIMS: sha256(folder / CLAIMS)} | remembered)
    return True


def main(argv: list[str]) -> None:
    parser = cli.parser("claims", __doc__, {CLAIMS: CLAIM_COLUMNS})
    cli.add_from(parser)
    parser.add_argument(
        "--other", type=Path, metavar="FOLDER", help="another data set's tables, for C17: results/places"
    )
    parser.add_argument("--prestudy", type=Path, metavar="FOLDER", help="the pre-study's tables; default: beside")
    parser.add_argument(
        "--claims", type=Path, metavar="FILE", help="other claims; default: those that the experiment names"
    )
    given = parser.parse_args(argv)
    exp = load_experiment(given.experiment, given.set)
    default = default_places(exp, engine_name(), given.tables)
    claims_files = (given.claims,) if given.claims else default.claims
    places = Places(default.own, given.prestudy or default.prestudy, given.other or default.other, claims_files)
    for folder in (places.prestudy, places.other):
        if folder and not (folder / RUNS).is_file():
            raise UserError(f"{folder}: no {RUNS} there; name a folder of tables, as {RESULTS}/places")
    for folder in filter(None, (places.own, places.prestudy, places.other)):
        note_changed_tables(folder)
    claims(exp, places)
    for row in read_csv(results_folder(exp, engine_name()) / CLAIMS):
        print(line(row))
    print(f"{results_folder(exp, engine_name()) / CLAIMS}; docs/statistics.md says how claims are tested")
