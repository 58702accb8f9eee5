"""How well a linear classifier on fixed features serves a task, and how alike the features of two nets are."""

import numpy as np

PENALTIES = np.logspace(-2, 5, 15)


def probe(features: np.ndarray, labels: np.ndarray, test_features: np.ndarray, test_labels: np.ndarray) -> float:
    """The accuracy on the test images of a linear classifier that was fitted on the others.

    `features` is (N, D), `labels` (N,), the others (M, D) and (M,). Each feature is scaled to mean 0 and variance 1.
    The classifier is least squares with a ridge penalty, one against the rest; the penalty is that of the lowest
    leave-one-out error (scikit-learn, RidgeClassifierCV). It has no random start, and one solution gives all penalties.
    With a single class there is nothing to fit: it predicts that class.
    """
    from sklearn.linear_model import RidgeClassifierCV  # takes a second to import
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(np.unique(labels)) < 2:
        return float((test_labels == labels[0]).mean())
    model = make_pipeline(StandardScaler(), RidgeClassifierCV(PENALTIES))
    model.fit(np.asarray(features, np.float64), labels)
    return float(model.score(np.asarray(test_features, np.float64), test_labels))


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Linear centred kernel alignment of two nets' features for the same images: Kornblith et al. (ICML 2019).

    `x` is (N, D), `y` is (N, E). 1 where they are equal up to a rotation and a scale, near 0 where they share nothing;
    NaN where all images have the same features.
    """
    a, b = (np.asarray(values, np.float64) - np.mean(values, axis=0, dtype=np.float64) for values in (x, y))
    shared = np.linalg.norm(b.T @ a) ** 2
    own = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return float(shared / own) if own > 0 else float("nan")
