"""Scores that foretell how well a net's features serve a new task, from one pass over its images: no training.

`features` is (N, D) and `probabilities` (N, Z), float; `labels` is (N,), the new task's classes. Higher is better, in
all of them. They are the papers' formulas, in float64: no kept library has them.
"""

import numpy as np

NOISE = 1e-9  # of the largest eigenvalue: below it a direction of features is rounding (six digits were printed)
ITERATIONS = 200


def leep(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Log expected empirical prediction: Nguyen et al., LEEP (ICML 2020).

    The mean log likelihood of the labels under: the source net draws a source class z from `probabilities`, and z draws
    a label from its empirical share P(y | z).
    """
    theta = np.asarray(probabilities, np.float64)
    classes, y = np.unique(labels, return_inverse=True)
    joint = np.zeros((len(classes), theta.shape[1]))
    np.add.at(joint, y, theta / len(y))
    total = joint.sum(0)
    conditional = np.divide(joint, total, out=np.zeros_like(joint), where=total > 0)
    return float(np.log((conditional[y] * theta).sum(1)).mean())


def logme(features: np.ndarray, labels: np.ndarray) -> float:
    """Log maximum evidence: You et al., LogME (ICML 2021).

    Mean, over the classes, of the log evidence a sample of a Bayesian linear model for the class's 0 or 1, with the
    weights' precision alpha and the noise's precision beta at the fixed point that maximizes it.
    """
    f = np.asarray(features, np.float64)
    u, s, _ = np.linalg.svd(f, full_matrices=False)
    return float(np.mean([_evidence(u, s**2, f.shape, labels == label) for label in np.unique(labels)]))


def _evidence(u: np.ndarray, squares: np.ndarray, shape: tuple[int, int], target: np.ndarray) -> float:
    """`squares`: the squared singular values of the features, `u` their left vectors."""
    (n, d), y = shape, target.astype(np.float64)
    z = (u.T @ y) ** 2
    outside = max(y @ y - z.sum(), 0)  # what of the target no feature can say
    alpha = beta = 1.0
    for _ in range(ITERATIONS):
        gamma = (beta * squares / (alpha + beta * squares)).sum()
        weights = (beta**2 * squares * z / (alpha + beta * squares) ** 2).sum()
        errors = (alpha**2 * z / (alpha + beta * squares) ** 2).sum() + outside
        before, alpha, beta = alpha / beta, gamma / max(weights, 1e-12), (n - gamma) / max(errors, 1e-12)
        if abs(np.log(alpha / beta / before)) < 1e-6:
            break
    weights = (beta**2 * squares * z / (alpha + beta * squares) ** 2).sum()
    errors = (alpha**2 * z / (alpha + beta * squares) ** 2).sum() + outside
    determinant = np.log(alpha + beta * squares).sum() + (d - len(squares)) * np.log(alpha)
    fit = n * np.log(beta) + d * np.log(alpha) - determinant - beta * errors - alpha * weights
    return (fit - n * np.log(2 * np.pi)) / (2 * n)


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """H-score: Bao et al., An information-theoretic approach to transferability (ICIP 2019).

    The trace of cov(f)^-1 cov(E[f | y]). With fewer images than features it is the number of classes less one, whatever
    the features are: then `h_score_shrunk` still tells.
    """
    f, means = _centred(features, labels)
    return float(np.trace(np.linalg.pinv(_covariance(f), rcond=NOISE, hermitian=True) @ _covariance(means)))


def h_score_shrunk(features: np.ndarray, labels: np.ndarray) -> float:
    """H-score with cov(f) shrunk as Ledoit and Wolf do: Ibrahim et al., Newer is not always better (2021)."""
    from sklearn.covariance import ledoit_wolf  # takes a second to import

    f, means = _centred(features, labels)
    covariance, shrinkage = ledoit_wolf(f, assume_centered=True)
    inverse = np.linalg.pinv(covariance, rcond=NOISE, hermitian=True)
    return float((1 - shrinkage) * np.trace(inverse @ _covariance(means)))


def _centred(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, D): the features less their mean, and in the place of each its class's mean of them."""
    f = np.asarray(features, np.float64)
    f = f - f.mean(0)
    classes, y = np.unique(labels, return_inverse=True)
    means = np.stack([f[y == k].mean(0) for k in range(len(classes))])
    return f, means[y]


def _covariance(centred: np.ndarray) -> np.ndarray:
    return centred.T @ centred / len(centred)
