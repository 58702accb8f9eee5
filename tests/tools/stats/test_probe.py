"""The linear probe and linear CKA, on features whose answer is known."""

import numpy as np
import pytest

from tools.stats.probe import linear_cka, probe

RANDOM = np.random.RandomState(0)


def split_by_class(
    n: int, classes: int = 4, dimensions: int = 30, distance: float = 3.0
) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(n) % classes
    centres = np.random.RandomState(1).normal(0, 1, (classes, dimensions)) * distance / np.sqrt(dimensions)
    return centres[labels] + RANDOM.normal(0, 1 / np.sqrt(dimensions), (n, dimensions)), labels


def test_classes_apart_are_told_apart_and_noise_is_guessed():
    train, test = split_by_class(80), split_by_class(400)
    assert probe(*train, *test) > 0.99
    noise = RANDOM.normal(0, 1, (400, 30))
    assert 0.15 < probe(train[0], train[1], noise, test[1]) < 0.35


def test_a_feature_may_have_any_scale_and_there_may_be_more_features_than_images():
    train, test = split_by_class(40, dimensions=500), split_by_class(400, dimensions=500)
    scale = 10.0 ** RANDOM.uniform(-4, 4, 500)
    assert probe(*train, *test) > 0.95
    assert probe(train[0] * scale, train[1], test[0] * scale, test[1]) == pytest.approx(probe(*train, *test), abs=0.02)


def test_a_dead_feature_and_a_single_class_are_no_error():
    train, test = split_by_class(80), split_by_class(400)
    dead = [np.hstack([features, np.zeros((len(features), 3))]) for features, _ in (train, test)]
    assert probe(dead[0], train[1], dead[1], test[1]) == probe(*train, *test)
    assert probe(train[0], np.zeros(80), test[0], test[1]) == 0.25


def test_cka_is_one_up_to_rotation_and_scale_and_small_for_unrelated_features():
    x = RANDOM.normal(0, 1, (500, 20))
    rotation, _ = np.linalg.qr(RANDOM.normal(0, 1, (20, 20)))
    assert linear_cka(x, 5 * x @ rotation + 3) == pytest.approx(1)
    assert linear_cka(x, RANDOM.normal(0, 1, (500, 20))) < 0.1
    half = np.hstack([x[:, :10], RANDOM.normal(0, 1, (500, 10))])
    assert 0.3 < linear_cka(x, half) < 0.7


def test_cka_is_the_likeness_of_the_kernels():
    x, y = RANDOM.normal(0, 1, (30, 5)), RANDOM.normal(0, 1, (30, 8))
    centre = np.eye(30) - 1 / 30
    k, l = (centre @ v @ v.T @ centre for v in (x, y))  # noqa: E741
    assert linear_cka(x, y) == pytest.approx((k * l).sum() / np.sqrt((k * k).sum() * (l * l).sum()))
    assert np.isnan(linear_cka(np.ones((30, 5)), y))
