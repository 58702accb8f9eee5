"""The verb plot: tables, logs and LMDBs in; figures, and the numbers behind them, out."""

import csv
import re
import shutil
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.helpers.finished_runs import demo, fail, finish, pack_samples, whole_sweep
from tests.helpers.result_tables import write_tables
from tools.common.errors import UserError
from tools.common.files import read_json, write_json
from tools.figures import curves
from tools.planning.stages import plot_stage
from tools.plot import main, plot, plot_runs
from tools.protocol.experiment import Experiment
from tools.protocol.layout import results_folder, split_of
from tools.summarize import summarize

FIGURES = Path("results/demo/figures")
NAMES = ("accuracy", "by_size", "gain", "learning_curves", "samples")

pytestmark = pytest.mark.usefixtures("root")


def is_complete(exp: Experiment, engine: str) -> bool:
    results = results_folder(exp, engine)
    return plot_stage(results, results).is_complete


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a whole demo with all its figures, drawn once: for tests that only look."""
    place = tmp_path_factory.mktemp("drawn")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")
        patch.chdir(place)
        exp = demo()
        whole_sweep()
        pack_samples(exp)
        summarize(exp, "caffe")
        assert plot(exp, "caffe") is True
    return place


@pytest.fixture
def sweep(drawn: Path, root: Path) -> Experiment:
    """A copy of it, in the working directory, for tests that change something."""
    shutil.copytree(drawn, root, dirs_exist_ok=True)
    return demo()


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_a_png_of_at_least_1200_pixels_with_something_in_it(drawn: Path, name: str):
    picture = cv2.imread(str(drawn / FIGURES / f"{name}.png"))
    assert picture.shape[1] >= 1200
    ink = (picture < 250).any(axis=2)
    assert ink.mean() > 0.02
    border = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
    assert not border.any(), "something is cut off at the edge"


@pytest.mark.parametrize("name", NAMES)
def test_the_text_of_a_pdf_stays_text_in_truetype_fonts(drawn: Path, name: str):
    pdf = (drawn / FIGURES / f"{name}.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    text = b"".join(zlib.decompress(s) for s in streams if s[:1] == b"x")
    assert b" Tf" in text and (b"TJ" in text or b"Tj" in text)


def test_the_numbers_of_the_accuracy_figure_are_those_of_the_summary(drawn: Path):
    columns = ("size", "condition", "accuracy", "sd", "low", "high", "n", "at_end")
    summary = [{name: row[name] for name in columns} for row in rows(drawn / "results/demo/summary.csv")]
    assert rows(drawn / FIGURES / "accuracy.csv") == summary
    assert len(summary) == 27


def test_the_numbers_of_the_learning_curves_are_those_of_the_source_nets_logs(drawn: Path):
    found = rows(drawn / FIGURES / "learning_curves.csv")
    nets = ["B2A/n6000/base/seed0", "A2B/n6000/base/seed0"]
    assert list(dict.fromkeys(row["run"] for row in found)) == nets
    for net in nets:
        folder = drawn / "models/demo" / net
        tests = {row["NumIters"]: (row["accuracy"], row["loss"]) for row in rows(folder / "test.csv")}
        train = {row["NumIters"]: row["SmoothedLoss"] for row in rows(folder / "train.csv")}
        of_net = [row for row in found if row["run"] == net]
        seen = {r["iteration"]: (float(r["accuracy"]), float(r["validation_loss"])) for r in of_net if r["accuracy"]}
        assert seen == {at: (float(a), float(b)) for at, (a, b) in tests.items()}
        assert {r["iteration"]: float(r["training_loss"]) for r in of_net if r["training_loss"]} == {
            at: float(loss) for at, loss in train.items()
        }


@pytest.mark.slow
def test_the_same_results_give_the_same_bytes(sweep: Experiment, drawn: Path):
    for name in NAMES:
        for kind in ("png", "pdf"):
            (FIGURES / f"{name}.{kind}").unlink()
    assert plot(sweep, "caffe") is True
    for file in sorted((drawn / FIGURES).iterdir()):
        assert (FIGURES / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_second_call_does_nothing_until_the_runs_change(sweep: Experiment):
    before = (FIGURES / "accuracy.png").stat().st_mtime_ns
    assert is_complete(sweep, "caffe") and plot(sweep, "caffe") is False
    assert (FIGURES / "accuracy.png").stat().st_mtime_ns == before
    finish("A2B/n0060/S2T/seed0", 0.99)
    summarize(sweep, "caffe")
    assert not is_complete(sweep, "caffe")


@pytest.mark.slow
def test_a_figure_that_was_removed_is_drawn_again(sweep: Experiment):
    (FIGURES / "learning_curves.pdf").unlink()
    assert not is_complete(sweep, "caffe")
    plot(sweep, "caffe")
    assert (FIGURES / "learning_curves.pdf").exists()


@pytest.mark.slow
def test_a_figure_whose_bytes_changed_is_drawn_again(sweep: Experiment):
    good = (FIGURES / "gain.png").read_bytes()
    (FIGURES / "gain.png").write_bytes(good[:-9] + b"x" + good[-8:])
    assert not is_complete(sweep, "caffe")
    assert plot(sweep, "caffe") is True
    assert (FIGURES / "gain.png").read_bytes() == good and is_complete(sweep, "caffe")


def test_figures_whose_record_has_no_checksums_are_complete(sweep: Experiment):
    record = read_json(FIGURES / "figures.json")
    assert record["outputs"].keys() == set(record["files"])
    del record["outputs"]
    write_json(FIGURES / "figures.json", record)
    assert is_complete(sweep, "caffe")


def test_without_lmdbs_the_samples_stay_as_they_are_and_the_others_are_drawn(sweep: Experiment, capsys):
    shutil.rmtree(split_of(sweep, 0).train_lmdb("B", 6000))
    old = (FIGURES / "samples.png").read_bytes()
    finish("A2B/n0060/S2T/seed0", 0.99)
    summarize(sweep, "caffe")
    plot(sweep, "caffe")
    said = capsys.readouterr().out
    assert "results/demo/figures/samples: not drawn: data/fashion-mnist/split0/28x28-gray/B/n6000" in said
    assert "; the earlier one stays here, and is neither on the page nor published" in said
    assert (FIGURES / "samples.png").read_bytes() == old
    assert "60,S2T,0.84,0.212132,,,2,learning" in (FIGURES / "accuracy.csv").read_text().splitlines()
    assert is_complete(sweep, "caffe")


@pytest.mark.slow
def test_only_results_and_models_of_a_sweep_are_enough_for_its_curves(capsys: pytest.CaptureFixture):
    exp = demo()
    for key in ("A2B/n6000/base/seed0", "B2A/n6000/base/seed0", "A2B/n6000/S2T/seed0"):
        finish(key, 0.8)
    summarize(exp, "caffe")
    plot(exp, "caffe")
    assert {path.name for path in FIGURES.glob("*.png")} == {"accuracy.png", "gain.png", "learning_curves.png"}
    assert "samples: not drawn: data/fashion-mnist/split0/split.json is not there" in capsys.readouterr().out


def test_a_figure_that_the_tables_no_longer_give_is_removed():
    exp = demo()
    for condition in ("base", "S2T"):
        finish(f"A2B/n0060/{condition}/seed0", 0.7)
    summarize(exp, "caffe")
    plot(exp, "caffe")
    assert (FIGURES / "gain.png").is_file() and (FIGURES / "gain.csv").is_file()
    finish("A2B/n0060/S2T/seed0", 0.2, "stuck")
    summarize(exp, "caffe")
    plot(exp, "caffe")
    assert "gain" in read_json(FIGURES / "figures.json")["left_out"] and not list(FIGURES.glob("gain.*"))


def test_flagged_runs_are_not_in_the_accuracy_figure():
    exp = demo()
    for condition in ("base", "S2T"):
        finish(f"A2B/n0060/{condition}/seed0", 0.7)
    finish("A2B/n0060/S3T/seed0", 0.2, "stuck")
    fail("A2B/n0060/S4T/seed0")
    summarize(exp, "caffe")
    plot(exp, "caffe")
    assert [row["condition"] for row in rows(FIGURES / "accuracy.csv")] == ["base", "S2T"]


def test_a_run_that_diverged_is_drawn_and_named_so(monkeypatch: pytest.MonkeyPatch):
    exp = demo()
    run = finish("A2B/n0060/S3T/seed0", 0.2, "diverged")
    log = run.folder / "train.csv"
    log.write_text(re.sub(r"(?m)^([23]\d\d,.*),[\d.]+$", r"\1,nan", log.read_text()))
    summarize(exp, "caffe")
    heads = []
    monkeypatch.setattr(curves.style, "set_title", lambda axes, *texts: heads.append(texts))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_runs(exp, "caffe", [run.key])
    facts = "mini, 300 iterations, S3T, 60 a class, seed 0; half B: diverged"
    assert heads == [("Fashion-MNIST: A2B/n0060/S3T/seed0", facts)]
    losses = {r["iteration"]: r["training_loss"] for r in rows(next(FIGURES.glob("*.csv")))}
    assert (losses["180"], losses["200"], losses["300"]) == ("0.7", "nan", "nan")


def test_a_chosen_run_gets_curves_of_its_own(sweep: Experiment, capsys: pytest.CaptureFixture):
    main(["experiments/demo.yaml", "--run", "A2B/n0060/S3T/seed0"])
    made = FIGURES / "learning_curves-A2B-n0060-S3T-seed0.png"
    assert capsys.readouterr().out.splitlines() == ["results/demo/figures/: complete already", str(made)]
    assert cv2.imread(str(made)).shape[1] >= 1200
    assert {row["run"] for row in rows(made.with_suffix(".csv"))} == {"A2B/n0060/S3T/seed0"}


def test_a_run_without_curves_is_refused(sweep: Experiment):
    with pytest.raises(UserError, match=r"runs.csv: no run is called 'A2B/n0070/S3T/seed0'; give one as in"):
        plot_runs(sweep, "caffe", ["A2B/n0070/S3T/seed0"])
    fail("A2B/n0010/S3T/seed1")
    summarize(sweep, "caffe")
    with pytest.raises(UserError, match="no learning curves: models/demo/A2B/n0010/S3T/seed1 failed"):
        plot_runs(sweep, "caffe", ["A2B/n0010/S3T/seed1"])


def test_tables_of_another_data_set_are_refused():
    write_tables(Path("tiny"), 1, ["base", "S3T"], [500, 50])
    for draw in (plot, lambda exp, engine, tables: plot_runs(exp, engine, ["*"], tables)):
        with pytest.raises(UserError, match=r"tiny/runs.csv: its runs are of tiny-imagenet, and experiments/demo.yaml"):
            draw(demo(), "caffe", Path("tiny"))
    assert not FIGURES.exists()


def test_before_summarize_it_says_what_to_do_first():
    with pytest.raises(UserError, match=r"runs.csv: not there yet; run `python -m tools summarize experiments/demo"):
        plot(demo(), "caffe")


@pytest.mark.slow
def test_published_tables_give_the_figures_of_numbers_and_keep_the_published_pictures(sweep: Experiment):
    shutil.copytree("results/demo", "published")
    shutil.rmtree("results")
    shutil.rmtree("models")
    assert plot(sweep, "caffe", Path("published")) is True
    assert plot(sweep, "caffe", Path("published")) is False
    for name in NAMES:
        for kind in ("png", "pdf", "csv"):
            if Path(f"published/figures/{name}.{kind}").exists():
                made = (FIGURES / f"{name}.{kind}").read_bytes()
                assert made == Path(f"published/figures/{name}.{kind}").read_bytes(), f"{name}.{kind}"
    left_out = read_json(FIGURES / "figures.json")["left_out"]
    assert left_out["tsne"] == "it needs images or nets, and published has no tsne.png"


def test_the_curves_of_a_set_of_runs_are_in_one_figure(sweep: Experiment):
    made = plot_runs(sweep, "caffe", ["*/n0010/S3T/seed0", "A2B/n0010/base/seed0"])
    assert made.name == "learning_curves-all-n0010-S3T-seed0_A2B-n0010-base-seed0.png"
    keys = [f"{run}/seed0" for run in ("A2B/n0010/base", "A2B/n0010/S3T", "B2A/n0010/S3T")]
    assert list(dict.fromkeys(row["run"] for row in rows(made.with_suffix(".csv")))) == keys
    with pytest.raises(UserError, match="54 runs in one figure; 12 at most can be told apart"):
        plot_runs(sweep, "caffe", ["*/seed0"])
