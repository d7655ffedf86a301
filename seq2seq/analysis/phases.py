"""Where training begins to fail: the probability of success over a memory k and a size w.

    P(k, w) = σ(a + b·log w − c·f(k)),        σ(η) = 1/(1 + e^{−η})

with f(k) = k, which is meant where nothing is said, or log k. They belong to times to success that
grow exponentially with k or like a power of it, f as in `seq2seq.analysis.laws`. The contour
P = ½ is the memory that half of the runs learn,

    f(k*(w)) = (a + b·log w)/c,

which grows like log w or like a power of w.

**The fit** maximises the likelihood with Jeffreys' penalty ½·log det I(a, b, c), I being Fisher's
information (Firth, "Bias reduction of maximum likelihood estimates", Biometrika 80 (1993)). It
takes away the bias of order 1/n, and stays finite where k and w separate successes from failures
completely, as in a grid that is coarser than the transition; the likelihood alone is then largest
at infinity (Heinze and Schemper, "A solution to the problem of separation in logistic regression",
Statistics in Medicine 21 (2002)).

**Intervals**, of level 95%, are estimate ± half a width, on the scale of f(k). A bootstrap over
seeds, all runs of a seed drawn together as they share random streams, gives t·SE as in
`seq2seq.analysis.laws`. It knows nothing of a transition between two cells that all seeds agree
on. So where it gives less than half of 1.96 standard errors by the information I, these are taken.

**The law of times** predicts the same contour from how long successes took: with the median
log τ = α + β·f(k) fitted for each w to the censored times, half of the runs succeed within `budget`
steps where

    α + β·f(k) = log budget,

with the f that is the likelier for the times. Both contours are of the same runs, so that their
difference has an interval from the same resamples of the seeds. They disagree where it excludes
zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_expit

from seq2seq.analysis import laws

Array = NDArray[np.float64]

#: Of a law: f(k) = k or log k.
KINDS: tuple[laws.Kind, ...] = ("exponential", "power")

#: Normal quantile of a 95% interval.
NORMAL = 1.959964

#: Steps of Newton's method, and halvings of one of them.
STEPS, HALVINGS = 50, 30


@dataclass(frozen=True)
class Success:
    """The logistic law of success; intervals are (low, high).

    Attributes:
        kind: `exponential` for f(k) = k, `power` for f(k) = log k.
        a, b, c: the penalised maximum likelihood; b is 0 where there is one size only.
        interval_a, interval_b, interval_c: 95% confidence intervals.
        likelihood: the penalised log-likelihood, up to a constant of the two kinds.
        seeds, runs, successes: how many.
        covariance: (3, 3), the inverse of the information at the maximum.
        draws: (resamples, 3), a, b and c of each bootstrap resample; NaN where it saw too few
            cells.
    """

    kind: laws.Kind
    a: float
    b: float
    c: float
    interval_a: tuple[float, float]
    interval_b: tuple[float, float]
    interval_c: tuple[float, float]
    likelihood: float
    seeds: int
    runs: int
    successes: int
    covariance: Array = field(repr=False)
    draws: Array = field(repr=False)

    @property
    def falls(self) -> bool:
        """Whether the interval of c lies above zero: whether success falls with the memory."""
        return self.interval_c[0] > 0

    def probability(self, k: ArrayLike, w: ArrayLike) -> Array:
        """P(k, w)."""
        return np.asarray(expit(design(self.kind, k, w) @ [self.a, self.b, self.c]))

    def contour(self, w: ArrayLike) -> Array:
        """k*(w) at each w; the law of falling success has one, whatever the size."""
        return self.memory(self.features(w))

    def interval(self, w: ArrayLike) -> tuple[Array, Array]:
        """The ends of the 95% interval of k*(w) at each w."""
        centre, half = self.features(w), self.half_width(w)
        return self.memory(centre - half), self.memory(centre + half)

    def half_width(self, w: ArrayLike) -> Array:
        """Half the 95% interval of f(k*(w)) at each w."""
        drawn = laws.half_width(_contours(self.draws, w), self.seeds)
        return _no_less(drawn, NORMAL * self.standard_error(w))

    def standard_error(self, w: ArrayLike) -> Array:
        """Of f(k*(w)), by the information: √(x I⁻¹ xᵀ)/|c| at x = (1, log w, −f(k*))."""
        w = np.atleast_1d(np.asarray(w, dtype=np.float64))
        x = np.stack([np.ones_like(w), np.log(w), -self.features(w)], -1)
        return np.sqrt(np.einsum("wi,ij,wj->w", x, self.covariance, x)) / abs(self.c)

    def features(self, w: ArrayLike) -> Array:
        """f(k*(w)) at each w."""
        return _contours(np.array([[self.a, self.b, self.c]]), w)[0]

    def drawn(self, w: ArrayLike) -> Array:
        """k*(w) of each bootstrap resample at each w, (resamples, sizes)."""
        return self.memory(_contours(self.draws, w))

    def memory(self, feature: ArrayLike) -> Array:
        """The k whose f(k) this is."""
        return np.exp(feature) if self.kind == "power" else np.asarray(feature, dtype=np.float64)


def fit(
    k: ArrayLike,
    w: ArrayLike,
    success: ArrayLike,
    seed: ArrayLike,
    kind: laws.Kind = "exponential",
    resamples: int = 1000,
    random: int = 0,
) -> Success:
    """Fit the law.

    Args:
        k: memory of each run, positive.
        w: size of each run, positive.
        success: whether it succeeded.
        seed: which runs were drawn together.
        kind: `exponential` for f(k) = k, `power` for f(k) = log k.
        resamples: bootstrap resamples.
        random: seed of the bootstrap.

    Raises:
        ValueError: all runs succeeded or all failed; one memory only; k or w not positive; arrays
            of unequal length.
    """
    k, w = (np.asarray(one, dtype=np.float64) for one in (k, w))
    success, seed = np.asarray(success, dtype=bool), np.asarray(seed)
    if not k.shape == w.shape == success.shape == seed.shape:
        raise ValueError(
            "k, w, success and seed must be equally long, got "
            f"{len(k)}, {len(w)}, {len(success)} and {len(seed)}; give one of each per run"
        )
    if not (np.isfinite(k) & (k > 0) & np.isfinite(w) & (w > 0)).all():
        raise ValueError("k and w must be positive and finite; leave other runs out")
    if success.all() or not success.any():
        told, remedy = (
            ("succeeded", "raise the memory")
            if success.any()
            else ("failed", "lower the memory, raise trainer.max_steps or ease the target")
        )
        raise ValueError(f"all {len(k)} runs {told}, so there is no boundary; {remedy}")
    if len(np.unique(k)) < 2:
        raise ValueError(f"a law of success needs two memories, got {k[0]:g} alone; sweep more")
    every = np.vstack([np.ones((1, len(k))), laws.resampled(seed, resamples, random)])
    # Of the runs of a cell only their number counts, and that of the successes.
    cells, cell = np.unique(np.stack([k, w], 1), axis=0, return_inverse=True)
    one_of = np.eye(len(cells))[cell.ravel()]
    kept = [0, 1, 2] if len(np.unique(w)) > 1 else [0, 2]
    x = design(kind, *cells.T)[:, kept]
    found, information, values = maximise(x, (every * success) @ one_of, every @ one_of)
    theta, covariance = np.zeros((len(every), 3)), np.zeros((3, 3))
    theta[:, kept], covariance[np.ix_(kept, kept)] = found, np.linalg.inv(information[0])
    # A resample of seeds that saw too few cells says nothing.
    draws = np.where(np.isfinite(values[1:, None]), theta[1:], np.nan)
    seeds = len(np.unique(seed))
    half = _no_less(laws.half_width(draws, seeds), NORMAL * np.sqrt(np.diag(covariance)))
    a, b, c = theta[0].tolist()
    of_a, of_b, of_c = [(float(v - h), float(v + h)) for v, h in zip(theta[0], half, strict=True)]
    counts = seeds, len(k), int(success.sum())
    return Success(kind, a, b, c, of_a, of_b, of_c, float(values[0]), *counts, covariance, draws)


def mean_contour(
    law: Success, w: ArrayLike, less: Success | None = None
) -> tuple[float, float, float]:
    """The mean of k* over sizes, or of how much longer it is than another's; its 95% interval.

    Laws fitted to the same seeds were resampled together, so that what their runs share cancels.
    """
    laws_of = [law] if less is None else [law, less]
    value = _difference([one.contour(w).mean() for one in laws_of])
    count = min(len(one.draws) for one in laws_of)
    draws = _difference([one.drawn(w)[:count].mean(1) for one in laws_of])
    known = np.linalg.norm([_half_interval(one, w).mean() for one in laws_of])
    half = float(_no_less(laws.half_width(draws, min(one.seeds for one in laws_of)), known))
    return float(value), float(value) - half, float(value) + half


def better(
    k: ArrayLike, w: ArrayLike, success: ArrayLike, seed: ArrayLike, resamples: int = 1000
) -> Success:
    """The law of the kind that has the larger likelihood; their number of parameters is the same.

    Raises:
        ValueError: as `fit` does.
    """
    return max((fit(k, w, success, seed, one, resamples) for one in KINDS), key=_likelihood)


def design(kind: laws.Kind, k: ArrayLike, w: ArrayLike) -> Array:
    """(…, 3): 1, log w and −f(k), which a, b and c belong to."""
    k, w = np.broadcast_arrays(laws.feature(kind, k), np.log(np.asarray(w, dtype=np.float64)))
    return np.stack([np.ones_like(k), w, -k], -1)


def maximise(x: Array, successes: Array, counts: Array) -> tuple[Array, Array, Array]:
    """Firth's fit of a logistic regression, once per row of `counts`.

    Args:
        x: (cells, parameters), of full rank.
        successes, counts: (fits, cells), of how many runs how many succeeded.

    Returns:
        The parameters (fits, parameters), Fisher's information (fits, parameters, parameters), and
        the penalised log-likelihood (fits,).
    """
    theta = np.zeros((len(counts), x.shape[1]))
    value, information, chance = _penalised(theta, x, successes, counts)
    for _ in range(STEPS):
        inverse = np.linalg.pinv(information, hermitian=True)
        leverage = counts * chance * (1 - chance) * np.einsum("ci,fij,cj->fc", x, inverse, x)
        score = (successes - counts * chance + leverage * (0.5 - chance)) @ x
        step = np.einsum("fij,fj->fi", inverse, score)
        # No step changes a cell's log-odds by more than 5; halved until the likelihood rises.
        size = 1 / np.maximum(1, np.abs(step @ x.T).max(1) / 5)
        for _ in range(HALVINGS):
            trial = theta + size[:, None] * step
            new = _penalised(trial, x, successes, counts)
            worse = ~(new[0] >= value - 1e-12)
            if not worse.any():
                break
            size[worse] /= 2
        gain = np.where(worse, 0.0, new[0] - value)
        theta = np.where(worse[:, None], theta, trial)
        value, information, chance = _penalised(theta, x, successes, counts)
        if (gain < 1e-7).all():
            break
    return theta, information, value


def _penalised(
    theta: Array, x: Array, successes: Array, counts: Array
) -> tuple[Array, Array, Array]:
    """The penalised log-likelihood (fits,), the information, and each cell's P (fits, cells)."""
    odds = theta @ x.T
    chance = expit(odds)
    weight = counts * chance * (1 - chance)
    information = np.einsum("fc,ci,cj->fij", weight, x, x, optimize=True)
    sign, size = np.linalg.slogdet(information)
    terms = successes * log_expit(odds) + (counts - successes) * log_expit(-odds)
    return terms.sum(1) + 0.5 * np.where(sign > 0, size, -np.inf), information, chance


def _contours(theta: Array, w: ArrayLike) -> Array:
    """(a + b·log w)/c of each row of θ at each w, (rows, sizes)."""
    w = np.atleast_1d(np.asarray(w, dtype=np.float64))
    a, b, c = theta.T[:, :, None]
    return (a + b * np.log(w)) / c


def _difference(values: Sequence[Any]) -> Any:
    return values[0] - values[1] if len(values) > 1 else values[0]


def _half_interval(law: Success, w: ArrayLike) -> Array:
    """Half the interval of k*(w) by the information alone."""
    centre, half = law.features(w), NORMAL * law.standard_error(w)
    return (law.memory(centre + half) - law.memory(centre - half)) / 2


def _no_less(drawn: ArrayLike, known: ArrayLike) -> Array:
    """Half widths by the bootstrap, those by the information where they are twice as large."""
    drawn, known = np.asarray(drawn), np.asarray(known)
    return np.where(2 * drawn < known, known, drawn)


def _likelihood(law: Success) -> float:
    return law.likelihood


@dataclass(frozen=True)
class Agreement:
    """The contour that the law of times predicts beside that of the law of success.

    Attributes:
        kind: of the law of times.
        sizes: (n,), those at which it could be fitted, to nine of ten resamples too.
        contour: (n,), the memory at which half of the runs take `budget` steps.
        interval: (n, 2), its 95% confidence interval.
        difference: (n, 3), the contour less that of the law of success, and the ends of its
            interval.
        mean: of the differences over the sizes, and the ends of its interval.
        budget: steps that the runs had.
    """

    kind: laws.Kind
    sizes: Array
    contour: Array
    interval: Array
    difference: Array
    mean: tuple[float, float, float]
    budget: float

    @property
    def holds(self) -> bool:
        """Whether the interval of the mean difference holds zero: whether the two agree."""
        return self.mean[1] <= 0 <= self.mean[2]


def agreement(
    law: Success,
    k: ArrayLike,
    w: ArrayLike,
    tau: ArrayLike,
    censored: ArrayLike,
    seed: ArrayLike,
    budget: float,
    random: int = 0,
) -> Agreement:
    """Predict the contour of success from the times that it took.

    The law of times is of the kind, exponential or power, that is the likelier over all sizes.

    Args:
        law: fitted to the success of the same runs, with the same `random`.
        k, w, seed: of each run, as for `fit`.
        tau: steps to success; of a censored run the steps that it took without.
        censored: whether the run ended without success.
        budget: the steps after which a run has failed.
        random: seed of the bootstrap.

    Raises:
        ValueError: no size has three times at two memories.
    """
    k, w, tau = (np.asarray(one, dtype=np.float64) for one in (k, w, tau))
    censored, seed = np.asarray(censored, dtype=bool), np.asarray(seed)
    drawn = laws.resampled(seed, len(law.draws), random)
    every = np.vstack([np.ones((1, len(k))), drawn])
    sizes: list[float] = []
    found: dict[laws.Kind, list[Array]] = {kind: [] for kind in KINDS}
    likelihood = dict.fromkeys(KINDS, 0.0)
    for size in np.unique(w):
        own = w == size
        seen = [every[:, own & ~censored & (k == one)].any(1) for one in np.unique(k[own])]
        told = np.sum(seen, 0) >= 2  # at two memories, without which there is no law
        if (own & ~censored).sum() < 3 or not told[0] or told.mean() < 0.9:
            continue
        sizes.append(size)
        for kind in KINDS:
            x, y = laws.feature(kind, k[own]), np.log(tau[own])
            a, b, _, value = laws.maximise(x, y, censored[own], every[:, own])
            at = (np.log(budget) - a) / b
            found[kind].append(np.where(told, np.exp(at) if kind == "power" else at, np.nan))
            likelihood[kind] += value[0]
    if not sizes:
        raise ValueError(
            "no size has three times to success at two memories, which a law of times needs; "
            "raise trainer.max_steps or sweep smaller memories"
        )
    kind = max(KINDS, key=lambda one: likelihood[one])
    at, predicted = np.array(sizes), np.stack(found[kind], 1)
    return _beside(law, kind, at, predicted[0], predicted[1:], budget)


def _beside(
    law: Success, kind: laws.Kind, sizes: Array, contour: Array, drawn: Array, budget: float
) -> Agreement:
    """The two contours, with what differs between them in the same resamples."""
    own = law.drawn(sizes)
    half = laws.half_width(drawn, law.seeds)
    apart, known = contour - law.contour(sizes), _half_interval(law, sizes)
    between = _no_less(laws.half_width(drawn - own, law.seeds), known)
    mean = float(apart.mean())
    wide = float(_no_less(laws.half_width((drawn - own).mean(1), law.seeds), known.mean()))
    return Agreement(
        kind,
        sizes,
        contour,
        np.stack([contour - half, contour + half], 1),
        np.stack([apart, apart - between, apart + between], 1),
        (mean, mean - wide, mean + wide),
        budget,
    )
