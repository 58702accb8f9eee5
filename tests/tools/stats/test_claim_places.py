"""Which tables an experiment's claims are tested on: its own, its pre-study's beside them, and what was named last."""

from pathlib import Path

import pytest

from tests.helpers.finished_runs import demo
from tools.common.files import sha256, write_atomic, write_json
from tools.protocol.experiment import load
from tools.stats.claim_places import MARKER, default_places
from tools.stats.claims_file import THESIS

pytestmark = pytest.mark.usefixtures("root")


def table(folder: str) -> Path:
    write_atomic(Path(folder) / "runs.csv", f"run\n{folder}\n")
    return Path(folder)


def test_the_prestudys_tables_are_those_beside_the_experiments_own() -> None:
    exp = demo()
    assert default_places(exp, "caffe").prestudy is None
    prestudy = table("results/demo-prestudy")
    places = default_places(exp, "caffe")
    assert (places.own, places.prestudy, places.other) == (Path("results/demo"), prestudy, None)
    assert places.claims == (THESIS,)
    published = table("published/demo-prestudy")
    assert default_places(exp, "caffe", Path("published/demo")).prestudy == published


def test_overrides_and_engine_are_part_of_both_names() -> None:
    prestudy = table("results/demo-prestudy+max_iter=7+engine=torchcaffe")
    exp = demo("max_iter=7")
    assert default_places(exp, "torchcaffe").prestudy == prestudy


def test_a_prestudy_is_its_own() -> None:
    demo()
    Path("experiments/demo.yaml").rename("experiments/demo-prestudy.yaml")
    own = table("results/demo-prestudy")
    places = default_places(load(Path("experiments/demo-prestudy.yaml")), "caffe")
    assert (places.own, places.prestudy) == (own, own)


def test_another_data_set_and_a_file_of_claims_are_remembered_while_they_exist() -> None:
    exp = demo()
    write_json(Path("results/demo") / MARKER, {"other": "results/places", "claims": "mine.yaml"})
    places = default_places(exp, "caffe")
    assert (places.other, places.claims) == (None, (THESIS,))
    other = table("results/places")
    write_atomic(Path("mine.yaml"), "claims: {}\n")
    places = default_places(exp, "caffe")
    assert (places.other, places.claims) == (other, (Path("mine.yaml"),))


def test_the_verdicts_depend_on_every_table_that_is_there_and_on_the_claims() -> None:
    own = table("results/demo")
    write_atomic(own / "curves.csv", "run\n")
    prestudy = table("results/demo-prestudy")
    checksums = default_places(demo(), "caffe").checksums
    assert set(checksums) == {str(own / "runs.csv"), str(own / "curves.csv"), str(prestudy / "runs.csv"), str(THESIS)}
    assert checksums[str(own / "runs.csv")] == sha256(own / "runs.csv")
