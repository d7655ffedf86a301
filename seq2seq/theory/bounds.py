"""How well a linear model of given size can do at all: recurrences and dilated convolutions.

The loss is Σ_s w_s (ρ_s − ρ̂_s)² between the target kernel ρ and the model's impulse response ρ̂:
the expected squared error under white input. With w = 1 on all lags (the default) the horizon is
infinite; `weights` of `seq2seq.theory.population` give finite ones.

**Recurrences.** h_t = A h_{t−1} + B x_t, y_t = cᵀ h_t with n real states responds by ρ̂_s = cᵀA^s B.
Its Hankel matrix H[i, j] = ρ̂_{i+j} has rank ≤ n (Kronecker), so that by Eckart, Young and Mirsky
the Hankel matrix of the error e = ρ − ρ̂ keeps at least Σ_{j>n} σ_j² of that of ρ, in every window
of p rows and q columns. There e_s is counted c_s = #{i < p, j < q: i + j = s} times, hence

    Σ_s w_s e_s² ≥ min_s (w_s / c_s) · Σ_{j>n} σ_j(H_{p×q})²,

for w = 1 and p ≤ q simply Σ_{j>n} σ_j²/p. A feed-through term makes ρ_0 free: leave it out. For
shift k the best window has p = q = k + 1 and gives NMSE ≥ 1 − n/(k + 1). Nonlinear models are not
bound by it. Compare François, Orvieto and Bach, "An uncertainty principle for linear recurrent
neural networks", COLT 2025, who determine the rate for shifts.

**Dilated convolutions.** A linear network of K layers with filters of length l, dilations
1, l, …, l^{K−1} and r_1, …, r_{K−1} channels between them answers the lag Σ_k i_k l^{k−1} by
M_1[i_1] ⋯ M_K[i_K], a tensor train with bond dimensions r_j. With the sequential unfoldings of ρ,
(l^j × l^{K−j}), and tail_j = Σ_{i>r_j} σ_i², the least error lies between max_j tail_j and
Σ_j tail_j, which TT-SVD keeps to (Oseledets, "Tensor-train decomposition", SIAM J. Sci. Comput. 33
(2011), theorem 2.2). The spectra of the modes (l × l^{K−1}), the higher-order SVD, are what Jiang,
Li and Li, "Approximation Theory of Convolutional Architectures for Time Series Modelling", ICML
2021, measure kernels by.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

#: Largest reflection coefficient tried for a stable recurrence; at 1 it would no longer be one.
STABLE = 1 - 1e-6


def _singular_values(matrix: Array) -> Array:
    return np.asarray(np.linalg.svd(matrix, compute_uv=False))


# ---------------------------------------------------------------------------------- recurrences


def hankel(kernel: ArrayLike, rows: int, columns: int) -> Array:
    """H[i, j] = ρ_{i+j}, (rows, columns), with ρ = 0 beyond its length."""
    rho = np.asarray(kernel, dtype=np.float64)
    lags = np.arange(rows)[:, None] + np.arange(columns)
    return np.where(lags < len(rho), rho[np.minimum(lags, len(rho) - 1)], 0.0)


def window_bound(
    kernel: ArrayLike, order: int, rows: int, columns: int, weights: ArrayLike | None = None
) -> float:
    """The least Σ_s w_s e_s² of a recurrence of `order` states, as one rows × columns window tells.

    Args:
        kernel: ρ, (L,), zero beyond.
        order: number of real states n.
        rows, columns: p and q; with `weights` p + q − 1 ≤ L.
        weights: w_s, (L,), positive; None for w_s = 1 on all lags.

    Raises:
        ValueError: a negative order, an empty window or one that leaves the weighted lags.
    """
    if order < 0 or min(rows, columns) < 1:
        raise ValueError(
            f"order must be at least 0 and a window at least 1 × 1, got order={order}, "
            f"{rows} × {columns}"
        )
    return float(_window_spectrum(kernel, weights, rows, columns)[order:].sum())


def _window_spectrum(
    kernel: ArrayLike, weights: ArrayLike | None, rows: int, columns: int
) -> Array:
    """min_s (w_s / c_s) · σ_j², falling, of which `window_bound` sums those beyond the order."""
    if weights is None:
        scale = 1 / min(rows, columns)
    else:
        w = np.asarray(weights, dtype=np.float64)
        last = rows + columns - 1
        if last > len(w):
            raise ValueError(
                f"rows + columns - 1 must not exceed the {len(w)} weighted lags, got "
                f"{rows} + {columns} - 1; choose a smaller window"
            )
        count = np.convolve(np.ones(rows), np.ones(columns))
        scale = float((w[:last] / count).min())
    return scale * _singular_values(hankel(kernel, rows, columns)) ** 2


def order_bound(kernel: ArrayLike, order: int, weights: ArrayLike | None = None) -> float:
    """The best `window_bound` over windows: no recurrence of `order` states has a lower loss.

    Every window gives a valid bound; they are searched on a grid, then around the best. Under an
    infinite horizon the columns reach to the end of ρ, which improves on square windows; a finite
    one is filled by windows of rows + columns = L + 1, of which the squarest has the highest rank.
    """
    rho = np.asarray(kernel, dtype=np.float64)
    w = None if weights is None else np.asarray(weights, dtype=np.float64).tobytes()
    return _order_bound(rho.tobytes(), order, w)


@functools.lru_cache(maxsize=256)
def _order_bound(kernel: bytes, order: int, weights: bytes | None) -> float:
    """Runs that differ only in their seeds, and reports on them, ask for the same again."""
    w = None if weights is None else np.frombuffer(weights)
    return float(order_bounds(np.frombuffer(kernel), [order], w)[0])


def order_bounds(
    kernel: ArrayLike, orders: Sequence[int], weights: ArrayLike | None = None
) -> Array:
    """The `order_bound` of each order, (orders,): they share the spectra of the windows.

    Raises:
        ValueError: a negative order.
    """
    if orders and min(orders) < 0:
        raise ValueError(f"order must be at least 0, got order={min(orders)}")
    length = len(np.asarray(kernel))
    spectrum = functools.cache(functools.partial(_window_spectrum, kernel, weights))

    def least(order: int) -> float:
        def value(rows: int, columns: int) -> float:
            if min(rows, columns) < 1 or (weights is not None and rows + columns - 1 > length):
                return 0.0
            # A window and its transpose have the same spectrum.
            return float(spectrum(min(rows, columns), max(rows, columns))[order:].sum())

        if weights is None:
            return _search(lambda point: value(point[0], length), [length])
        half = (length + 1) // 2
        return max(
            _search(lambda point: value(point[0], point[1]), [length, length]),
            _search(lambda point: value(point[0], point[0]), [half]),
            _search(lambda point: value(half + 1 - point[0], length - half + point[0]), [half]),
        )

    return np.array([least(order) for order in orders])


def _search(value: Callable[[tuple[int, ...]], float], highest: Sequence[int]) -> float:
    """The largest value over integers 1 … highest: on a grid, then by steps halved to one."""
    steps = [max(1, high // 16) for high in highest]
    axes = [range(1, high + 1, step) for high, step in zip(highest, steps, strict=True)]
    best, where = max((value(point), point) for point in itertools.product(*axes))
    step = max(steps)
    while step:
        around = [
            tuple(np.clip(np.add(where, step * np.array(move)), 1, highest).tolist())
            for move in itertools.product((-1, 0, 1), repeat=len(highest))
        ]
        found, point = max((value(point), point) for point in around)
        if found > best:
            best, where = found, point
        else:
            step //= 2
    return best


@dataclass(frozen=True)
class Recurrence:
    """A stable recurrence found numerically.

    Attributes:
        error: its Σ_s w_s (ρ_s − ρ̂_s)².
        response: ρ̂, (L,).
        eigenvalues: of its matrix A, (n,), complex.
    """

    error: float
    response: Array
    eigenvalues: NDArray[np.complex128]


def best_recurrences(
    kernel: ArrayLike, order: int, weights: ArrayLike | None = None, starts: int = 8
) -> list[Recurrence]:
    """The best stable recurrences of 0, 1, …, `order` states found for ρ: upper limits.

    A response of order n is b(z)/a(z) with deg b < n. The denominator is parametrised by its
    reflection coefficients in (−1, 1), which reach every stable one; the best numerator is linear
    least squares, in the orthonormal basis that Szegő's polynomials give. BFGS starts from balanced
    truncation, from the best recurrence of one state less, and from `starts` random points.
    """
    from scipy.optimize import minimize

    rho = np.asarray(kernel, dtype=np.float64)
    random = np.random.default_rng(0)
    energy = rho**2 if weights is None else np.asarray(weights) * rho**2
    scale = float(energy.sum())

    def cost(parameters: Array) -> float:
        return _project(rho, STABLE * np.tanh(parameters), weights)[0] / scale

    best = np.zeros(0)
    found = [Recurrence(scale, 0 * rho, np.empty(0, np.complex128))]
    for n in range(1, order + 1):
        tries = [np.append(best, 0.0), np.append(best, 1.0), _truncated(rho, n)]
        if weights is not None and n <= len(rho) // 2:
            tries.append(_truncated(rho, n, len(rho) // 2))
        tries += [random.normal(size=n) for _ in range(starts)]
        results = [minimize(cost, start, method="BFGS", options={"gtol": 1e-7}) for start in tries]
        best = min(results, key=lambda result: float(result.fun)).x
        denominator, _ = _szego(STABLE * np.tanh(best))
        error, response = _project(rho, STABLE * np.tanh(best), weights)
        found.append(Recurrence(error, response, np.roots(denominator).astype(np.complex128)))
    return found


def _szego(reflection: Array) -> tuple[Array, Array]:
    """a(z) of degree n, (n + 1,), and the numerators of an orthonormal basis of b/a, (n, n)."""
    n = len(reflection)
    polynomial = np.ones(1)
    numerators = np.zeros((n, n))
    norms = np.sqrt(np.cumprod(1 - reflection[::-1] ** 2)[::-1])
    for m, kappa in enumerate(reflection):
        numerators[m, : m + 1] = polynomial[::-1] * norms[m]
        extended = np.append(polynomial, 0.0)
        polynomial = extended + kappa * extended[::-1]
    return polynomial, numerators


def _project(rho: Array, reflection: Array, weights: ArrayLike | None) -> tuple[float, Array]:
    """Error and response of the best numerator over the denominator of `reflection`."""
    from scipy.signal import lfilter

    denominator, numerators = _szego(reflection)
    impulse = np.zeros(len(rho))
    impulse[0] = 1
    u = np.asarray(lfilter([1.0], denominator, impulse))
    shifted = np.zeros((len(reflection), len(rho)))
    for lag in range(min(len(reflection), len(rho))):
        shifted[lag, lag:] = u[: len(rho) - lag]
    basis = numerators @ shifted
    if weights is None:  # the basis is orthonormal on all lags, those beyond ρ included
        coefficients = basis @ rho
        return max(float(rho @ rho - coefficients @ coefficients), 0.0), coefficients @ basis
    w = np.asarray(weights, dtype=np.float64)
    basis /= np.sqrt(basis**2 @ w)[:, None]
    gram = (basis * w) @ basis.T + 1e-13 * np.eye(len(basis))
    response = np.linalg.solve(gram, (basis * w) @ rho) @ basis
    return float(w @ (rho - response) ** 2), response


def _truncated(rho: Array, order: int, size: int | None = None) -> Array:
    """tanh⁻¹ of the reflection coefficients of the balanced truncation of ρ (Kung, 1978).

    Its Hankel matrix has `size` rows and columns: more than ρ has lags, which asks for silence
    behind them, or half as many, which leaves open what follows.
    """
    size = size or len(rho) + order  # larger than any order asked for
    u, values, vt = np.linalg.svd(hankel(rho, size, size))
    # A window that sees none of ρ has no singular value above 0.
    root = np.sqrt(np.maximum(values[:order], 1e-12 * values[0] + np.finfo(np.float64).tiny))
    shifted = hankel(np.append(rho[1:], 0.0), size, size)
    a = (u[:, :order].T @ shifted @ vt[:order].T) / root[:, None] / root
    eigenvalues = np.linalg.eigvals(a)
    eigenvalues *= np.minimum(1.0, 0.98 / np.maximum(np.abs(eigenvalues), 1e-12))
    polynomial = np.real(np.poly(eigenvalues))
    reflection = np.zeros(order)
    for m in range(order, 0, -1):
        kappa = reflection[m - 1] = np.clip(polynomial[m], -0.999, 0.999)
        polynomial = ((polynomial - kappa * polynomial[::-1]) / (1 - kappa**2))[:m]
    return np.arctanh(reflection)


# --------------------------------------------------------------------------------- convolutions


def tensorise(kernel: ArrayLike, filter_size: int) -> Array:
    """ρ as a tensor (l, …, l), index k the k-th digit of the lag in base l, least digit first.

    It has as few layers K as reach all lags, l^K ≥ L, and zeros beyond ρ.
    """
    if filter_size < 2:
        raise ValueError(f"filter_size must be at least 2, got filter_size={filter_size}")
    rho = np.asarray(kernel, dtype=np.float64)
    layers = 1
    while filter_size**layers < len(rho):
        layers += 1
    padded = np.zeros(filter_size**layers)
    padded[: len(rho)] = rho
    return padded.reshape((filter_size,) * layers).transpose()


def train_spectra(kernel: ArrayLike, filter_size: int = 2) -> list[Array]:
    """Singular values of the sequential unfoldings (l^j × l^{K−j}), j = 1 … K − 1."""
    tensor = tensorise(kernel, filter_size)
    return [_singular_values(tensor.reshape(filter_size**j, -1)) for j in range(1, tensor.ndim)]


def mode_spectra(kernel: ArrayLike, filter_size: int = 2) -> list[Array]:
    """Singular values of the modes (l × l^{K−1}), k = 1 … K: the higher-order SVD."""
    tensor = tensorise(kernel, filter_size)
    return [
        _singular_values(np.moveaxis(tensor, k, 0).reshape(filter_size, -1))
        for k in range(tensor.ndim)
    ]


def tail_bounds(spectra: Sequence[Array], ranks: int | Sequence[int]) -> tuple[float, float]:
    """max_j tail_j and Σ_j tail_j for tail_j = Σ_{i > ranks[j]} σ_i²: the best error is between.

    With `train_spectra` the ranks are the widths of a dilated network, with `mode_spectra` those of
    a truncated higher-order SVD. One number stands for the same rank everywhere.
    """
    each = [ranks] * len(spectra) if isinstance(ranks, int) else list(ranks)
    if len(each) != len(spectra) or min(each, default=1) < 1:
        raise ValueError(
            f"ranks must be {len(spectra)} numbers of at least 1, got ranks={ranks}; "
            "a network of K layers has K - 1 widths"
        )
    tails = [float((s[r:] ** 2).sum()) for s, r in zip(spectra, each, strict=True)]
    return max(tails, default=0.0), sum(tails)


def train_approximation(
    kernel: ArrayLike, widths: int | Sequence[int], filter_size: int = 2
) -> Array:
    """The response of a dilated linear network of these widths that TT-SVD finds for ρ, (l^K,)."""
    tensor = tensorise(kernel, filter_size)
    bonds = tensor.ndim - 1
    each = [widths] * bonds if isinstance(widths, int) else list(widths)
    left = np.ones((1, 1))  # the cores so far, (lags, bond)
    rest = tensor.reshape(1, -1)  # (bond, what the cores to come must give)
    for width in each:
        u, values, vt = np.linalg.svd(
            rest.reshape(rest.shape[0] * filter_size, -1), full_matrices=False
        )
        core = u[:, :width].reshape(rest.shape[0], -1)
        left = (left @ core).reshape(left.shape[0] * filter_size, -1)
        rest = values[:width, None] * vt[:width]
    return (left @ rest).reshape(tensor.shape).transpose().ravel()


# ------------------------------------------------------------------------------------ side by side


def compare(
    kernels: Mapping[str, ArrayLike],
    parameters: Sequence[int] = (10, 16, 24),
    filter_size: int = 2,
    starts: int = 2,
) -> "pd.DataFrame":
    """Which architecture suits which memory: relative errors Σ(ρ − ρ̂)²/Σρ² at equal parameters.

    Errors are counted on the lags of ρ; what a model answers later is left open. One row per kernel
    and number of parameters: a linear recurrence of n states has 2n, a dilated linear network a
    filter from each channel to each of the next layer, with the channels that suit ρ best.

    Columns: `kernel`, `parameters`, `states`, `recurrence_bound` and `recurrence_found`
    (`order_bound`, `best_recurrences`), `channels` between the layers, `convolution_bound` and
    `convolution_found` (`tail_bounds`, `train_approximation`).

    Raises:
        ValueError: a kernel is zero, or there are fewer parameters than filters to reach its lags.
    """
    import pandas as pd

    rows = []
    for name, kernel in kernels.items():
        rho = np.asarray(kernel, dtype=np.float64)
        energy, weights = float(rho @ rho), np.ones(len(rho))
        if not energy:
            raise ValueError(f"{name} is zero at all of length={len(rho)} lags; raise length")
        unfoldings = train_spectra(rho, filter_size)
        most = [len(values) for values in unfoldings]
        if min(parameters) < (least := filter_size * (len(most) + 1)):
            raise ValueError(
                f"parameters must be at least {least}, those of the filters that reach "
                f"length={len(rho)} lags, got {min(parameters)}; raise parameters or lower length"
            )
        recurrences = best_recurrences(rho, max(parameters) // 2, weights, starts)
        states = [count // 2 for count in parameters]
        below = dict(zip(parameters, order_bounds(rho, states, weights), strict=True))
        for count in parameters:
            networks = _networks(most, count, filter_size)
            tails = {one: tail_bounds(unfoldings, one) for one in networks}
            channels = min(tails, key=lambda one: tails[one][1])
            found = train_approximation(rho, channels, filter_size)
            error = found - np.pad(rho, (0, len(found) - len(rho)))
            rows.append(
                {
                    "kernel": name,
                    "parameters": count,
                    "states": count // 2,
                    "recurrence_bound": below[count] / energy,
                    "recurrence_found": recurrences[count // 2].error / energy,
                    "channels": ", ".join(map(str, channels)),
                    "convolution_bound": min(low for low, _ in tails.values()) / energy,
                    "convolution_found": float(error @ error) / energy,
                }
            )
    return pd.DataFrame(rows)


def _networks(
    most: Sequence[int], parameters: int, filter_size: int, before: int = 1
) -> Iterator[tuple[int, ...]]:
    """The channels between layers, up to `most`, of networks with at most so many parameters."""
    if not most:
        if filter_size * before <= parameters:
            yield ()
        return
    for channels in range(1, most[0] + 1):
        left = parameters - filter_size * before * channels
        for behind in _networks(most[1:], left, filter_size, channels) if left > 0 else ():
            yield (channels, *behind)


# -------------------------------------------------------------------------------- effective memory


def effective_memory(
    loss: float, tap_losses: Mapping[int, float], tolerance: float = 0.02
) -> tuple[float, float] | None:
    """The numbers of taps m whose best linear m-tap predictor has this loss, as an open interval.

    It runs from the largest m whose loss is above, to the smallest m whose loss is below, each by
    more than `tolerance` relative to `loss`: (−1, …) and (…, ∞) where there is none.

    Args:
        loss: mean squared error of a model.
        tap_losses: loss of the best m-tap predictor for some m, m = 0 the zero predictor.
        tolerance: relative precision of `loss`.

    Returns:
        The interval, or None where the curve is flat: several m of the table have this loss.
    """
    above = [m for m, value in tap_losses.items() if value > loss * (1 + tolerance)]
    below = [m for m, value in tap_losses.items() if value < loss * (1 - tolerance)]
    if len(tap_losses) - len(above) - len(below) > 1:
        return None
    return max(above, default=-1), min(below, default=math.inf)
