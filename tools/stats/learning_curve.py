"""Learning curves: the error as a function of the images a class, fitted, and solved for the images.

Two families, because the answer should not depend on the form of the curve, and beyond the measured sizes it does:

power law    e(n) = a + b n^-c
    Hoiem et al., Learning Curves for Analysis of Deep Networks, ICML 2021: it fits the curves of deep networks, with c
    near 0.5.
exponential  e(n) = a + b exp(-n/d)
    The other form that well-behaved curves have (Viering and Loog, The Shape of Learning Curves: a Review, 2021). It
    levels off much sooner. So it says how many images it takes if the gain of more images soon ends. A power law with a
    small c gains nearly the same with every doubling, so a logarithmic curve would add less.

a, the error that no number of images removes, and b are at least 0. The rate (c or d) is the one of a fixed list with
the least weighted sum of squares; for each rate the best a and b are known in closed form. Hence a fit has no starting
point, always ends, and gives the same result every time. With two or three sizes three parameters cannot be estimated:
c is 0.5 then, and two sizes are too few for the exponential.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

HELD_C = 0.5
LEAST_SIZES = 3


@dataclass(frozen=True)
class Family:
    """e(n) = a + b x(n, rate), where x falls from 1 at the smallest size n0. Sizes and rates broadcast."""

    formula: str
    falling: Callable[[np.ndarray, np.ndarray, float], np.ndarray]  # (n, rate, n0) -> x
    solved: Callable[[np.ndarray, np.ndarray, float], np.ndarray]  # (x, rate, n0) -> n
    rates: Callable[[np.ndarray], np.ndarray]  # sizes -> the rates to choose from


def _rates_of_power(sizes: np.ndarray) -> np.ndarray:
    return np.linspace(0.05, 2, 79) if len(sizes) > LEAST_SIZES else np.array([HELD_C])


def _rates_of_exponential(sizes: np.ndarray) -> np.ndarray:
    return np.geomspace(sizes.min() / 2, 3 * sizes.max(), 80)


POWER = Family(
    "a + b n^-c",
    lambda n, c, n0: (n / n0) ** -c,
    lambda x, c, n0: n0 * x ** (-1 / c),
    _rates_of_power,
)
EXPONENTIAL = Family(
    "a + b exp(-n/d)",
    lambda n, d, n0: np.exp((n0 - n) / d),
    lambda x, d, n0: n0 - d * np.log(x),
    _rates_of_exponential,
)


@dataclass(frozen=True)
class Curves:
    """Fitted curves of one family. a, b and rate have the shape (curves,); b is at the smallest size n0."""

    family: Family
    n0: float
    a: np.ndarray
    b: np.ndarray
    rate: np.ndarray

    def errors(self, size: float) -> np.ndarray:
        """The curves' errors at `size` images a class, of shape (curves,)."""
        return self.a + self.b * self.family.falling(np.asarray(float(size)), self.rate, self.n0)

    def images(self, error: float) -> np.ndarray:
        """The images a class at which each curve falls to `error`, of shape (curves,).

        0 where it is below everywhere, inf where it never falls so low.
        """
        above = error - self.a
        reached, falls = above > 0, self.b > 0
        x = np.divide(above, self.b, where=reached & falls, out=np.ones_like(self.a))
        with np.errstate(over="ignore"):  # just above the asymptote: inf is right
            images = np.maximum(self.family.solved(x, self.rate, self.n0), 0.0)
        return np.where(reached, np.where(falls, images, 0.0), np.inf)


def fit(family: Family, sizes: np.ndarray, errors: np.ndarray, weights: np.ndarray) -> Curves:
    """Fits each row of `errors` by weighted least squares, with a >= 0 and b >= 0.

    sizes: images a class, (sizes,). errors: in 0..1, (curves, sizes). weights: inverse variances, (sizes,).
    """
    n0, rates = float(sizes.min()), family.rates(sizes)
    x = family.falling(sizes[:, None], rates, n0)  # (sizes, rates)
    total, mean_x, mean_e = weights.sum(), weights @ x / weights.sum(), errors @ weights / weights.sum()
    centred = x - mean_x
    weighted = errors * weights
    b = weighted @ centred / (weights @ centred**2)  # (curves, rates), and so on
    b = np.where(b > 1e-12, b, 0.0)  # of equal errors, b is not 0 by rounding alone
    a = mean_e[:, None] - b * mean_x
    products, squares = weighted @ x, weights @ x**2
    b = np.where(a < 0, np.maximum(products / squares, 0.0), b)
    a = np.maximum(a, 0.0)
    # The sum of squares without the term that no parameter changes.
    loss = (
        total * a**2 + squares * b**2 + 2 * total * mean_x * a * b - 2 * total * mean_e[:, None] * a - 2 * products * b
    )
    best = (np.arange(len(errors)), loss.argmin(axis=1))
    return Curves(family, n0, a[best], b[best], rates[best[1]])


def smooth_variances(sizes: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Measured variances of the error at each size as s0 + s1 / n with s0, s1 >= 0, as Hoiem et al. have it.

    s0 is from the start of a training, s1 / n from the draw of n images. Of few seeds, the variance at one size alone
    would be a poor weight.
    """
    (s0, s1), _ = nnls(np.stack([np.ones_like(sizes), sizes.min() / sizes], axis=1), variances)
    return s0 + s1 * sizes.min() / sizes
