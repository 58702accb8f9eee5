"""The figure tsne: features of a layer in two dimensions."""

import numpy as np

from tools.figures import tsne


def test_t_sne_keeps_groups_together_and_gives_the_same_places_again():
    draw = np.random.RandomState(0)
    values = np.concatenate([draw.normal(center, 0.1, (40, 20)) for center in (0, 5, 10)])
    places = tsne.embed(values)
    assert places.shape == (120, 2)
    nearest = np.linalg.norm(places[:, None] - places[None], axis=2).argsort(axis=1)[:, 1]
    assert (nearest // 40 == np.arange(120) // 40).all()
    assert np.array_equal(tsne.embed(values), places)
