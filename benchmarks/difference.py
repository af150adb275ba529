"""How far the means of two samples lie apart."""

import statistics
from collections.abc import Sequence


def of_means(found: Sequence[float], reference: Sequence[float]) -> tuple[float, float]:
    """The mean of one sample less that of another, and its standard error: the root of the sum of each one's s^2 / n.

    Both have two values or more.
    """
    error = sum(statistics.variance(values) / len(values) for values in (found, reference)) ** 0.5
    return statistics.fmean(found) - statistics.fmean(reference), error
