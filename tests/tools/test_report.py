"""The verb report: the tables of an experiment in, one HTML file out. page/test_page.py opens it in a browser."""

import re
import shutil
from pathlib import Path

import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex

from tests.helpers.finished_runs import demo, fail, finish, whole_sweep
from tests.helpers.result_tables import write_claims, write_tables
from tools.claims import claims
from tools.common.errors import UserError
from tools.common.files import load_json, sha256, write_atomic, write_json
from tools.figures import gain, style
from tools.page.template import FOLDER
from tools.planning.stages import report_stage
from tools.plot import plot
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import results_folder
from tools.publish import publish
from tools.report import main, report
from tools.stats.claim_places import default_places
from tools.summarize import summarize

PAGE = Path("results/demo/report.html")
CLAIMS = """\
claim,verdict,text,n,unit,effect,low,high,p,p_corrected,more_seeds,at,note
C1,holds,base accuracy falls,10,accuracy,-0.021,-0.03,-0.01,0.001,0.012,,base at 60 - base at 10,
C5,undecided,S5T > S6T > S7T,2,accuracy,0.041,-0.01,0.09,0.08,0.4,4,S6T - S7T at 60,one seed: other nets may differ
"""

pytestmark = pytest.mark.usefixtures("root")


def is_complete(exp: Experiment, engine: str) -> bool:
    results = results_folder(exp, engine)
    return report_stage(results, results).is_complete


@pytest.fixture
def exp():
    """The demo, done, with a run that is stuck and one that failed."""
    exp = demo()
    whole_sweep()
    finish("A2B/n0010/S7T/seed0", 0.2, "stuck")
    fail("A2B/n0010/S3T/seed1")
    summarize(exp, "caffe")
    return exp


def test_the_page_stands_alone(exp):
    assert report(exp, "caffe") is True
    text = PAGE.read_text()
    loaded = re.findall(
        r"(?:src|srcset|action|data)=\"([^\"]*)\"|<link[^>]*href=\"([^\"]*)\"|url\(([^)]*)\)|@import", text
    )
    assert all(address.startswith("data:") for found in loaded for address in found if address)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)


def test_a_page_of_flagged_runs_alone_says_that_it_has_no_mean():
    exp = demo()
    for condition in ("base", "S3T"):
        finish(f"A2B/n0010/{condition}/seed0", 1.0, "diverged")
    summarize(exp, "caffe")
    report(exp, "caffe")
    page = PAGE.read_text()
    assert "No cell has a mean: every run is flagged" in page and "Bold: the highest mean" not in page


def test_the_page_says_what_was_run_and_what_is_flagged(exp):
    write_claims(PAGE.parent, CLAIMS)
    report(exp, "caffe")
    text = re.sub(r"\s+", " ", PAGE.read_text())
    assert "55 runs of 3 target sizes, 9 conditions, 2 directions, 2 seeds, by caffe" in text
    assert "2 of 55 runs are flagged and not part of any mean" in text
    assert (
        '<a href="#run/A2B/n0010/S7T/seed0">A2B/n0010/S7T/seed0</a> <strong>stuck</strong>: accuracy at chance' in text
    )
    assert '<span class="verdict holds">holds</span>' in text and "−2.1 points<small>−3.0 to −1.0</small>" in text
    assert "make demo-sweep" in text
    assert "tools run experiments/demo.yaml A2B/n6000/base/seed0" in text


def test_claims_of_other_tables_are_not_on_the_page_and_it_says_what_tests_them(exp):
    claims(exp)
    report(exp, "caffe")
    assert "Claims, tested on these runs" in PAGE.read_text()
    shutil.copytree("results/demo", "published")
    write_atomic(Path("published/runs.csv"), Path("published/runs.csv").read_text().replace("0.85", "0.84"))
    claims(exp, default_places(exp, "caffe", Path("published")))
    assert report(exp, "caffe") is True
    text = PAGE.read_text()
    assert "tested on these runs" not in text and 'class="verdict' not in text
    assert ".venv/bin/python -m tools claims experiments/demo.yaml</code>" in text
    claims(exp)
    assert report(exp, "caffe") is True and "Claims, tested on these runs" in PAGE.read_text()


def test_a_run_links_to_its_files_from_where_the_page_lies(exp):
    write_atomic(Path("models/demo/A2B/n6000/S2T/seed0/caffe.log"), "I1124 ...\n")
    report(exp, "caffe")
    links = re.findall(r'<a href="(\.\./[^"]*)"', PAGE.read_text())
    assert "../../models/demo/A2B/n6000/S2T/seed0/caffe.log" in links
    assert all((PAGE.parent / link).is_file() for link in links)


def test_text_from_tables_cannot_become_markup(exp):
    hostile = "</script><script>alert(1)</script>"
    with open(PAGE.parent / "curves.csv", "a") as curves:
        curves.write(f"{hostile},0,0.2,1.6,1.6\n")
    write_claims(PAGE.parent, CLAIMS.replace("S5T > S6T > S7T", hostile))
    report(exp, "caffe")
    assert hostile not in PAGE.read_text()
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in PAGE.read_text()


@pytest.mark.slow
def test_a_second_call_does_nothing_until_something_changes(exp):
    assert not is_complete(exp, "caffe")
    report(exp, "caffe")
    before = PAGE.read_bytes()
    assert is_complete(exp, "caffe") and report(exp, "caffe") is False
    plot(exp, "caffe")
    assert not is_complete(exp, "caffe")
    assert report(exp, "caffe") is True
    assert len(PAGE.read_bytes()) > len(before) + 100_000, "the figures are in the page"
    write_claims(PAGE.parent, CLAIMS)
    assert not is_complete(exp, "caffe")


@pytest.mark.slow
def test_a_page_whose_bytes_changed_is_written_again_and_a_record_without_a_checksum_stands(exp):
    report(exp, "caffe")
    good, marker = PAGE.read_text(), PAGE.with_suffix(".json")
    PAGE.write_text(good.replace("0.8", "0.9", 1))
    assert report(exp, "caffe") is True and PAGE.read_text() == good
    record = load_json(marker)
    assert record.pop("outputs") == {PAGE.name: sha256(PAGE)}
    write_json(marker, record)
    assert report(exp, "caffe") is False


def test_the_page_follows_the_commits_and_times_of_the_runs_unless_its_record_is_older(exp):
    report(exp, "caffe")
    manifest = Path("models/demo/A2B/n0060/S3T/seed0/manifest.json")
    write_json(manifest, load_json(manifest) | {"commit": "f" * 40})
    summarize(exp, "caffe")
    assert "f" * 12 not in PAGE.read_text()
    assert report(exp, "caffe") is True and "f" * 12 in PAGE.read_text()
    record = load_json(PAGE.with_suffix(".json"))
    del record["inputs"]["results/demo/summary.json"], record["checksum"]
    write_json(PAGE.with_suffix(".json"), record)
    write_json(manifest, load_json(manifest) | {"commit": "e" * 40})
    summarize(exp, "caffe")
    assert is_complete(exp, "caffe")


def test_figures_of_other_tables_are_left_out_and_the_page_says_so(exp):
    plot(exp, "caffe")
    shutil.copytree("results/demo", "published")
    write_atomic(Path("published/runs.csv"), Path("published/runs.csv").read_text() + "\n")
    report(exp, "caffe", Path("published"))
    assert "results/demo/figures/ was drawn from other tables than those in published/" in PAGE.read_text()
    assert "data:image/png" not in PAGE.read_text()


def test_published_tables_alone_are_enough(exp, capsys: pytest.CaptureFixture):
    shutil.copytree("results/demo", "published")
    shutil.rmtree("results")
    main(["experiments/demo.yaml", "--from", "published"])
    assert capsys.readouterr().out == "results/demo/report.html: written\n"
    text = PAGE.read_text()
    assert "no links to logs and prototxts" in text and "../../models" not in text
    assert "--from published" in text


def test_a_page_of_published_tables_has_their_seeds_and_says_how_many_runs_are_of_the_commit(exp):
    manifest = Path("models/demo/A2B/n0060/S3T/seed0/manifest.json")
    write_json(manifest, load_json(manifest) | {"commit": "f" * 40})
    shutil.rmtree("models/demo/A2B/n0010/S3T/seed1")
    summarize(exp, "caffe")
    publish(exp, Path("published"))
    more = load(exp.file, "seeds=[0,1,2] max_iter=300")
    report(more, "caffe", Path("published"))
    text = Path("results/demo+max_iter=300/report.html").read_text()
    assert (
        "<dt><code>seeds</code></dt><dd>0</dd>" in text
        and "make demo-sweep SET=&#39;max_iter=300 seeds=[0]&#39;" in text
    )
    assert (
        f'The pipeline as it was for 53 of the 54 runs.</p>\n  <pre tabindex="0"><code>git checkout {"0" * 40}' in text
    )


def test_tables_of_another_data_set_are_refused_and_the_page_stays(exp):
    report(exp, "caffe")
    page = PAGE.read_bytes()
    write_tables(Path("tiny"), 1, ["base", "S3T"], [500, 50])
    with pytest.raises(UserError, match=r"tiny/runs.csv: its runs are of tiny-imagenet, and experiments/demo.yaml is"):
        report(exp, "caffe", Path("tiny"))
    assert PAGE.read_bytes() == page and is_complete(exp, "caffe")


def test_without_tables_it_says_what_to_do_first():
    with pytest.raises(UserError, match=r"runs.csv: not there; run `python -m tools summarize experiments/demo.yaml`"):
        report(demo(), "caffe")


def luminance(color: str) -> float:
    """WCAG 2: relative luminance of #rrggbb."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def palette(dark: bool) -> dict[str, str]:
    """The colours of page.css in one of its two schemes."""
    light, _, rest = (FOLDER / "page.css").read_text().partition("@media (prefers-color-scheme: dark)")
    blocks = [light, rest.partition("\n}\n")[0]] if dark else [light]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", "".join(blocks)))


@pytest.mark.parametrize("dark", [False, True])
def test_text_and_lines_have_the_contrast_of_wcag_aa(dark: bool):
    colors = palette(dark)
    for text in ("text", "muted", "link"):
        for paper in ("paper", "surface", "bad-paper"):
            assert contrast(colors[text], colors[paper]) >= 4.5, f"{text} on {paper}"
    for verdict in ("good", "bad", "open"):
        assert contrast(colors[verdict], colors[f"{verdict}-paper"]) >= 4.5, verdict
    scheme = "dark" if dark else "light"
    lines = [colors[f"run-{i}"] for i in range(6)] + style.page_size_colors(6)[scheme] + [colors["edge"]]
    assert min(contrast(line, colors["paper"]) for line in lines) >= 3


def test_the_gains_are_read_on_every_colour_of_their_map():
    for way in (-1, 1):
        darkest = to_hex(colormaps[gain.COLORS](0.5 + way / (2 * gain.MARGIN)))
        assert contrast(to_hex(gain.INK), darkest) >= 4.5


def test_contrast_is_computed_as_wcag_has_it():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
