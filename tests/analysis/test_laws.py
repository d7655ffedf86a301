"""Growth laws fitted to simulated times with known parameters, half of them censored."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm, sem, t

from seq2seq.analysis.laws import combined, compare, half_width, maximise

KS = np.arange(4, 21, 2)


def simulate(kind, a, b, sigma, budget, seeds=8, random=0, seed_effect=0.0):
    """k, τ, censored and seed of one run per k and seed, each stopped at `budget`."""
    rng = np.random.default_rng(random)
    k, seed = np.tile(KS, seeds), np.repeat(np.arange(seeds), len(KS))
    x = np.log(k) if kind == "power" else k
    logs = a + b * x + sigma * rng.normal(size=len(k)) + seed_effect * rng.normal(size=seeds)[seed]
    tau = np.exp(logs)
    return k, np.minimum(tau, budget), tau > budget, seed


def test_without_censoring_it_is_least_squares():
    k, tau, censored, seed = simulate("exponential", 3.0, 0.25, 0.3, np.inf)
    law = compare(k, tau, censored, seed, resamples=50).exponential
    b, a = np.polyfit(k, np.log(tau), 1)
    assert (law.a, law.b) == pytest.approx((a, b), rel=1e-8)
    residual = np.log(tau) - a - b * k
    assert law.sigma == pytest.approx(residual.std(), rel=1e-6)
    assert law.aic == pytest.approx(6 - 2 * norm.logpdf(residual, scale=law.sigma).sum())


def test_the_maximum_is_that_of_a_general_optimiser():
    k, tau, censored, _ = simulate("exponential", 3.0, 0.25, 0.4, np.exp(6), seeds=3)
    y = np.log(tau)
    weights = np.stack([np.ones(len(k)), np.random.default_rng(0).integers(0, 4, len(k))])
    a, b, sigma, value = maximise(k.astype(float), y, censored, weights)
    for row in range(2):

        def cost(p, weight=weights[row]):
            z = (y - p[0] - p[1] * k) / np.exp(p[2])
            return -weight @ np.where(censored, norm.logsf(z), norm.logpdf(z) - p[2])

        best = minimize(cost, [2.0, 0.3, -0.5], method="BFGS", options={"gtol": 1e-6})
        assert value[row] == pytest.approx(-best.fun, abs=1e-6)
        assert [a[row], b[row], np.log(sigma[row])] == pytest.approx(best.x, abs=1e-4)


@pytest.mark.parametrize(("kind", "a", "b"), [("exponential", 3.0, 0.25), ("power", 1.0, 2.0)])
def test_half_of_the_runs_censored(kind, a, b):
    middle = a + b * (np.log(12) if kind == "power" else 12)
    data = simulate(kind, a, b, 0.3, np.exp(middle), seeds=24)
    assert data[2].mean() == pytest.approx(0.5, abs=0.06)
    law = getattr(compare(*data, resamples=500), kind)
    assert law.b == pytest.approx(b, rel=0.12)
    assert law.sigma == pytest.approx(0.3, rel=0.2)
    assert law.interval_b[0] < b < law.interval_b[1]
    assert law.interval_a[0] < a < law.interval_a[1]
    assert law.excludes_zero
    # Taking the budget for the time, or leaving the censored runs out, flattens the law.
    k, tau, censored, seed = data
    naive = compare(k, tau, np.zeros_like(censored), seed, resamples=500)
    kept = ~censored
    survivors = compare(k[kept], tau[kept], censored[kept], seed[kept], resamples=500)
    assert getattr(naive, kind).interval_b[1] < b
    assert getattr(survivors, kind).b < law.b


def test_few_seeds_that_differ_by_a_factor_give_the_t_interval_of_their_means():
    """With no other scatter each seed has its own a, and the interval is that of their mean."""
    own = np.array([2.7, 3.0, 3.5, 2.9])
    k, seed = np.tile(KS, len(own)), np.repeat(np.arange(len(own)), len(KS))
    tau = np.exp(own[seed] + 0.25 * k)
    law = compare(k, tau, np.zeros(len(k), bool), seed, resamples=1000).exponential
    low, high = t.interval(0.95, len(own) - 1, own.mean(), sem(own))
    assert law.interval_a == pytest.approx((low, high), abs=0.03 * (high - low))


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Within and between seeds: 95% less three standard errors of 80 repetitions is 88%."""
    covered = 0
    for repetition in range(80):
        data = simulate(
            "exponential", 3.0, 0.25, 0.3, np.exp(6.5), random=repetition, seed_effect=0.2
        )
        low, high = compare(*data, resamples=100).exponential.interval_b
        covered += low < 0.25 < high
    assert covered / 80 >= 0.88


@pytest.mark.parametrize(("kind", "a", "b"), [("exponential", 3.0, 0.25), ("power", 1.0, 2.0)])
def test_verdict_names_the_law_of_the_data(kind, a, b):
    comparison = compare(*simulate(kind, a, b, 0.3, np.exp(7)), resamples=100)
    assert comparison.verdict == kind
    assert comparison.best.kind == kind
    assert comparison.support > 0.8 if kind == "exponential" else comparison.support < 0.2


def test_verdict_on_data_between_the_laws_is_cannot_tell():
    k, tau, censored, seed = simulate("exponential", 3.0, 0.05, 0.6, np.inf, seeds=4)
    comparison = compare(k, tau, censored, seed, resamples=100)
    assert comparison.verdict == "cannot tell"


def test_no_growth_is_not_taken_for_growth():
    law = compare(*simulate("exponential", 5.0, 0.0, 0.3, np.exp(5)), resamples=500).exponential
    assert not law.excludes_zero


def test_a_law_met_exactly():
    tau = np.exp(2 + 0.3 * KS)
    comparison = compare(KS, tau, np.zeros(len(KS), bool), np.arange(len(KS)) % 3, resamples=50)
    assert comparison.exponential.b == pytest.approx(0.3, rel=1e-6)
    assert comparison.exponential.predict(30) == pytest.approx(np.exp(11.0), rel=1e-5)
    assert comparison.verdict == "exponential"


def test_the_band_holds_the_median_and_widens_beyond_the_data():
    law = compare(*simulate("exponential", 3.0, 0.25, 0.3, np.inf), resamples=500).exponential
    low, high = law.band([12, 40])
    assert (low < law.predict([12, 40])).all()
    assert (low < np.exp(3 + 0.25 * np.array([12, 40]))).all()
    assert (high > np.exp(3 + 0.25 * np.array([12, 40]))).all()
    assert np.sqrt(low * high) == pytest.approx(law.predict([12, 40]))
    width = np.log(high / low)
    assert width[1] > 2 * width[0]


def test_one_seed_gives_an_estimate_without_an_interval():
    law = compare(*simulate("exponential", 3.0, 0.25, 0.1, np.inf, seeds=1)).exponential
    assert law.b == pytest.approx(0.25, rel=0.1)
    assert law.interval_b == (-np.inf, np.inf)
    assert not law.excludes_zero


def test_resamples_that_saw_one_k_say_nothing_of_growth():
    """Of two seeds that each have one k, half of the resamples hold both."""
    k, seed = np.repeat([4, 8], 3), np.repeat([0, 1], 3)
    tau = np.exp(1 + 0.25 * k + np.tile([-0.1, 0.0, 0.1], 2))
    law = compare(k, tau, np.zeros(6, bool), seed, resamples=100).exponential
    told = np.isfinite(law.draws).all(1)
    assert 30 < told.sum() < 70
    assert law.draws[told, 1] == pytest.approx(0.25)
    assert np.isfinite(law.interval_b).all()


def test_what_laws_of_the_same_seeds_share_cancels_in_their_difference():
    """Also where some resamples tell nothing of one law, whose later times are censored."""
    rng = np.random.default_rng(0)
    k, seed = np.tile([4.0, 8.0, 12.0], 6), np.repeat(np.arange(6), 3)
    shared = np.exp(1 + (0.3 + 0.1 * rng.normal(size=6))[seed] * k)
    late = (k > 4) & (seed > 1)
    first = compare(k, shared, np.zeros(18, bool), seed).exponential
    other = compare(k, np.where(late, 9.0, shared), late, seed).exponential
    told = np.isfinite(other.draws[:, 1])
    assert 0.5 < told.mean() < 0.99
    apart = first.draws[told, 1] - other.draws[told, 1]
    _, low, high = combined([first, other], [1.0, -1.0])
    assert (high - low) / 2 == pytest.approx(float(half_width(apart, 6)))


def test_a_comparison_moves_as_two_others_lie_apart():
    one, two, three = (
        compare(*simulate("exponential", 3.0, rate, 0.1, np.inf), resamples=50)
        for rate in (0.2, 0.25, 0.3)
    )
    moved = one.moved(two, three)
    by = three.exponential.b - two.exponential.b
    assert moved.exponential.b == pytest.approx(one.exponential.b + by)
    assert moved.exponential.interval_b == pytest.approx(np.add(one.exponential.interval_b, by))
    assert moved.exponential.draws[:, 1] == pytest.approx(one.exponential.draws[:, 1] + by)
    assert moved.difference == pytest.approx(one.difference + three.difference - two.difference)


def test_the_same_data_give_the_same_answer():
    data = simulate("power", 1.0, 2.0, 0.3, np.exp(6))
    first, second = (compare(*data, resamples=50).power for _ in range(2))
    assert first.interval_b == second.interval_b


def test_data_that_carry_no_law_are_refused():
    k, tau, censored, seed = simulate("exponential", 3.0, 0.25, 0.3, np.inf)
    with pytest.raises(ValueError, match="three observed times at two k"):
        compare(k, tau, k > 4, seed)
    with pytest.raises(ValueError, match="positive and finite"):
        compare(k, tau * 0, censored, seed)
    with pytest.raises(ValueError, match="equally long"):
        compare(k, tau[1:], censored, seed)
