"""Whether a run has learned: the rule for the status `stuck`, which takes a run out of the means.

A mean over the runs that scored well is too high. So a low accuracy alone makes no run stuck: nothing in its log may
show that the net has learned, its training loss included. docs/statistics.md has the rule and its error rates.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

FLAT = 0.99  # a loss of at least this share of the loss at chance is flat
FAR_BELOW = 0.5  # a training loss of at most this share of the loss at chance is no chance
STANDARD_ERRORS = 3  # or one that is this many of its own standard errors below FLAT
FEWEST = 5  # displays from which a standard error is taken
LEVEL = 0.00135  # of a test against chance: three standard deviations of a normal distribution, on one side


@dataclass(frozen=True)
class Chance:
    """The best that a net can score that gives all images the same probabilities of the classes."""

    accuracy: float  # the share of the largest class in the validation set: 1/k for k equal ones
    loss: float  # the entropy of the classes in the validation set: ln k for k equal ones
    training_loss: float  # that of the classes in the training set
    start_loss: float  # the loss of equal probabilities: ln of the number of the net's outputs


def chance_of(training: Sequence[int], validation: Sequence[int], outputs: int) -> Chance:
    """Chance for so many images of each class in the training set and in the validation set."""
    shares = [count / sum(validation) for count in validation]
    return Chance(max(shares), _entropy(validation), _entropy(training), math.log(outputs))


def _entropy(counts: Sequence[int]) -> float:
    if len(set(counts)) == 1:
        return math.log(len(counts))
    return -math.fsum(count / sum(counts) * math.log(count / sum(counts)) for count in counts if count)


@dataclass(frozen=True)
class Evidence:
    """What a run's log says about its learning. A loss that is no log loss, or is not in the log, is left out."""

    accuracies: Sequence[float]  # of all tests after iteration 0, in order; at least one
    images: int  # of each test, the same ones
    loss: float | None  # of the last test
    first_loss: float | None  # of the test at iteration 0
    training_losses: Sequence[float]  # at each display, in order


def is_stuck(run: Evidence, chance: Chance) -> bool:
    """Whether a run shows no sign of having learned.

    It is stuck if both losses are flat at the end, so that the net is as it started; or if neither an accuracy nor a
    loss is clearly better than chance.
    """
    if run.training_losses:
        lowest = min([at_the_end(run.training_losses), *([] if run.loss is None else [run.loss])])
        if lowest >= FLAT * chance.start_loss:
            return True
    return not (
        is_above_chance(run.accuracies, run.images, chance)
        or is_below_chance(run.training_losses, chance)
        or _tests_better(run, chance)
    )


def at_the_end(training_losses: Sequence[float]) -> float:
    """The mean over the last tenth of the displays."""
    return statistics.fmean(last_tenth(training_losses))


def last_tenth(training_losses: Sequence[float]) -> Sequence[float]:
    """The last tenth of the displays, at least one."""
    return training_losses[-max(1, len(training_losses) // 10) :]


def is_above_chance(accuracies: Sequence[float], images: int, chance: Chance) -> bool:
    """Whether the last test, or the mean of all, is too good for guesses, by the binomial distribution.

    All tests are on the same images, so the mean of several is not taken as more certain than one of them.
    """
    right = (round(accuracies[-1] * images), math.floor(statistics.fmean(accuracies) * images + 1e-6))
    return any(_at_least(count, images, chance.accuracy) <= LEVEL for count in right)


def is_below_chance(training_losses: Sequence[float], chance: Chance) -> bool:
    """Whether the training loss at the end is far below that of chance, or below it by more than it scatters.

    The mean of the last half of the displays counts for that, too; it has a smaller error. The scatter is that of the
    last half. Displays that are alike (`average_loss`) count as fewer.
    """
    if not training_losses:
        return False
    loss, half = at_the_end(training_losses), training_losses[len(training_losses) // 2 :]
    if loss <= FAR_BELOW * chance.training_loss:
        return True
    if len(half) < FEWEST or not (sd := statistics.stdev(half)):
        return False
    alike = min(max(_autocorrelation(half), 0.0), 0.99)
    return any(
        statistics.fmean(displays)
        + STANDARD_ERRORS * sd / math.sqrt(max(1.0, len(displays) * (1 - alike) / (1 + alike)))
        <= FLAT * chance.training_loss
        for displays in (last_tenth(training_losses), half)
    )


def _tests_better(run: Evidence, chance: Chance) -> bool:
    """Whether the loss of the last test is below that of chance, and below that of the net as it started.

    No net that gives all images the same probabilities is below that of chance. One that has not changed can be, on few
    images: it is not below its start.
    """
    if run.loss is None or run.loss > FLAT * chance.loss:
        return False
    return run.first_loss is None or run.loss <= run.first_loss - (1 - FLAT) * chance.loss


def _autocorrelation(values: Sequence[float]) -> float:
    """Of each value and the next."""
    mean = statistics.fmean(values)
    deviations = [value - mean for value in values]
    products = (a * b for a, b in pairwise(deviations))
    return sum(products) / sum(d * d for d in deviations)


def _at_least(count: int, images: int, share: float) -> float:
    """The probability of at least `count` successes in `images` trials of probability `share`."""
    if count <= 0 or share >= 1:
        return 1.0
    logs = (
        math.lgamma(images + 1) - math.lgamma(n + 1) - math.lgamma(images - n + 1)
        + n * math.log(share) + (images - n) * math.log1p(-share)
        for n in range(count, images + 1)
    )  # fmt: skip
    return math.fsum(map(math.exp, logs))
