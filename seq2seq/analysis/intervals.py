"""Estimates with their 95% confidence intervals, by Student's t but for shares and medians."""

import math
import re
import statistics
from collections.abc import Sequence

import numpy as np
from scipy.stats import beta, binom, t

#: Parts of the names of metrics that are shares of answers.
SHARES = frozenset({"accuracy", "exact", "scaled"})


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


def named(ends: Sequence[float], count: int | None = None) -> dict[str, float | None]:
    """A mean and the ends of its interval, as files of rows have them; of one value there is none.

    Args:
        ends: mean, low and high.
        count: of how many values the mean is, where it may be of one.
    """
    mean, low, high = ends
    alone = count == 1
    return {"mean": mean, "low": None if alone else low, "high": None if alone else high}


def is_share(metric: str) -> bool:
    """Whether a metric is a share, as `test/accuracy` and `generalisation/accuracy/length_8`."""
    return metric == "success" or not SHARES.isdisjoint(re.split(r"[/_]", metric))


def average(values: Sequence[float], metric: str) -> tuple[float, float, float]:
    """Mean of a metric with its interval: geometric unless it is a share or not all positive.

    The interval of a share ends at 0 and 1.
    """
    if is_share(metric):
        mean, low, high = interval(values)
        return mean, max(low, 0.0), min(high, 1.0)
    return (log_interval if min(values) > 0 else interval)(values)


def median(values: Sequence[float]) -> tuple[float, float, float]:
    """Median and the ends of its 95% interval; of fewer than six, which bound none, itself.

    The ends are the order statistics x_(k) and x_(n+1−k) with the largest k for which
    P(Bin(n, ½) < k) ≤ 0.025: the interval holds the median of any law at least that often.
    Values may be infinite, as times are that were longer than anybody waited. See David and
    Nagaraja, Order Statistics (2003), section 7.1.
    """
    x, n = sorted(values), len(values)
    middle = float(statistics.median(x))
    k = int(binom.ppf(0.025, n, 0.5))
    k += bool(binom.cdf(k, n, 0.5) <= 0.025)
    return (middle, x[k - 1], x[n - k]) if k else (middle, middle, middle)
