"""The verb publish: docs/results/EXP has everything that claims, figures and the page need."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest

from tests.helpers.finished_runs import demo, finish, pack_samples, predict
from tools.claims import claims
from tools.common.errors import UserError
from tools.common.files import checksums, is_whole, load_json, read_json, sha256, write_atomic, write_json
from tools.plot import plot
from tools.protocol.experiment import Experiment, load
from tools.protocol.register import card
from tools.publish import publish
from tools.report import report
from tools.results.tables import frames
from tools.summarize import summarize
from tools.verification.commands import Commands
from tools.verification.published_files import look_at_published

KEY = "A2B/n0060/S3T/seed0"

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture
def summarized():
    finish(KEY, 0.6)
    predict(KEY, np.arange(50) < 30)
    exp = demo()
    summarize(exp, "caffe")
    claims(exp)
    return exp


def draw_two_conditions(exp: Experiment) -> None:
    """Adds a run of base, so that there are figures to draw, and draws them."""
    finish("A2B/n0060/base/seed0", 0.5)
    summarize(exp, "caffe")
    claims(exp)
    plot(exp, "caffe")


def test_tables_figures_and_manifests_are_copied_byte_by_byte(summarized):
    draw_two_conditions(summarized)
    folder = publish(summarized)
    assert folder == Path("docs/results/demo")
    names = ("runs.csv", "summary.csv", "curves.csv", "claims.csv", "predictions.npz", "figures/accuracy.png")
    for name in names:
        assert (folder / name).read_bytes() == (Path("results/demo") / name).read_bytes()
    _, line = (folder / "manifests.jsonl").read_text().splitlines()
    assert json.loads(line) == json.loads(Path(f"models/demo/{KEY}/manifest.json").read_text()) | {"set": ""}


def test_what_is_published_does_not_tell_where_this_machine_has_its_engine_and_images(summarized):
    manifest = Path(f"models/demo/{KEY}/manifest.json")
    there = json.loads(manifest.read_text())
    there["engine"]["command"] = "/home/me/my caffe/caffe train --solver=models/demo/solver.prototxt"
    there |= {"config": {"path": "/home/me/images", "model": "mini"}, "set": "path='/home/me/images' max_iter=9"}
    manifest.write_text(json.dumps(there))
    summarize(summarized, "caffe")
    text = (publish(summarized, Path("docs/elsewhere")) / "manifests.jsonl").read_text()
    assert "/home/me" not in text
    published = json.loads(text)
    assert published["engine"]["command"] == "caffe train --solver=models/demo/solver.prototxt"
    assert (published["set"], published["config"]) == ("max_iter=9", {"model": "mini"})


def test_the_record_of_a_page_of_other_tables_is_not_published(summarized):
    report(summarized, "caffe")
    assert (publish(summarized) / "report.json").is_file()
    write_table("retention.csv", "retention.json")  # after the page
    assert not (publish(summarized) / "report.json").exists()


def write_table(name: str, marker: str) -> None:
    """Writes a table as `scores` and `retain` do, with its record."""
    write_atomic(Path("results/demo") / name, "run\n")
    write_json(Path("results/demo") / marker, {"outputs": checksums(Path("results/demo"), [name])})


def test_a_second_publication_replaces_the_first_and_keeps_its_remarks(summarized):
    folder = publish(summarized)
    (folder / "README.md").write_text("what it shows\n")
    (folder / "mynotes.csv").write_text("mine\n")
    (folder / "retention.csv").write_text("of an earlier publication\n")
    publish(summarized)
    assert (folder / "README.md").read_text() == "what it shows\n"
    assert (folder / "mynotes.csv").read_text() == "mine\n"
    assert not (folder / "retention.csv").exists()


def test_a_link_stays_and_what_it_leads_to_is_replaced(summarized):
    Path("place").mkdir()
    Path("link").symlink_to("place")
    Path("to-nothing").symlink_to("later")
    for link, place in (("link", "place"), ("link", "place"), ("to-nothing", "later")):
        publish(summarized, Path(link))
        assert Path(link).is_symlink() and (Path(place) / "manifests.jsonl").is_file()
    assert not [path for path in Path().iterdir() if path.name.endswith(".part")]


def test_only_what_a_record_names_is_published(summarized):
    draw_two_conditions(summarized)
    for name in ("figures/tsne.png", "figures/learning_curves-mine.png", "mine.csv"):
        write_atomic(Path("results/demo") / name, "not drawn from these tables")
    write_table("scores.csv", "scores.json")
    folder = publish(summarized)
    listed = read_json(folder / "figures/figures.json")["files"]
    assert {path.name for path in (folder / "figures").iterdir()} == {"figures.json", *listed} and listed
    assert not (folder / "mine.csv").exists() and (folder / "scores.csv").is_file()
    write_atomic(Path("results/demo/scores.csv"), "of other nets\n")
    with pytest.raises(
        UserError, match=r"scores.csv: not the table that results/demo/scores.json names; run .* scores"
    ):
        publish(summarized)


def test_images_of_a_data_set_whose_card_forbids_it_are_not_published(summarized, capsys: pytest.CaptureFixture):
    pack_samples(summarized)
    plot(summarized, "caffe")
    report(summarized, "caffe")
    folder = publish(summarized)
    assert (folder / "figures/samples.png").is_file() and not card("tiny-imagenet").publish_images
    write_atomic(Path("data/cards/fashion-mnist.yaml"), "publish_images: false\n")
    publish(summarized)
    assert (
        "results/demo/figures/samples: left out: images of fashion-mnist are not published" in capsys.readouterr().out
    )
    record = read_json(folder / "figures/figures.json")
    assert "samples" not in record["figures"] and "samples" in record["left_out"] and is_whole(record)
    assert not [name for name in (*record["files"], *record["outputs"]) if name.startswith("samples")]
    assert not list((folder / "figures").glob("samples.*"))
    inputs = load_json(folder / "report.json")["inputs"]
    assert inputs["results/demo/figures/figures.json"] == sha256(folder / "figures/figures.json")
    assert not [name for name in inputs if "samples" in name] and is_whole(load_json(folder / "report.json"))
    assert look_at_published(folder, Commands(summarized, "caffe", "python")).faults == []


def test_the_figures_that_a_publication_loses_are_named(summarized, capsys: pytest.CaptureFixture):
    plot(summarized, "caffe")
    folder = publish(summarized)
    assert capsys.readouterr().out.count("no longer there") == 0
    write_atomic(folder / "figures/tsne.png", "of nets that are gone")
    publish(summarized)
    said = "docs/results/demo/figures/: no longer there, for results/demo/figures/ does not list them: tsne.png\n"
    assert capsys.readouterr().out == said


def test_tables_that_do_not_tell_of_the_runs_as_they_are_are_not_published(summarized):
    finish(KEY, 0.7)
    with pytest.raises(UserError, match=r"S3T/seed0/manifest.json: not as results/demo/runs.csv tells of it"):
        publish(summarized)
    assert not Path("docs").exists()


def test_claims_and_figures_of_other_tables_are_not_published(summarized):
    plot(summarized, "caffe")
    finish(KEY, 0.7)
    summarize(summarized, "caffe")
    with pytest.raises(UserError, match=r"claims.csv: not tested on results/demo/runs.csv as it is; .* tools claims"):
        publish(summarized)
    claims(summarized)
    with pytest.raises(UserError, match=r"figures/: not drawn from results/demo/runs.csv as it is; .* tools plot exp"):
        publish(summarized)
    plot(summarized, "caffe")
    assert publish(summarized).is_dir()


def test_tables_of_runs_that_are_gone_are_not_published(summarized):
    shutil.rmtree("models")
    with pytest.raises(UserError, match=r"runs.csv: a run that it tells of is gone, or a table changed"):
        publish(summarized)


def test_what_else_lies_in_the_folder_is_kept_and_a_folder_of_other_things_is_refused(summarized):
    folder = publish(summarized, Path("pub"))
    (folder / "notes.txt").write_text("mine")
    (folder / "more").mkdir()
    (folder / "more" / "runs.csv").write_text("mine, too")
    publish(summarized, folder)
    assert (folder / "notes.txt").read_text() == "mine" and (folder / "more" / "runs.csv").read_text() == "mine, too"
    (folder / "manifests.jsonl").unlink()
    for other in (folder, Path(".")):
        with pytest.raises(UserError, match=r"holds other things than a publication"):
            publish(summarized, other)
    assert (folder / "notes.txt").is_file()


def bytes_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_publication_is_not_replaced_by_one_that_lacks_some_of_its_runs(summarized):
    finish("A2B/n0060/S4T/seed0", 0.5)
    summarize(summarized, "caffe")
    claims(summarized)
    published = bytes_of(publish(summarized))
    shutil.rmtree("models/demo/A2B/n0060/S4T")
    summarize(summarized, "caffe")
    claims(summarized)
    lost = (
        r"docs/results/demo: 1 of its runs are not in models/ and would be lost: demo/A2B/n0060/S4T/seed0; `.* restore"
    )
    with pytest.raises(UserError, match=lost):
        publish(summarized)
    assert bytes_of(Path("docs/results/demo")) == published


def test_a_publication_is_not_replaced_by_that_of_another_experiment(summarized):
    published = bytes_of(publish(summarized))
    finish(KEY, 0.7, experiment="other")
    shutil.copy("experiments/demo.yaml", "experiments/other.yaml")
    other = load(Path("experiments/other.yaml"))
    summarize(other, "caffe")
    with pytest.raises(UserError, match=r"docs/results/demo: has the runs of demo, not of other; name another folder"):
        publish(other, Path("docs/results/demo"))
    assert bytes_of(Path("docs/results/demo")) == published


def test_nothing_is_published_before_a_sweep():
    with pytest.raises(UserError, match=r"results/demo/runs.csv: not there yet; run `python -m tools sweep"):
        publish(demo())


def test_a_notebook_has_the_tables_as_frames_in_two_lines(summarized):
    tables = frames("demo")
    assert isinstance(tables["runs"], pandas.DataFrame)
    assert tables["runs"].accuracy.tolist() == [0.6]
    assert set(tables) == {"runs", "summary", "curves", "classes", "claims"}
    assert tables["curves"].validation_loss.isna().sum() == 12
    publish(summarized)
    Path("results").rename("away")
    assert frames("demo")["summary"].condition.tolist() == ["S3T"]
    with pytest.raises(UserError, match="nothing: no tables in results/nothing, docs/results/nothing"):
        frames("nothing")
