"""The figure tsne: features of a layer in two dimensions."""

from pathlib import Path

import numpy as np
import pytest

from caffeformat import datum, lmdb_file
from tests.helpers.figure_files import is_whole, rows
from tools.figures import NoData, tsne
from tools.protocol.experiment import Experiment
from tools.protocol.layout import split_of


def test_t_sne_keeps_groups_together_and_gives_the_same_places_again():
    draw = np.random.RandomState(0)
    values = np.concatenate([draw.normal(center, 0.1, (40, 20)) for center in (0, 5, 10)])
    places = tsne.embed(values).places
    assert places.shape == (120, 2)
    nearest = np.linalg.norm(places[:, None] - places[None], axis=2).argsort(axis=1)[:, 1]
    assert (nearest // 40 == np.arange(120) // 40).all()
    assert np.array_equal(tsne.embed(values).places, places)


RANDOM = np.random.RandomState(0)
ROWS = RANDOM.standard_normal((40, 30)).astype(np.float32)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.zeros((40, 30)), "fc7 are the same for all 40 images"),
        (np.full((40, 30), 2.5), "fc7 are the same for all 40 images"),
        (np.full((40, 30), np.nan), "fc7 are not all finite numbers"),
        (np.where(np.arange(40)[:, None] == 7, np.inf, ROWS), "fc7 are not all finite numbers"),
        (np.where(np.arange(40)[:, None] == 7, -np.inf, ROWS), "fc7 are not all finite numbers"),
    ],
    ids=["dead", "constant", "nan", "one inf", "one -inf"],
)
def test_values_without_places_are_refused_before_t_sne_crashes_on_them(values: np.ndarray, why: str) -> None:
    with pytest.raises(NoData, match=f"^the values of {why}$"):
        tsne.embed(values.astype(np.float32), "the values of fc7")


@pytest.mark.parametrize(
    ("values", "components", "perplexity"),
    [
        (ROWS[:2], 2, 1 / 3),
        (ROWS[:4], 4, 1),
        (ROWS[:, :1], 1, 13),
        (np.repeat(ROWS[:2], 20, axis=0), 30, 13),
        (ROWS * np.float32(1e-30), 30, 13),
        (ROWS * np.float32(1e30), 30, 13),
    ],
    ids=["2 images", "4 images", "1 value", "2 different images", "tiny values", "large values"],
)
@pytest.mark.filterwarnings("error")
def test_few_or_unusual_values_have_places_and_settings_that_fit(
    values: np.ndarray, components: int, perplexity: float
) -> None:
    found = tsne.embed(values)
    assert found.places.shape == (len(values), 2) and np.isfinite(found.places).all() and found.places.std() > 0
    assert (found.components, found.perplexity) == (components, pytest.approx(perplexity))


def test_the_heading_has_the_numbers_that_were_used(trained: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[tuple[str, ...]] = []
    monkeypatch.setattr(tsne.style, "set_figure_title", lambda figure, *texts: heads.append(texts))
    tsne.draw(trained, "caffe", Path())
    facts = "80 images; 50 and 10 principal components, then t-SNE, perplexity 26.3; net: B2A/n0012/base/seed0"
    assert heads == [(f"{Path(trained.path).name}: the validation halves", facts)]


def test_it_places_the_validation_images_of_both_halves_by_pixels_and_by_features(trained: Experiment) -> None:
    path = tsne.draw(trained, "caffe", Path())
    assert path == Path("tsne.png") and is_whole("tsne")
    table = rows("tsne")
    assert [row["half"] for row in table] == ["A"] * 40 + ["B"] * 40
    labels = [datum.decode(value)[1] for half in "AB" for value in values_of(split_of(trained, 0).val_lmdb(half))]
    assert [int(row["label"]) for row in table] == labels


def test_a_layer_that_the_net_lacks_is_named_with_those_that_it_has(trained: Experiment) -> None:
    with pytest.raises(NoData, match="no layer 'conv9'; there are conv1, fc2, fc3"):
        tsne.draw(trained, "caffe", Path(), "conv9")


@pytest.mark.slow
def test_another_layer_has_a_figure_of_its_own(trained: Experiment) -> None:
    assert tsne.draw(trained, "caffe", Path(), "conv1") == Path("tsne-conv1.png")


def test_without_the_source_net_there_is_no_figure(trained: Experiment) -> None:
    Path("models/quick/B2A/n0012/base/seed0/net_iter_40.caffemodel").unlink()
    with pytest.raises(NoData, match="models/quick/B2A/n0012/base/seed0 has no trained net"):
        tsne.draw(trained, "caffe", Path())


def values_of(lmdb: Path) -> list[bytes]:
    with lmdb_file.open_reader(lmdb) as reader:
        return [bytes(value) for _, value in reader]
