"""A note for the verbs that work on tables: which runs in them were made from other inputs than the present ones."""

import contextlib
import sys

from caffeformat import FormatError
from tools.common.errors import UserError
from tools.planning.state import STALE, run_state
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run, experiment_name
from tools.results.ended_runs import runs_on_disk
from tools.training.engine import Engine, engine_of


def stale_runs(exp: Experiment, engine: Engine) -> list[Run]:
    """The runs in models/<experiment>/ that are finished and stale, in the order of the tables.

    One whose inputs cannot be read, such as a template that is gone, does not count.
    """
    found = []
    for run in runs_on_disk(experiment_name(exp, engine.name)):
        with contextlib.suppress(UserError, FormatError):
            if run.manifest.exists() and run_state(exp, run, engine).startswith(STALE):
                found.append(run)
    return found


def note_stale_runs(exp: Experiment) -> None:
    """Prints a note on stderr if there are any. Without an engine, whose version is an input, nothing is known."""
    with contextlib.suppress(UserError):
        stale = stale_runs(exp, engine_of(exp))
        if stale:
            print(
                f"note: {len(stale)} of the runs in these tables {'is' if len(stale) == 1 else 'are'} stale: made from "
                f"other inputs than now, such as {stale[0].key}. `python -m tools status {exp.file}` names them; a "
                "sweep trains them again.",
                file=sys.stderr,
            )
