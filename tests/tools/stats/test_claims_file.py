"""The claims file: the one of the thesis is valid, and every mistake is reported with its line."""

from pathlib import Path

import pytest

from tools.common.errors import UserError
from tools.stats.claims_file import THESIS, in_sizes, load


@pytest.mark.parametrize("file", sorted(THESIS.parent.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_claims_file_of_the_checkout_is_valid(file: Path):
    assert load(file).claims


def test_the_thesis_claims_are_all_there_and_each_data_set_has_its_own_parts():
    claims = load(THESIS).claims
    assert list(claims) == [f"C{n}" for n in range(1, 19)]
    of = {
        dataset: [c for c, claim in claims.items() if claim.parts(dataset)]
        for dataset in ("tiny-imagenet", "miniplaces")
    }
    assert set(claims) - set(of["tiny-imagenet"]) == {"C8", "C9", "C14", "C18"}
    assert set(claims) - set(of["miniplaces"]) == {"C6", "C7"}


# (text, what replaces it) -> (text whose line the message names, or None for any or no line; the message).
MISTAKES = {
    ("left: S2T", "left: S0T"): ("left: S0T", r"C2: holds_if: left: found 'S0T'; 'S0T' is no condition"),
    ("kind: steps", "kind: stepz"): ("kind: stepz", r"C1: holds_if: input tag 'stepz'"),
    ('"<= 400"', '"=< 400"'): (
        '"=< 400"',
        r"C7: by_dataset: tiny-imagenet: sizes: found '=< 400'; no sizes; all, a list",
    ),
    ("margin: 0.01", "margn: 0.01"): ("margn:", r"margn: unknown key; did you mean `margin`\?"),
    ("over: base, as", "ovr: base, as"): (
        "ovr:",
        r"C6: by_dataset: tiny-imagenet: ovr: unknown key; did you mean `over`\?",
    ),
    ("left: S2T", "lft: S2T"): ("lft: S2T", r"C2: holds_if: lft: unknown key; did you mean `left`\?"),
    ("left: S2T", "xyz: S2T"): (
        "xyz: S2T",
        r"C2: holds_if: xyz: unknown key; known keys: kind, left, some, right, sizes",
    ),
    ("      tiny-imagenet:", "      tiny:"): (
        "      tiny:",
        r"C6: by_dataset: tiny: found 'tiny'; no such data set; data/cards/ has fashion-mnist, ",
    ),
    ("  C2:", "  C1: #"): ("  C1: #", r"C1: given twice, first at line \d+; keep one"),
    ("[8000, 12000]", "[8000]"): ("[8000]", r"C11: holds_if: between: list should have at least 2 items"),
    ("says: FTall beats base only at 500", ""): ("  C8:", r"C8: says: field required"),
    ("left: S3T, right: [S4T]", "right: [S4T]"): ("above, right: [S4T]", r"C3: holds_if: give either `left`"),
    ("left: S3T, right: [S4T]", "left: others, right: [S4T]"): (
        "left: others",
        r"C3: holds_if: `left` is one condition",
    ),
    ("left: S3T, right: [S4T]", "left: S4T, right: [S4T]"): (
        "left: S4T, right",
        r"C3: holds_if: compares S4T with itself alone; give another condition in `right`",
    ),
    ("left: S3T, right: [S4T]", "some: [S3T, S4T], right: [S4T]"): ("some: [S3T", "C3: holds_if: compares S4T with"),
    ("over: base, as", "over: FTall, as"): (
        "over: FTall",
        r"C6: by_dataset: tiny-imagenet: compares FTall with itself alone; give another condition in `over`",
    ),
    ("claims:\n", "claims: {\n"): (None, "not YAML"),
    ("margin: 0.01 ", "'margin of': 0.01 "): (None, "margin: field required"),
}


@pytest.mark.parametrize("change", MISTAKES)
def test_a_mistake_is_told_with_its_line(change: tuple[str, str], tmp_path: Path):
    text = THESIS.read_text()
    assert change[0] in text
    text = text.replace(*change, 1)
    (tmp_path / "mine.yaml").write_text(text)
    where, message = MISTAKES[change]
    line = r"(:\d+)?" if where is None else f":{1 + text[: text.index(where)].count(chr(10))}"
    with pytest.raises(UserError, match=rf"mine\.yaml{line}: {message}"):
        load(tmp_path / "mine.yaml")


def test_a_file_that_is_missing_or_empty_is_told(tmp_path: Path):
    with pytest.raises(UserError, match=r"none\.yaml: no such file; it should be a claims file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(
        UserError, match=r"empty\.yaml:1: a claims file is a list of `key: value` lines; see experiments/claims/thesis"
    ):
        load(tmp_path / "empty.yaml")


@pytest.mark.parametrize(
    ("sizes", "expected"), [("all", ["all", 500, 50]), ("<= 50", [50]), ("> 50", [500]), ([500], [500]), ("< 50", [])]
)
def test_sizes(sizes, expected):
    assert [size for size in ("all", 500, 50) if in_sizes(size, sizes)] == expected
