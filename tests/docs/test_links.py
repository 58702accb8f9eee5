"""README and docs/: links lead somewhere, and every command, column and setting that they name is there."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

import torchcaffe as caffe
from tools.__main__ import VERBS
from tools.protocol.experiment import Experiment, load
from tools.protocol.runs import runs_of
from tools.results import columns

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path.relative_to(CHECKOUT)
    for pattern in ("*.md", "docs/**/*.md", "data/*.md", "models/*.md")
    for path in CHECKOUT.glob(pattern)
)
EXPERIMENTS = sorted(path.relative_to(CHECKOUT) for path in CHECKOUT.glob("experiments/*.yaml"))
PLACEHOLDERS = {"NAME", "mine"}  # experiments that a reader is to write


def without_code(text: str) -> str:
    """The text without fenced blocks and inline code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))


def code(text: str) -> str:
    """Fenced blocks and inline code alone, a line each."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))
    return "\n".join([*blocks, *spans])


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    seen: Counter[str] = Counter()
    found = set()
    plain = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    for heading in re.findall(r"^#+ (.*)$", plain, flags=re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def broken_links(page: Path, text: str) -> list[str]:
    """The relative links of a page, at `page` below the checkout, that lead nowhere."""
    broken = []
    for link in re.findall(r"\]\(([^()\s]+)\)", without_code(text)):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (CHECKOUT / page).parent / place
        if not target.exists() or (anchor and anchor not in anchors(target.read_text("utf-8") if place else text)):
            broken.append(link)
    return broken


def unknown_verbs(text: str) -> list[str]:
    return [verb for verb in re.findall(r"python -m tools ([a-z]\w*)", text) if verb not in VERBS]


def unknown_targets(text: str) -> list[str]:
    """The targets of `make` in a page's code that the Makefile does not have."""
    named = re.findall(r"^([a-z][\w -]*):(?!=)", (CHECKOUT / "Makefile").read_text(), flags=re.MULTILINE)
    targets = {target for line in named for target in line.split()}
    unknown = []
    for target in re.findall(r"(?:^|[\s;&])make ([a-z][\w-]*)(?![\w-]*=)", code(text)):
        sweep = re.fullmatch(r"(?:docker-)?(.+)-sweep", target)
        known = sweep and (sweep[1] in PLACEHOLDERS or (CHECKOUT / "experiments" / f"{sweep[1]}.yaml").exists())
        if target not in targets and not known:
            unknown.append(target)
    return unknown


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_relative_link_and_anchor_leads_somewhere(page: Path) -> None:
    assert broken_links(page, (CHECKOUT / page).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_verb_and_make_target_is_there(page: Path) -> None:
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    assert (unknown_verbs(text), unknown_targets(text)) == ([], [])


def unknown_demo_runs(text: str) -> list[str]:
    """Keys of runs that commands on the demo name, and that it does not have; other seeds are given with them."""
    exp = load(CHECKOUT / "experiments/demo.yaml")
    known = {run.key for run in runs_of(exp, "caffe")}
    lines = text.replace("\\\n", " ").splitlines()
    named = [line for line in lines if re.search(r"demo\b|make (?:export|confusion) ", line) and "seeds=" not in line]
    return [key for line in named for key in re.findall(r"\w+/n\d{4}/\w+/seed\d+", line) if key not in known]


@pytest.mark.parametrize("page", [*PAGES, Path("Makefile"), *sorted(Path("tools").glob("*.py"))], ids=str)
def test_every_run_of_the_demo_that_a_command_names_is_there(page: Path) -> None:
    assert unknown_demo_runs((CHECKOUT / page).read_text(encoding="utf-8")) == []


def test_the_readme_fits_on_a_few_screens() -> None:
    assert len((CHECKOUT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_every_page_of_docs_is_in_its_index() -> None:
    index = (CHECKOUT / "docs/README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.parent == Path("docs") and f"({page.name})" not in index] == [
        "README.md"
    ]


def test_every_verb_is_explained() -> None:
    index = (CHECKOUT / "docs/README.md").read_text(encoding="utf-8")
    assert [verb for verb in VERBS if f"| `{verb}` |" not in index] == []


def test_every_key_of_an_experiment_file_is_explained() -> None:
    text = (CHECKOUT / "docs/settings.md").read_text(encoding="utf-8")
    assert [key for key in Experiment.model_fields if f"`{key}`" not in text] == []


def test_every_column_of_a_published_table_is_explained() -> None:
    text = (CHECKOUT / "docs/tables.md").read_text(encoding="utf-8")
    sections = {part.partition("\n")[0]: part for part in re.split(r"^## ", text, flags=re.MULTILINE)}
    missing = []
    for path in [*CHECKOUT.glob("docs/*.csv"), *CHECKOUT.glob("docs/results/**/*.csv")]:
        with path.open(newline="", encoding="utf-8") as file:
            columns = next(csv.reader(file))
        if path.parent.name == "figures":
            (part,) = re.findall(rf"^\| `{path.stem}`.*$", sections["The CSV files of the figures"], flags=re.MULTILINE)
        else:
            part = sections.get(path.name, text)
        missing += [f"{path.name}: {column}" for column in columns if f"`{column}`" not in part]
    assert missing == []


def test_every_column_that_a_verb_writes_is_explained() -> None:
    text = (CHECKOUT / "docs/tables.md").read_text(encoding="utf-8")
    sections = {part.partition("\n")[0]: part for part in re.split(r"^## ", text, flags=re.MULTILINE)}
    tables = {
        columns.RUNS: columns.RUN_COLUMNS,
        columns.SUMMARY: columns.SUMMARY_COLUMNS,
        columns.CURVES: columns.CURVE_COLUMNS,
        columns.CLAIMS: columns.CLAIM_COLUMNS,
        columns.RETENTION: columns.RETENTION_COLUMNS,
        columns.SCORES: columns.SCORE_COLUMNS,
        columns.CLASSES: columns.CLASS_COLUMNS,
        columns.CORRELATIONS: columns.CORRELATION_COLUMNS,
    }
    assert {id(table) for table in tables.values()} == {
        id(value) for name, value in vars(columns).items() if name.endswith("_COLUMNS") and name != "RESULT_COLUMNS"
    }
    missing = [f"{table}: {name}" for table in tables for name in tables[table] if f"`{name}`" not in sections[table]]
    assert missing == []


def test_every_layer_type_of_torchcaffe_is_named_and_counted() -> None:
    text = (CHECKOUT / "docs/torchcaffe.md").read_text(encoding="utf-8")
    count, names = re.search(
        r"^- \*\*Layers\*\*, all (\d+) types.*?: (.*?)\.$", text, re.MULTILINE | re.DOTALL
    ).groups()
    types = caffe.layer_type_list()
    assert (re.findall(r"\w+", names), int(count)) == (types, len(types))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=str)
def test_an_experiment_opens_with_its_command_its_accuracy_and_its_time(path: Path) -> None:
    head = (CHECKOUT / path).read_text(encoding="utf-8").partition("\n\n")[0]
    assert re.findall(r"^#   (\w+):", head, flags=re.MULTILINE)[:3] == ["Command", "Accuracy", "Time"]
    assert unknown_targets(f"`{re.search(r'Command:  (make .*)', head)[1]}`") == []


@pytest.mark.parametrize("name", ["demo", "tiny-small", "tiny-40", "places-40"])
def test_the_accuracies_at_the_top_of_an_experiment_are_the_published_ones(name: str) -> None:
    head = (CHECKOUT / f"experiments/{name}.yaml").read_text(encoding="utf-8").partition("\n\n")[0]
    shown = re.findall(r"\b0\.\d{3}\b", head)
    with (CHECKOUT / f"docs/results/{name}/summary.csv").open(newline="", encoding="utf-8") as file:
        published = {f"{float(row['accuracy']):.3f}" for row in csv.DictReader(file)}
    assert len(shown) >= 8
    assert set(shown) <= published


def test_these_checks_can_fail() -> None:
    page = Path("docs/README.md")
    text = "# A page\n[a](protocol.md#data) [b](gone.md) [c](#a-page) [d](#none) [e](protocol.md#none) `[f](code.md)`"
    assert broken_links(page, text) == ["gone.md", "#none", "protocol.md#none"]
    assert unknown_demo_runs("make export RUN=A2B/n0001/S3T/seed0\nmodels/demo/B2A/n0060/base/seed20/") == [
        "A2B/n0001/S3T/seed0"
    ]
    assert unknown_verbs("`python -m tools sweep x`, `python -m tools dance`, python -m tools VERB") == ["dance"]
    text = "make haste, `make test`, `make demo-sweep JOBS=2`, `make nothing-sweep`\n```\nmake cake  # make eggs\n```\n"
    assert unknown_targets(text) == ["cake", "eggs", "nothing-sweep"]
    assert anchors("# A b_c, d!\n## A\n## A\n```\n# no heading\n```\n") == {"a-b_c-d", "a", "a-1"}
