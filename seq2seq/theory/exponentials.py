"""How near sums of real exponentials come to a kernel: what a diagonal recurrence could learn.

A linear recurrence with n real eigenvalues responds by ρ̂_s = Σ_i c_i e^{−λ_i s}, λ_i > 0. Given the
rates the best c is linear least squares, so that only the rates are searched for (variable
projection: Golub and Pereyra, SIAM J. Numerical Analysis 10 (1973)). For memory that decays like a
power of time the least error falls exponentially in n (Beylkin and Monzón, Applied and
Computational Harmonic Analysis 28 (2010)); what training leaves beyond it is its own.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

#: Relative errors below this are rounding, and not improved any further.
ROUNDING = 1e-18


@dataclass(frozen=True)
class ExponentialSum:
    """A sum found numerically.

    Attributes:
        error: its Σ_s w_s (ρ_s − ρ̂_s)².
        rates: λ_i, growing, (n,).
        weights: c_i, (n,).
    """

    error: float
    rates: Array
    weights: Array


def best_exponential_sums(
    kernel: ArrayLike, order: int, weights: ArrayLike | None = None
) -> list[ExponentialSum]:
    """The best sums of 0, 1, …, `order` real exponentials found for ρ: upper limits.

    Args:
        kernel: ρ, (L,).
        order: most exponentials.
        weights: w_s ≥ 0, (L,); None for w_s = 1. Lags beyond L do not count.
    """
    from scipy.optimize import least_squares

    rho = np.asarray(kernel, dtype=np.float64)
    root = np.sqrt(np.ones_like(rho) if weights is None else np.asarray(weights))
    scale = float(np.linalg.norm(root * rho))
    target, lags = root * rho / scale, np.arange(len(rho))

    def solved(logs: Array) -> tuple[Array, Array, Array]:
        """The basis, an orthonormal one of its span, and the best c."""
        columns = root[:, None] * np.exp(-np.exp(logs) * lags[:, None])
        u, values, vt = np.linalg.svd(columns, full_matrices=False)
        kept = values > 1e-15 * values[0]
        return columns, u[:, kept], vt[kept].T @ ((u[:, kept].T @ target) / values[kept])

    def residual(logs: Array) -> Array:
        columns, _, c = solved(logs)
        return np.asarray(target - columns @ c)

    def slope(logs: Array) -> Array:
        """Kaufman's approximation: what the span does not take of −∂(columns · c)."""
        columns, span, c = solved(logs)
        moved = columns * c * np.exp(logs) * lags[:, None]
        return np.asarray(moved - span @ (span.T @ moved))

    found = [ExponentialSum(1.0, np.empty(0), np.empty(0))]
    slowest, fastest = np.log(0.1 / len(rho)), np.log(3.0)
    for n in range(1, order + 1):
        last = found[-1]
        if last.error < ROUNDING:
            found.append(last)
            continue
        spread = np.linspace(slowest, fastest, n + 2)[1:-1]
        starts = [spread]
        if n > 1:
            before = np.log(last.rates)
            starts = [spread, np.append(before, before[-1] + 1), np.append(before, before[0] - 1)]
        bounds = (slowest - 5, fastest + 2)
        best = min(
            (
                least_squares(residual, s, slope, bounds, ftol=1e-15, xtol=1e-15, gtol=1e-15)
                for s in np.clip(starts, *bounds)
            ),
            key=lambda result: float(result.cost),
        )
        rates = np.sort(best.x)
        one = ExponentialSum(2 * float(best.cost), np.exp(rates), solved(rates)[2])
        found.append(one if one.error < last.error else last)
    return [ExponentialSum(scale**2 * s.error, s.rates, scale * s.weights) for s in found]
