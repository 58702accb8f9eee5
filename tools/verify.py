"""Look again at everything that an experiment's results stand on: files, inputs, and what its nets prove.

    python -m tools verify experiments/demo.yaml
    python -m tools verify experiments/demo.yaml --fast         # without LMDBs and nets
    python -m tools verify experiments/demo.yaml --rerun 2      # and train two random runs again
    python -m tools verify experiments/demo.yaml --from docs/results/demo    # published results alone

compares the sha256 of every file with the one that was recorded when it was made: lists, LMDBs, means, prototxts, logs,
CSVs, predictions, nets, tables, claims, figures, the page. It checks that each was made from the others as they are
now, and that copied and frozen layers are still the source net's, bit by bit. It names all faults at once, each with
the command that mends it, and exits with 1 if there are any. It changes no result.

It says what it could not check: files of older versions have no recorded checksum, and nets may be gone (keep_models,
restore). It also says what is not finished, which is no fault. A walk that was stopped goes on from where it was.

--rerun trains runs again in a folder of its own and compares the nets. On the CPU, with the same processor, engine and
number of threads, they must be equal, byte by byte. Otherwise it says how far they are apart.
"""

import argparse
import secrets

from tools import cli
from tools.common.errors import UserError
from tools.protocol.experiment import Experiment, load
from tools.results.columns import engine_name
from tools.training.engine import Engine, NoEngine, engine_of
from tools.verification import rerun
from tools.verification.commands import Commands
from tools.verification.findings import Findings
from tools.verification.published_files import look_at_published
from tools.verification.walk import manifests_of, walk


def main(argv: list[str]) -> int:
    parser = cli.parser("verify", __doc__)
    parser.add_argument("--fast", action="store_true", help="leave out LMDBs, nets and what nets prove")
    parser.add_argument("--rerun", type=_count, default=0, metavar="N", help="train N random runs again, and compare")
    parser.add_argument("--seed", type=int, metavar="S", help="which runs --rerun draws; default: others at each call")
    cli.add_from(parser)
    arguments = parser.parse_args(argv)
    exp = load(arguments.experiment, arguments.set)
    engine = _engine(exp)
    commands = Commands(exp, engine.name if engine else engine_name(), cli.interpreter())
    if arguments.tables:
        if arguments.rerun:
            raise UserError("--from and --rerun: published results have no nets; give one of the two")
        published = look_at_published(arguments.tables, commands)
        print(published.text())
        return 1 if published.faults else 0
    findings = walk(commands, engine, arguments.fast)
    if arguments.rerun:
        seed = secrets.randbelow(10**6) if arguments.seed is None else arguments.seed
        _rerun(commands, arguments.rerun, seed, findings)
    print(findings.text())
    return 1 if findings.faults else 0


def _rerun(commands: Commands, count: int, seed: int, findings: Findings) -> None:
    finished = manifests_of(commands, Findings())
    runs = rerun.draw(commands.exp, finished, count, seed)
    print(f"trains {len(runs)} of {len(finished)} runs again, drawn by --seed {seed}", flush=True)
    for run in runs:
        compared = rerun.train_again(commands.exp, run, finished, commands.selecting(run))
        print(f"{run.key}: trained again: {compared.text}", flush=True)
        if not compared.equal and compared.must_be:
            findings.add(run.manifest, f"trained again: {compared.text}", commands.train_again(run))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: not a number of runs, 1 or more")
    return int(text)


def _engine(exp: Experiment) -> Engine | None:
    try:
        return engine_of(exp)
    except NoEngine:
        return None
