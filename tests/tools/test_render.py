"""The verb render: a run's two prototxts in its folder, and the plan of its layers on the terminal."""

import pytest

from tests.helpers.file_stamp import stamp
from tools.nets.templates import NET, SOLVER, render
from tools.protocol.experiment import Experiment
from tools.protocol.runs import find_run
from tools.render import main, write

KEY = "A2B/n0004/S1T/seed0"


def test_the_files_are_the_rendered_text_and_stay_untouched_while_it_does_not_change(trained: Experiment) -> None:
    run = find_run(trained, "caffe", KEY)
    before = stamp(run.folder / NET)
    (run.folder / SOLVER).unlink()
    rendered = write(trained, run)
    assert stamp(run.folder / NET) == before
    assert (run.folder / NET).read_text() == rendered.net == render(trained, run).net
    assert (run.folder / SOLVER).read_text() == rendered.solver


def test_the_command_prints_whose_layers_start_the_run_and_which_learn(
    trained: Experiment, capsys: pytest.CaptureFixture
) -> None:
    main(["experiments/quick.yaml", KEY])
    assert capsys.readouterr().out.splitlines() == [
        "A2B/n0004/S1T/seed0: weights from models/quick/B2A/n0012/base/seed0",
        "  conv1  copied, frozen    named conv1",
        "  fc2    random, learning  named fc2_T",
        "  fc3    random, learning  named fc3_T",
        "wrote models/quick/A2B/n0004/S1T/seed0/train_val.prototxt, solver.prototxt and plan.txt",
    ]
    main(["experiments/quick.yaml", "A2B/n0004/base/seed0"])
    assert "A2B/n0004/base/seed0: weights from nowhere: every layer starts random" in capsys.readouterr().out
