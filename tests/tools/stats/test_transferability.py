"""The scores, each against the same quantity computed in another way."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from tools.stats.transferability import h_score, h_score_shrunk, leep, logme

RANDOM = np.random.RandomState(3)
LABELS = np.arange(40) % 4
FEATURES = RANDOM.standard_normal((40, 6)) + np.eye(6)[LABELS] * 1.5
NOISE = RANDOM.standard_normal((40, 6))


def test_leep_is_what_its_definition_gives_by_hand():
    probabilities = [[0.5, 0.5], [1, 0], [0.25, 0.75]]
    labels = [0, 0, 1]
    # P(z) * 3 = 1.75, 1.25; of z = 0 label 0 has 1.5 and label 1 0.25; of z = 1 they have 0.5 and 0.75
    likelihoods = [
        0.5 * 1.5 / 1.75 + 0.5 * 0.5 / 1.25,
        1.5 / 1.75,
        0.25 * 0.25 / 1.75 + 0.75 * 0.75 / 1.25,
    ]
    expected = sum(map(math.log, likelihoods)) / 3
    assert leep(np.array(probabilities), np.array(labels)) == pytest.approx(expected, abs=1e-12)


def test_leep_of_a_source_net_that_tells_the_classes_apart_is_0_and_of_one_that_does_not_their_entropy():
    assert leep(np.eye(5)[LABELS], LABELS) == pytest.approx(0)
    assert leep(np.full((40, 5), 0.2), LABELS) == pytest.approx(-math.log(4))


@pytest.mark.parametrize(
    "features",
    [FEATURES, NOISE, np.hstack([FEATURES, np.zeros((40, 2))]), np.zeros((40, 6)), np.ones((40, 6))],
    ids=["signal", "noise", "partly dead", "dead", "constant"],
)
@pytest.mark.filterwarnings("error")
def test_logme_is_the_largest_evidence_that_an_optimizer_finds(features):
    """The marginal likelihood of y ~ N(0, F F' / alpha + I / beta), maximized numerically."""
    best = []
    for label in range(4):
        y = (label == LABELS).astype(float)

        def cost(logs, y=y):
            covariance = features @ features.T * math.exp(-logs[0]) + np.eye(40) * math.exp(-logs[1])
            return -multivariate_normal(cov=covariance).logpdf(y)

        starts = [
            minimize(cost, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9})
            for start in ([0, 0], [3, 1], [6, 2])
        ]
        best.append(-min(found.fun for found in starts) / 40)
    assert logme(features, LABELS) == pytest.approx(np.mean(best), abs=1e-4)


def test_h_score_is_the_sum_of_squared_canonical_correlations_of_features_and_classes():
    centred = FEATURES - FEATURES.mean(0)
    classes = np.eye(4)[LABELS]
    q = np.linalg.qr(centred)[0]
    r = np.linalg.qr((classes - classes.mean(0))[:, :3])[0]
    correlations = np.linalg.svd(q.T @ r, compute_uv=False)
    assert h_score(FEATURES, LABELS) == pytest.approx((correlations**2).sum(), abs=1e-9)


def test_features_that_never_fire_change_no_score():
    more = np.hstack([FEATURES, np.zeros((40, 3))])
    assert h_score(more, LABELS) == pytest.approx(h_score(FEATURES, LABELS))
    assert math.isfinite(h_score_shrunk(np.hstack([FEATURES, np.zeros((40, 3))]), LABELS))


def test_with_fewer_images_than_features_only_the_shrunk_h_score_still_tells():
    wide = RANDOM.standard_normal((40, 100))
    signal = wide + 3 * np.eye(100)[LABELS]
    assert h_score(wide, LABELS) == pytest.approx(3) and h_score(signal, LABELS) == pytest.approx(3)
    assert h_score_shrunk(signal, LABELS) > 2 * h_score_shrunk(wide, LABELS)


@pytest.mark.parametrize("score", [logme, h_score, h_score_shrunk])
def test_features_that_tell_the_classes_apart_score_higher_than_noise(score):
    assert score(FEATURES, LABELS) > score(NOISE, LABELS)
