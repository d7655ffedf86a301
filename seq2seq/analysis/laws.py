"""How a time τ to learn grows with the memory k: exponentially or as a power, from censored times.

    exponential   log τ = a + b·k + σε
    power         log τ = a + b·log k + σε        ε standard normal

A run that ended on its plateau is right-censored: it says τ > its length, and its likelihood is
the normal tail beyond it (Tobin, "Estimation of relationships for limited dependent variables",
Econometrica 26 (1958)). In the parameters (a/σ, b/σ, 1/σ) the log-likelihood is concave (Olsen,
"Note on the uniqueness of the maximum likelihood estimator for the Tobit model", Econometrica 46
(1978)), so that Newton's method finds its maximum, for all resamples at once.

Intervals come from a bootstrap over seeds, all runs of a seed drawn together, as they share the
random streams: estimate ± t·SE with the bootstrap's standard error SE, widened by √(S/(S−1)) for S
seeds, and Student's t with S − 1 degrees of freedom, since few seeds make percentiles too narrow.
Confidence intervals of level 95% are meant throughout.

Both laws have three parameters, so that Akaike's criterion (Akaike, "A new look at the statistical
model identification", IEEE Trans. Automatic Control 19 (1974)) compares their likelihoods.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr, stdtrit

Array = NDArray[np.float64]
Kind = Literal["exponential", "power"]

#: Smallest σ: a law met exactly, to the precision of whole steps, has an unbounded likelihood.
SIGMA_MIN = 1e-4

#: Difference in AIC below which the laws are not told apart; from 4 on the worse of two models has
#: "considerably less" support (Burnham and Anderson, "Multimodel Inference", 2004, section 2).
DECISIVE = 4.0


@dataclass(frozen=True)
class Law:
    """One fitted law; intervals are (low, high).

    Attributes:
        a, b, sigma: maximum likelihood estimates; log τ in natural logarithms.
        interval_a, interval_b: 95% confidence intervals; infinite if there is one seed only.
        aic: Akaike's criterion, 6 − 2·log-likelihood.
        draws: (resamples, 2), a and b of each bootstrap resample; NaN where it saw one k only.
        seeds: number of seeds.
    """

    kind: Kind
    a: float
    b: float
    sigma: float
    interval_a: tuple[float, float]
    interval_b: tuple[float, float]
    aic: float
    seeds: int
    draws: Array = field(repr=False)

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval of b excludes zero: whether τ grows, or falls, with k."""
        low, high = self.interval_b
        return low > 0 or high < 0

    def predict(self, k: ArrayLike) -> Array:
        """The median of τ at k, e^{a + b·f(k)}."""
        return np.exp(self.a + self.b * feature(self.kind, k))

    def band(self, k: ArrayLike) -> tuple[Array, Array]:
        """The 95% confidence band of the median of τ at each k, from the bootstrap."""
        x = np.atleast_1d(feature(self.kind, k))
        logs = self.draws[:, :1] + self.draws[:, 1:] * x
        half = half_width(logs, self.seeds)
        centre = self.a + self.b * x
        return np.exp(centre - half), np.exp(centre + half)

    def faster(self, by: float) -> "Law":
        """The same law with a rate that is larger by so much."""
        low, high = self.interval_b
        draws = self.draws + np.array([0.0, by])
        return replace(self, b=self.b + by, interval_b=(low + by, high + by), draws=draws)


@dataclass(frozen=True)
class Comparison:
    """Both laws on the same data.

    Attributes:
        difference: AIC of the power law less that of the exponential; positive favours the latter.
        support: share of bootstrap resamples in which the exponential law has the lower AIC.
    """

    exponential: Law
    power: Law
    difference: float
    support: float

    @property
    def verdict(self) -> Literal["exponential", "power", "cannot tell"]:
        """The law that AIC prefers by at least `DECISIVE`."""
        if abs(self.difference) < DECISIVE:
            return "cannot tell"
        return "exponential" if self.difference > 0 else "power"

    @property
    def resolved(self) -> bool:
        """Whether by either law τ grows, or falls, with k."""
        return self.exponential.excludes_zero or self.power.excludes_zero

    @property
    def best(self) -> Law:
        """The law of the lower AIC, decisive or not."""
        return self.exponential if self.difference >= 0 else self.power

    def moved(self, start: "Comparison", end: "Comparison") -> "Comparison":
        """This, with the rates and the difference changed as they do from `start` to `end`."""
        return Comparison(
            self.exponential.faster(end.exponential.b - start.exponential.b),
            self.power.faster(end.power.b - start.power.b),
            self.difference + end.difference - start.difference,
            self.support,
        )


def compare(
    k: ArrayLike,
    tau: ArrayLike,
    censored: ArrayLike,
    seed: ArrayLike,
    resamples: int = 2000,
    random: int = 0,
) -> Comparison:
    """Fit both laws.

    Args:
        k: memory of each run, positive.
        tau: time of each run, positive; for a censored run the time it is known to exceed.
        censored: whether the run ended before the event.
        seed: which runs were drawn together.
        resamples: bootstrap resamples.
        random: seed of the bootstrap.

    Raises:
        ValueError: fewer than two different k, or three runs, with an observed time; k or τ not
            positive; arrays of unequal length.
    """
    k, tau = np.asarray(k, dtype=np.float64), np.asarray(tau, dtype=np.float64)
    censored, seed = np.asarray(censored, dtype=bool), np.asarray(seed)
    if not k.shape == tau.shape == censored.shape == seed.shape:
        raise ValueError(
            "k, tau, censored and seed must be equally long, got "
            f"{len(k)}, {len(tau)}, {len(censored)} and {len(seed)}; give one of each per run"
        )
    if not (np.isfinite(k) & (k > 0) & np.isfinite(tau) & (tau > 0)).all():
        raise ValueError("k and tau must be positive and finite; leave other runs out")
    if len(np.unique(k[~censored])) < 2 or (~censored).sum() < 3:
        raise ValueError(
            f"a law needs three observed times at two k, got {(~censored).sum()} at "
            f"k={np.unique(k[~censored]).tolist()}; raise trainer.max_steps or sweep smaller k"
        )
    weights = resampled(seed, resamples, random)
    # A resample that saw one k only says nothing about growth.
    seen = np.stack([weights[:, (k == value) & ~censored].sum(1) > 0 for value in np.unique(k)], 1)
    told = seen.sum(1) >= 2
    seeds = len(np.unique(seed))
    exponential, exponential_fits = _fit("exponential", k, tau, censored, weights, told, seeds)
    power, power_fits = _fit("power", k, tau, censored, weights, told, seeds)
    support = float((exponential_fits > power_fits).mean()) if told.any() else float("nan")
    return Comparison(exponential, power, power.aic - exponential.aic, support)


def combined(rates: Sequence[Law], weights: ArrayLike) -> tuple[float, float, float]:
    """Σ_i w_i b_i of several laws, such as a difference of rates, with its 95% interval.

    Laws fitted to the same seeds were resampled together, so that what their runs share cancels.
    """
    w = np.asarray(weights, dtype=np.float64)
    value = float(w @ [law.b for law in rates])
    count = min(len(law.draws) for law in rates)  # none of one seed
    draws = np.stack([law.draws[:count, 1] for law in rates], 1) @ w
    half = float(half_width(draws, min(law.seeds for law in rates)))
    return value, value - half, value + half


def simulated(
    law: Law, k: ArrayLike, budget: ArrayLike, random: np.random.Generator
) -> tuple[Array, NDArray[np.bool_]]:
    """Times that runs would take if the law were true, and which of them are censored.

    Args:
        k: memory of each run.
        budget: the time after which each run ends.
    """
    tau = law.predict(k) * np.exp(law.sigma * random.normal(size=np.shape(k)))
    limit = np.asarray(budget, dtype=np.float64)
    return np.minimum(tau, limit), tau >= limit


def feature(kind: Kind, k: ArrayLike) -> Array:
    """f(k): k itself for the exponential law, log k for the power law."""
    k = np.asarray(k, dtype=np.float64)
    return np.log(k) if kind == "power" else k


def resampled(seed: NDArray[np.generic], resamples: int, random: int) -> Array:
    """How often each run occurs in each resample of the seeds, (resamples, runs)."""
    _, index = np.unique(seed, return_inverse=True)
    count = int(index.max()) + 1
    if count < 2:
        return np.empty((0, len(index)))
    chance = np.full(count, 1 / count)
    draws = np.random.default_rng(random).multinomial(count, chance, resamples)
    return draws[:, index].astype(np.float64)


def half_width(draws: Array, seeds: int) -> Array:
    """Half the 95% interval of each column of bootstrap draws (resamples, …), finite ones alone."""
    draws = draws[np.isfinite(draws).reshape(len(draws), -1).all(1)] if len(draws) else draws
    if seeds < 2 or len(draws) < 2:
        return np.full(draws.shape[1:], np.inf)
    widen = np.sqrt(seeds / (seeds - 1))
    return np.asarray(stdtrit(seeds - 1, 0.975) * widen * draws.std(0, ddof=1))


def _fit(
    kind: Kind,
    k: Array,
    tau: Array,
    censored: NDArray[np.bool_],
    weights: Array,
    told: NDArray[np.bool_],
    seeds: int,
) -> tuple[Law, Array]:
    """The law, and the log-likelihood of each resample of which it can be `told`."""
    every = np.vstack([np.ones((1, len(k))), weights[told]])
    a, b, sigma, likelihood = maximise(feature(kind, k), np.log(tau), censored, every)
    draws = np.full((len(weights), 2), np.nan)
    draws[told] = np.stack([a[1:], b[1:]], axis=1)
    half = half_width(draws, seeds)
    law = Law(
        kind,
        float(a[0]),
        float(b[0]),
        float(sigma[0]),
        (float(a[0] - half[0]), float(a[0] + half[0])),
        (float(b[0] - half[1]), float(b[0] + half[1])),
        float(6 - 2 * likelihood[0]),
        seeds,
        draws,
    )
    return law, likelihood[1:]


def maximise(
    x: Array, y: Array, censored: NDArray[np.bool_], weights: Array
) -> tuple[Array, Array, Array, Array]:
    """Maximum likelihood of y = a + b·x + σε, right-censored, once per row of `weights`.

    Args:
        x, y: (runs,).
        censored: (runs,), whether only y* > y is known.
        weights: (fits, runs).

    Returns:
        a, b, σ and the log-likelihood, (fits,) each.
    """
    centre, scale = x.mean(), x.std()
    x = (x - centre) / scale
    observed = ~censored
    design = np.stack([np.ones_like(x), x, -y])  # z = (y − a − bx)/σ = −design·θ
    fits = len(weights)
    theta = np.zeros((fits, 3))
    theta[:, 0] = y.mean() / max(y.std(), SIGMA_MIN)
    theta[:, 2] = 1 / max(y.std(), SIGMA_MIN)
    value = _log_likelihood(theta, design, observed, weights)
    for _ in range(200):
        gradient, hessian = _derivatives(theta, design, observed, weights)
        step = np.linalg.solve(hessian - 1e-9 * np.eye(3), -gradient[..., None])[..., 0]
        # Newton's step, halved until 1/σ stays in its range and the likelihood does not fall.
        size = np.ones(fits)
        for _ in range(40):
            trial = theta + size[:, None] * step
            trial[:, 2] = np.minimum(trial[:, 2], 1 / SIGMA_MIN)
            allowed = trial[:, 2] > 0
            trial[:, 2] = np.where(allowed, trial[:, 2], theta[:, 2])
            new = _log_likelihood(trial, design, observed, weights)
            worse = ~allowed | ~(new >= value - 1e-12)
            if not worse.any():
                break
            size[worse] /= 2
        moved = ~worse
        gain = np.where(moved, new - value, 0.0)
        theta[moved], value = trial[moved], np.where(moved, new, value)
        if (gain < 1e-9).all():
            break
    sigma = 1 / theta[:, 2]
    b = theta[:, 1] * sigma / scale
    return theta[:, 0] * sigma - b * centre, b, sigma, value


def _log_likelihood(
    theta: Array, design: Array, observed: NDArray[np.bool_], weights: Array
) -> Array:
    margin = theta @ design  # (a + bx − y)/σ
    terms = np.empty_like(margin)
    seen = margin[:, observed]
    terms[:, observed] = np.log(theta[:, 2:]) - 0.5 * np.log(2 * np.pi) - 0.5 * seen**2
    terms[:, ~observed] = log_ndtr(margin[:, ~observed])
    return (weights * terms).sum(1)


def _derivatives(
    theta: Array, design: Array, observed: NDArray[np.bool_], weights: Array
) -> tuple[Array, Array]:
    """Gradient (fits, 3) and Hessian (fits, 3, 3) of the log-likelihood in (a/σ, b/σ, 1/σ)."""
    margin = theta @ design
    hazard = np.exp(-0.5 * margin**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(margin))
    slope = np.where(observed, -margin, hazard)
    curve = np.where(observed, -1.0, -hazard * (hazard + margin))
    gradient = (weights * slope) @ design.T
    gradient[:, 2] += weights[:, observed].sum(1) / theta[:, 2]
    hessian = np.einsum("fr,ir,jr->fij", weights * curve, design, design, optimize=True)
    hessian[:, 2, 2] -= weights[:, observed].sum(1) / theta[:, 2] ** 2
    return gradient, hessian
