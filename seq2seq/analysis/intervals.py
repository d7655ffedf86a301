"""Estimates with their 95% confidence intervals, by Student's t but for shares."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import beta, t


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and the ends of its 95% interval; of one value, itself."""
    x = np.asarray(values, dtype=np.float64)
    mean = float(x.mean())
    if len(x) < 2:
        return mean, mean, mean
    half = float(t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x)))
    return mean, mean - half, mean + half


def share(successes: int, n: int) -> tuple[float, float, float]:
    """k of n, and the ends of its 95% interval, which holds the probability at least that often.

    Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26 (1934).
    """
    low = float(beta.ppf(0.025, successes, n - successes + 1)) if successes else 0.0
    high = float(beta.ppf(0.975, successes + 1, n - successes)) if successes < n else 1.0
    return successes / n, low, high


def log_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Geometric mean of positive values and the ends of its 95% interval."""
    mean, low, high = (math.exp(end) for end in interval(np.log(values).tolist()))
    return mean, low, high
