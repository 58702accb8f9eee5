"""What the command lines of all verbs share."""

import argparse
from pathlib import Path

from tools.protocol.experiment import Experiment, load


def parser(verb: str, text: str) -> argparse.ArgumentParser:
    """A parser for `python -m tools VERB EXPERIMENT [--set "key=value ..."]`; `text` is the verb's docstring."""
    summary = text.strip().splitlines()[0]
    parser = argparse.ArgumentParser(prog=f"python -m tools {verb}", description=summary)
    parser.add_argument("experiment", type=Path, help="experiment file: experiments/demo.yaml")
    parser.add_argument("--set", default="", metavar="TEXT", help='keys to override: "max_iter=200 sizes=[50,100]"')
    return parser


def add_from(parser: argparse.ArgumentParser) -> None:
    """The option of verbs that can work from published tables: `--from FOLDER`, as `tables`."""
    parser.add_argument(
        "--from", dest="tables", type=Path, metavar="FOLDER", help="published tables, not the experiment's own"
    )


def experiment(verb: str, text: str, argv: list[str]) -> Experiment:
    """The experiment that `argv` names, for verbs that take nothing else."""
    arguments = parser(verb, text).parse_args(argv)
    return load(arguments.experiment, arguments.set)
