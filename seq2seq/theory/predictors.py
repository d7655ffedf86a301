"""The losses that linear predictors of short memory reach: reference lines for every loss curve.

An m-tap predictor answers ŷ_t = Σ_{s<m} W_sᵀ x_{t−s}, with x = 0 before the first step. Averaged
over the horizon its mean squared error is a quadratic form in W with three moments of the data:

    gram[s, r]  = (1/L) Σ_t E[x_{t−s} x_{t−r}]
    cross[s]    = (1/L) Σ_t E[x_{t−s} y_t]
    power       = (1/L) Σ_t E[y_t²]

The sums run over the steps where the lagged inputs exist, so the zero start is part of them. Smooth
inputs make `gram` singular to working precision: directions whose eigenvalue lies below `RCOND`
times the largest are left out of the solution. The best linear predictor is the best of all
predictors only when input and target are jointly Gaussian.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

#: Relative eigenvalue below which a direction of the input counts as absent. Float32 data carry
#: rounding noise of about 1e-14 in relative variance, so 1e-10 is safely above it.
RCOND = 1e-10

#: Most features (taps × channels) of a predictor; larger systems cost more than they tell.
MAX_FEATURES = 1024


@dataclass(frozen=True)
class Moments:
    """The second moments of a prediction problem, features ordered by lag, then by channel.

    `gram` (F, F), `cross` (F, outputs), `power` averaged over outputs; `channels` inputs per lag.
    """

    gram: Array
    cross: Array
    power: float
    channels: int = 1


def horizon_gram(covariance: ArrayLike) -> Array:
    """gram[s, r] = (1/L) Σ_{t ≥ max(s, r)} C[t−s, t−r], (L, L) from the covariance C of x, (L, L).

    The loss of a causal kernel ρ̂ on the target kernel ρ, averaged over the horizon, is
    (ρ − ρ̂)ᵀ gram (ρ − ρ̂); for white input of variance σ² gram is diag(σ²(L − s)/L).
    """
    c = np.asarray(covariance, dtype=np.float64)
    length = len(c)
    gram = np.zeros((length, length))
    rows = np.arange(length)
    for lag in range(length):
        # A sum along one diagonal of C that stops s entries before its end.
        sums = np.cumsum(np.diagonal(c, -lag))[::-1] / length
        gram[rows[: length - lag], rows[lag:]] = sums
        gram[rows[lag:], rows[: length - lag]] = sums
    return gram


def kernel_moments(kernel: ArrayLike, covariance: ArrayLike) -> Moments:
    """Exact moments of y_t = Σ_s kernel[s] x_{t−s} for an input of `covariance`, (L,) or (L, L).

    One of shape (L,) is that of a stationary input at each lag: gram[s, r] is then
    covariance[|s − r|]·(L − max(s, r))/L. Only the lags that a predictor may use are worked out,
    and the sums over all of them by FFT, in time L log L.
    """
    rho, c = (np.asarray(part, dtype=np.float64) for part in (kernel, covariance))
    if c.ndim == 2:
        gram = horizon_gram(c)
        cross = gram @ rho
        return Moments(gram, cross[:, None], float(rho @ cross))
    length = len(c)
    share = (length - np.arange(length)) / length
    # gram = share_s·c for r ≤ s, a convolution, and c·share_r for r ≥ s, a correlation: half of the
    # diagonal in each.
    size = 1 << (2 * length - 1).bit_length()
    half = np.fft.rfft(np.r_[c[0] / 2, c[1:]], size)
    past = np.fft.irfft(half * np.fft.rfft(rho, size), size)[:length]
    future = np.fft.irfft(half.conj() * np.fft.rfft(share * rho, size), size)[:length]
    cross = share * past + future
    lag = np.arange(min(length, MAX_FEATURES))
    gram = c[abs(lag[:, None] - lag)] * share[np.maximum(lag[:, None], lag)]
    return Moments(gram, cross[lag, None], float(rho @ cross))


def operator_moments(operator: ArrayLike, covariance: ArrayLike) -> Moments:
    """Exact moments of y = operator·x, (L, L), which need not be invariant in time."""
    a, c = np.asarray(operator, dtype=np.float64), np.asarray(covariance, dtype=np.float64)
    length = len(c)
    yx = a @ c
    cross = np.array([np.trace(yx, -lag) for lag in range(length)]) / length
    return Moments(horizon_gram(c), cross[:, None], float((yx * a).sum() / length))


def data_moments(x: ArrayLike, y: ArrayLike, taps: int, skip: int = 0) -> Moments:
    """Moments of `taps` lags estimated from x (N, L, D) and y (N, L, E), at the times t ≥ skip."""
    inputs, outputs = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    count, length, channels = inputs.shape
    total = count * (length - skip)
    gram = np.zeros((taps, channels, taps, channels))
    cross = np.zeros((taps, channels, outputs.shape[2]))
    for lag in range(taps):
        first = max(skip, lag)
        past = inputs[:, first - lag : length - lag].reshape(-1, channels)
        gram[0, :, lag] = inputs[:, first:].reshape(-1, channels).T @ past / total
        cross[lag] = past.T @ outputs[:, first:].reshape(len(past), -1) / total

    def seen(last: int) -> Array:
        """What the lags see at one time, which is 0 before the first step: its part of gram."""
        past = inputs[:, :last][:, ::-1][:, :taps]
        window = np.pad(past, ((0, 0), (0, taps - past.shape[1]), (0, 0)))
        flat = window.reshape(count, taps * channels)
        return (flat.T @ flat / total).reshape(gram.shape)

    # Lags (s+1, r+1) see what lags (s, r) see, but for the last step of the window, and what they
    # see one step before the first that counts.
    lost = seen(length) - seen(skip)
    for s in range(1, taps):
        gram[s, :, s:] = gram[s - 1, :, s - 1 : -1] - lost[s - 1, :, s - 1 : -1]
        gram[s:, :, s] = gram[s, :, s:].transpose(1, 2, 0)
    gram[:, :, 0] = gram[0].transpose(1, 2, 0)
    size = taps * channels
    power = float((outputs[:, skip:] ** 2).mean())
    return Moments(gram.reshape(size, size), cross.reshape(size, -1), power, channels)


def tap_weights(moments: Moments, taps: int) -> Array:
    """Weights of the best `taps`-tap predictor, (taps·channels, outputs), of least norm."""
    basis, values, projected = _solve(moments, taps)
    return basis @ (projected / values[:, None])


def tap_names(rows: int, channels: int = 1) -> dict[str, int]:
    """The taps of `memoryless`, `taps_2`, `taps_4`, … that `rows` = lags·channels suffice for."""
    most = min(rows, MAX_FEATURES) // channels
    counts = (2**power for power in range(most.bit_length()))
    return {"memoryless" if taps == 1 else f"taps_{taps}": taps for taps in counts}


def tap_losses(moments: Moments, held_out: Moments | None = None) -> dict[str, float]:
    """Mean squared errors of the reference predictors: `zero`, `memoryless`, `taps_2`, `taps_4`, …

    The number of taps doubles up to the lags that `moments` holds. Weights estimated from data are
    judged on the moments of other data, `held_out`; exact moments judge themselves.
    """
    judge = held_out or moments
    losses = {"zero": judge.power}
    best = judge.power
    for name, taps in tap_names(len(moments.gram), moments.channels).items():
        basis, values, projected = _solve(moments, taps)
        outputs = projected.shape[1]
        if held_out is None:
            explained = (projected**2 / values[:, None]).sum() / outputs
            # More taps can always be ignored; only the cut-off could make them look harmful.
            best = min(best, max(judge.power - explained, 0.0))
        else:
            size = len(basis)
            weights = projected / values[:, None]
            gram = basis.T @ held_out.gram[:size, :size] @ basis
            linear = (weights * (basis.T @ held_out.cross[:size])).sum()
            change = (-2 * linear + (weights * (gram @ weights)).sum()) / outputs
            best = max(judge.power + change, 0.0)
        losses[name] = float(best)
    return losses


def regression_loss(fitted: Sequence[Any], judged: Sequence[Any], skip: int = 0) -> float:
    """Mean squared error of ŷ_t = c_t + Σ_{s≤t} w_{ts} x_s at the times t ≥ skip.

    Each time has its own weights, fitted to a pair x, y, (N, L) each, and judged on another.
    """
    (design, answer), (other, judge) = (
        (np.pad(np.asarray(x, dtype=np.float64), ((0, 0), (1, 0)), constant_values=1.0), y)
        for x, y in (fitted, judged)
    )
    q, r = np.linalg.qr(design)
    errors = []
    for t in range(skip, answer.shape[1]):
        weights = np.linalg.lstsq(r[:, : t + 2], q.T @ answer[:, t], rcond=None)[0]
        errors.append(np.mean((other[:, : t + 2] @ weights - judge[:, t]) ** 2))
    return float(np.mean(errors))


def _solve(moments: Moments, taps: int) -> tuple[Array, Array, Array]:
    """Eigenvectors and eigenvalues of gram above the cut-off, and cross in that basis."""
    size = taps * moments.channels
    values, vectors = np.linalg.eigh(moments.gram[:size, :size])
    kept = values > RCOND * max(values[-1], 0.0)
    basis = vectors[:, kept]
    return basis, values[kept], basis.T @ moments.cross[:size]
