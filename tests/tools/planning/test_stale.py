"""summarize, plot and report say it if runs in their tables are stale."""

from pathlib import Path

import pytest

from tools import plot, report, summarize
from tools.common.files import load_json, write_json
from tools.planning.stale import note_stale_runs, stale_runs
from tools.protocol.experiment import Experiment
from tools.protocol.runs import find_run
from tools.training.engine import Engine


def test_runs_made_from_other_inputs_are_stale(
    trained: Experiment, engine: Engine, capsys: pytest.CaptureFixture
) -> None:
    assert stale_runs(trained, engine) == []
    note_stale_runs(trained)
    assert capsys.readouterr().err == ""
    solver = Path("solvers/quick.prototxt")
    solver.write_text(solver.read_text().replace("0.05", "0.04"))
    assert len(stale_runs(trained, engine)) == 5
    note_stale_runs(trained)
    assert capsys.readouterr().err.startswith("note: 5 of the runs in these tables are stale: made from other inputs")


def test_runs_whose_inputs_cannot_be_read_are_not_called_stale(trained: Experiment, engine: Engine) -> None:
    Path("solvers/quick.prototxt").unlink()
    assert stale_runs(trained, engine) == []


@pytest.mark.slow
def test_the_verbs_of_tables_say_it_beside_complete(trained: Experiment, capsys: pytest.CaptureFixture) -> None:
    run = find_run(trained, "caffe", "A2B/n0004/base/seed0")
    manifest = load_json(run.manifest)
    write_json(run.manifest, manifest | {"inputs": manifest["inputs"] | {"mean": "0" * 64}})
    summarize.summarize(trained, "caffe")
    for verb, made in ((summarize, "results/quick"), (plot, "results/quick"), (report, "results/quick/report.html")):
        verb.main(["experiments/quick.yaml"])
        out, err = capsys.readouterr()
        assert made in out
        assert "note: 1 of the runs in these tables is stale" in err and run.key in err
