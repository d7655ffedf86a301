"""Estimates with their 95% confidence intervals by Student's t."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import linregress, t


class Slope(NamedTuple):
    """A least-squares line: its slope, the slope's interval, and the value at x = 0."""

    slope: float
    interval: tuple[float, float]
    offset: float


def line(x: ArrayLike, y: ArrayLike) -> Slope:
    """The least-squares line through at least three points, (points,) each."""
    fit = linregress(x, y)
    error = fit.stderr if np.ptp(y) else 0.0  # NaN for a constant, whose correlation is undefined
    half = float(t.ppf(0.975, np.size(x) - 2) * error)
    slope = float(fit.slope)
    return Slope(slope, (slope - half, slope + half), float(fit.intercept))


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
