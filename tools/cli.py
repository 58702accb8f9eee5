"""Common parts of the command lines of all verbs."""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tools.results.columns import Columns

if TYPE_CHECKING:
    from tools.protocol.experiment import Experiment


def bare_parser(verb: str, doc: str | None, tables: Mapping[str, Columns] | None = None) -> argparse.ArgumentParser:
    """A parser whose --help is the verb's whole docstring `doc`, and the columns of the `tables` that it writes."""
    return argparse.ArgumentParser(
        prog=f"python -m tools {verb}",
        description=(doc or "").strip().replace("python -m tools", f"{interpreter()} -m tools"),
        epilog="\n\n".join(_columns(name, columns) for name, columns in (tables or {}).items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def parser(verb: str, doc: str | None, tables: Mapping[str, Columns] | None = None) -> argparse.ArgumentParser:
    """The same for a verb that takes an experiment: `EXPERIMENT [--set "key=value ..."]`."""
    parser = bare_parser(verb, doc, tables)
    parser.add_argument("experiment", type=Path, help="experiment file: experiments/demo.yaml")
    parser.add_argument("--set", default="", metavar="TEXT", help='keys to override: "max_iter=200 sizes=[50,100]"')
    return parser


def add_from(parser: argparse.ArgumentParser) -> None:
    """The option of verbs that can work from published tables: `--from FOLDER`, as `tables`."""
    parser.add_argument(
        "--from", dest="tables", type=Path, metavar="FOLDER", help="published tables, not the experiment's own"
    )


def add_run(parser: argparse.ArgumentParser) -> None:
    """The argument of verbs that work on one run: its key or folder, as `run`."""
    parser.add_argument("run", help="the run's key or folder: A2B/n0300/S3T/seed0")


def experiment(
    verb: str, doc: str | None, argv: list[str], tables: Mapping[str, Columns] | None = None
) -> "Experiment":
    """The experiment that `argv` names, for verbs that take nothing else."""
    from tools.protocol.experiment import load  # half of the time that `parse` needs to start, which needs it not

    arguments = parser(verb, doc, tables).parse_args(argv)
    return load(arguments.experiment, arguments.set)


def interpreter() -> str:
    """The command that starts this Python, so that the examples in --help run as pasted."""
    path = Path(os.path.abspath(sys.executable))
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _columns(table: str, columns: Columns) -> str:
    width = max(map(len, columns))
    return "\n".join([f"columns of {table}:", *(f"  {name:{width}}  {meaning}" for name, meaning in columns.items())])
