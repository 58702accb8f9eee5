"""When a stage is complete: its marker names the inputs of today, and its outputs are there, unchanged."""

from pathlib import Path

import pytest

from tools.common.files import sha256, write_json
from tools.common.stage import NotReady, Stage


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out").write_text("result")
    return tmp_path / "out"


@pytest.fixture
def stage(tmp_path: Path, output: Path) -> Stage:
    """Its input is the checksum of the file `in`; its marker says that it was made from the file as it is."""
    (tmp_path / "in").write_text("source")

    def inputs(_: dict) -> dict[str, str]:
        if not (tmp_path / "in").exists():
            raise NotReady("in: not there yet")
        return {"in": sha256(tmp_path / "in")}

    stage = Stage("make", tmp_path / "made.json", inputs, outputs=lambda record: {output: record["out"]})
    write_json(stage.marker, {"inputs": inputs({}), "out": sha256(output)})
    return stage


def test_it_is_complete_while_inputs_and_outputs_are_as_recorded(stage: Stage) -> None:
    assert stage.is_complete
    assert stage.record is not None and stage.changed(stage.record) == []


def test_a_changed_input_is_named(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("other")
    assert not stage.is_complete
    assert stage.record is not None and stage.changed(stage.record) == ["in"]
    assert stage.changed({"inputs": {"more": 1}}) == ["in", "more"]


@pytest.mark.parametrize("change", ["edited", "gone"])
def test_an_output_that_was_edited_or_removed_makes_it_incomplete(stage: Stage, output: Path, change: str) -> None:
    output.write_text("edited") if change == "edited" else output.unlink()
    assert not stage.is_complete


def test_an_output_without_a_checksum_need_only_be_there(stage: Stage, output: Path) -> None:
    loose = Stage("make", stage.marker, stage.inputs, outputs=lambda _: {output: None})
    output.write_text("edited")
    assert loose.is_complete and not stage.is_complete


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"inputs": null}', '{"inputs": {'])
def test_a_marker_that_is_damaged_or_lacks_keys_counts_as_none(stage: Stage, text: str) -> None:
    stage.marker.write_text(text)
    assert not stage.is_complete
    stage.marker.unlink()
    assert stage.record is None and not stage.is_complete


def test_a_record_without_its_inputs_is_named_as_what_changed(stage: Stage) -> None:
    for record in ({}, {"inputs": None}, {"inputs": 3}, {"inputs": []}):
        assert stage.changed(record) == ["made.json"] and not stage.is_up_to_date(record)


def test_an_error_in_the_present_inputs_is_not_taken_for_a_damaged_record(stage: Stage) -> None:
    """A stage that is broken must say so, and not be done again and again."""
    for error in (KeyError("x"), TypeError("x"), AttributeError("x")):

        def broken(_: dict, error: Exception = error) -> dict[str, str]:
            raise error

        with pytest.raises(type(error)):
            _ = Stage("make", stage.marker, broken).is_complete


def test_what_cannot_be_told_yet_is_not_complete(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "in").unlink()
    assert not stage.is_complete
    with pytest.raises(NotReady, match="in: not there yet"):
        stage.changed({"inputs": {}})


def test_all_its_parts_must_be_complete(stage: Stage, tmp_path: Path, output: Path) -> None:
    whole = Stage("all", tmp_path / "all.json", lambda _: {}, lambda _: {}, parts=lambda _: [stage])
    write_json(whole.marker, {"anything": 1})
    assert whole.is_complete
    output.unlink()
    assert not whole.is_complete
