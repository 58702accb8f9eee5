"""Scores that predict how well a net's features serve a new task, from one pass over its images, without training.

`features` is (N, D) and `probabilities` (N, Z), float; `labels` is (N,), the classes of the new task. A higher score is
better. The formulas are those of the papers, in float64; no maintained library has them.
"""

import numpy as np

NOISE = 1e-9  # share of the largest eigenvalue below which an eigenvalue is rounding (the engine prints six digits)
ITERATIONS = 200


def leep(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Log expected empirical prediction: Nguyen et al., LEEP (ICML 2020).

    The mean log likelihood of the labels under this model: a source class z is drawn from `probabilities`, then the
    label is drawn from the empirical P(y | z).
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

    The mean over the classes of the log evidence per sample of a Bayesian linear model whose target is 1 for the class
    and 0 otherwise. The precisions of the weights (alpha) and of the noise (beta) are at the fixed point that maximizes
    the evidence. Features that are all 0 (a dead layer) have the evidence of a model of noise alone.
    """
    f = np.asarray(features, np.float64)
    u, s, _ = np.linalg.svd(f, full_matrices=False)
    return float(np.mean([_evidence(u, s**2, f.shape, labels == label) for label in np.unique(labels)]))


def _evidence(u: np.ndarray, squares: np.ndarray, shape: tuple[int, int], target: np.ndarray) -> float:
    """`u`: the left singular vectors of the features, `squares`: their squared singular values, `shape`: N, D."""
    (n, d), y = shape, target.astype(np.float64)
    z = (u.T @ y) ** 2
    residual = max(y @ y - z.sum(), 0)  # of the target, outside the span of the features
    alpha = beta = 1.0
    for _ in range(ITERATIONS):
        gamma = (beta * squares / (alpha + beta * squares)).sum()
        weights = (beta**2 * squares * z / (alpha + beta * squares) ** 2).sum()
        errors = (alpha**2 * z / (alpha + beta * squares) ** 2).sum() + residual
        last_ratio, beta = alpha / beta, (n - gamma) / max(errors, 1e-12)
        alpha = gamma / max(weights, 1e-12) if gamma else alpha  # without a feature alpha has no effect
        if abs(np.log(alpha / beta / last_ratio)) < 1e-6:
            break
    weights = (beta**2 * squares * z / (alpha + beta * squares) ** 2).sum()
    errors = (alpha**2 * z / (alpha + beta * squares) ** 2).sum() + residual
    determinant = np.log(alpha + beta * squares).sum() + (d - len(squares)) * np.log(alpha)
    fit = n * np.log(beta) + d * np.log(alpha) - determinant - beta * errors - alpha * weights
    return (fit - n * np.log(2 * np.pi)) / (2 * n)


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """H-score: Bao et al., An information-theoretic approach to transferability (ICIP 2019).

    The trace of cov(f)^-1 cov(E[f | y]). With fewer images than features it is always the number of classes minus one;
    use `h_score_shrunk` then.
    """
    f, means = _centred(features, labels)
    return float(np.trace(np.linalg.pinv(_covariance(f), rcond=NOISE, hermitian=True) @ _covariance(means)))


def h_score_shrunk(features: np.ndarray, labels: np.ndarray) -> float:
    """H-score with cov(f) shrunk by Ledoit and Wolf's method: Ibrahim et al., Newer is not always better (2021)."""
    from sklearn.covariance import ledoit_wolf  # takes a second to import

    f, means = _centred(features, labels)
    covariance, shrinkage = ledoit_wolf(f, assume_centered=True)
    inverse = np.linalg.pinv(covariance, rcond=NOISE, hermitian=True)
    return float((1 - shrinkage) * np.trace(inverse @ _covariance(means)))


def _centred(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays (N, D): the features minus their mean, and for each image the mean of these over its class."""
    f = np.asarray(features, np.float64)
    f = f - f.mean(0)
    classes, y = np.unique(labels, return_inverse=True)
    means = np.stack([f[y == k].mean(0) for k in range(len(classes))])
    return f, means[y]


def _covariance(centred: np.ndarray) -> np.ndarray:
    return centred.T @ centred / len(centred)
