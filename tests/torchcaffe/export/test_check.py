"""When an exported net counts as the same."""

from pathlib import Path

import numpy as np
import pytest

from caffeformat import FormatError
from tests.helpers.both_engines import net_of
from tests.helpers.exported import layer, recurrent, weighted
from torchcaffe.export.check import Report, cases, compare, distance, random_inputs
from torchcaffe.export.exporter import Options, load, quiet


def arrays(value: float) -> dict[str, np.ndarray]:
    return {"y": np.array([1, 2 + value])}


def never() -> dict[str, np.ndarray]:
    raise AssertionError("float64 is not needed")


def test_the_distance_is_relative_to_the_largest_value_and_infinite_where_nan_differ() -> None:
    assert distance(np.array([1.0, 4.4]), np.array([1.0, 4.0])) == pytest.approx(0.1)
    nan = np.array([np.nan, 1])
    assert distance(nan, nan) == 0 and distance(nan, np.ones(2)) == np.inf and distance(np.ones(2), nan) == np.inf


def test_close_values_are_noted_without_float64() -> None:
    report = Report()
    compare(report, arrays(1e-6), arrays(0), never)
    assert report.where == "y" and report.worst == pytest.approx(5e-7)


def test_more_is_allowed_where_the_original_is_as_far_from_float64() -> None:
    report = Report()
    compare(report, arrays(1e-2), arrays(0), lambda: arrays(5e-3))
    assert "so is the original" in report.lines()[0]
    with pytest.raises(FormatError, match="y differs from the original"):
        compare(report, arrays(1e-2), arrays(0), lambda: arrays(0))


def test_blobs_with_values_that_are_not_finite_are_named() -> None:
    report, nan = Report(), {"x": np.ones(2), "y": np.array([np.nan, 1])}
    compare(report, nan, nan, never)
    assert report.lines() == ["y: compared where finite; the other values are nan or infinite in the original, too"]


def test_random_markers_of_sequences_are_0_or_1_and_words_are_in_range(tmp_path: Path) -> None:
    body = layer("Reshape", "marks", "cont", "reshape_param { shape { dim: 0 dim: -1 } }")
    body += layer("Embed", "embed", "word", "embed_param { input_dim: 3 num_output: 2 }")
    text = net_of(body + recurrent("LSTM", "y", "embed marks"), cont=(9, 8), word=(9, 8))
    with quiet():
        net = load(Options(*weighted(tmp_path, text), "onnx", tmp_path / "out"), {"LSTM", "Embed", "Reshape"}).traced
    inputs = random_inputs(net, 1, 5)
    assert set(inputs["cont"].ravel()) == {0, 1} and set(inputs["word"].ravel()) == {0, 1, 2}
    assert [inputs[name].shape for name in ("cont", "word", "y_h_0")] == [(9, 5), (9, 5), (1, 5, 5)]


def test_of_real_sequences_the_first_streams_are_taken(tmp_path: Path) -> None:
    text = net_of(recurrent("RNN", "y", "x cont"), x=(4, 6, 2), cont=(4, 6))
    with quiet():
        net = load(Options(*weighted(tmp_path, text), "onnx", tmp_path / "out"), {"RNN"}).traced
    real = {"x": np.ones((4, 6, 2)), "cont": np.ones((4, 6)), "y_h_0": np.zeros((1, 6, 5))}
    made = dict(cases(net, real))
    assert [array.shape for array in made["real inputs"].inputs.values()] == [(4, 3, 2), (4, 3), (1, 3, 5)]


def test_shapes_and_indices_are_equal() -> None:
    with pytest.raises(FormatError, match="is of"):
        compare(Report(), {"y": np.ones(3)}, arrays(0), never)
    with pytest.raises(FormatError, match="50% of the indices"):
        compare(Report(), arrays(1), arrays(0), never, {"y"})
