"""The verb scores on real Caffe: scores of the source net's features on each target set."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.file_stamp import stamp
from tools.common.errors import UserError
from tools.protocol.experiment import Experiment, load
from tools.protocol.runs import find_run
from tools.results.columns import SCORE_NAMES, read_csv
from tools.scores import main, scores
from tools.training.engine import Engine
from tools.training.inputs import NotReady


def test_every_target_set_has_a_row_a_condition(trained: Experiment, engine: Engine) -> None:
    rows, _ = scores(trained, engine)
    assert [(row["size"], row["condition"], row["layer"], row["images"]) for row in rows] == [
        (4, "S1T", "conv1", 8),
        (12, "S1T", "conv1", 24),
    ]
    assert all(row["features"] == 6 for row in rows), "a convolution gives one value a channel"
    for row in rows:
        assert all(row[name] is None or np.isfinite(row[name]) for name in SCORE_NAMES)
        assert row["logme"] is not None and 0 <= row["probe"] <= 1
    assert rows[0]["cka"] is not None and 0 <= rows[0]["cka"] <= 1
    assert len(read_csv(Path("results/quick/scores.csv"))) == 2


def test_a_set_is_scored_again_only_when_its_inputs_change(trained: Experiment, engine: Engine) -> None:
    first, _ = scores(trained, engine)
    file = Path("results/quick/scores/A2B-n0004-seed0.prototxt")
    before = stamp(file)
    assert scores(trained, engine)[0] == first and stamp(file) == before
    fewer, _ = scores(trained, engine, most=5)
    assert [row["images"] for row in fewer] == [5, 5]


def test_the_command_writes_both_tables(trained: Experiment, capsys: pytest.CaptureFixture) -> None:
    main(["experiments/quick.yaml", "--images", "6"])
    assert "results/quick/scores.csv" in capsys.readouterr().out
    assert Path("results/quick/scores_correlation.csv").is_file()


def test_what_cannot_be_scored_is_refused(trained: Experiment, engine: Engine) -> None:
    with pytest.raises(UserError, match="conditions: base; scores are of SnT and FTall: name some"):
        scores(load(Path("experiments/quick.yaml"), "conditions=[base]"), engine)
    source = find_run(trained, "caffe", "B2A/n0012/base/seed0")
    (source.folder / "net_iter_40.caffemodel").unlink()
    with pytest.raises(UserError, match=r"net_iter_40\.caffemodel: gone \(keep_models\); the next sweep"):
        scores(trained, engine)
    source.manifest.unlink()
    with pytest.raises(NotReady, match="its source net is not trained yet"):
        scores(trained, engine)
