"""Estimates with their 95% confidence intervals by Student's t."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and the ends of its 95% interval; of one value, itself."""
    x = np.asarray(values, dtype=np.float64)
    mean = float(x.mean())
    if len(x) < 2:
        return mean, mean, mean
    half = float(t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x)))
    return mean, mean - half, mean + half


def log_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Geometric mean of positive values and the ends of its 95% interval."""
    mean, low, high = (math.exp(end) for end in interval(np.log(values).tolist()))
    return mean, low, high
