"""The law of success on simulated grids whose law is known, and beside the law of times."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from seq2seq.analysis import phases

MEMORIES = np.arange(2.0, 26, 2)
SIZES = np.array([4.0, 6, 8, 11, 16, 23, 32, 45])


def grid(seeds, memories=MEMORIES, sizes=SIZES):
    """k, w and seed of every run of a grid."""
    axes = np.meshgrid(memories, sizes, np.arange(seeds), indexing="ij")
    return tuple(axis.ravel() for axis in axes)


def simulate(random, slope=0.8, seeds=8, effect=0.0, kind="exponential"):
    """k, w, success and seed where the law is true, and its contour at `SIZES`.

    Seeds differ by `effect` in the memory that they learn.
    """
    g = np.random.default_rng(random)
    k, w, seed = grid(seeds)
    if kind == "exponential":
        b, a, f, c = slope * g.uniform(4, 6), slope * g.uniform(-3, 0), k, slope
    else:
        b, a, f, c = slope * g.uniform(4, 8), slope * g.uniform(-3, 3), np.log(k), 8 * slope
    odds = a + b * np.log(w) - c * f + effect * slope * g.normal(size=seeds)[seed]
    at = (a + b * np.log(SIZES)) / c
    contour = at if kind == "exponential" else np.exp(at)
    return (k, w, g.random(len(k)) < expit(odds), seed), contour


def coverage(repetitions, **options):
    """How often the interval of the contour holds the truth, over sizes and simulated grids."""
    covered = []
    for random in range(repetitions):
        data, truth = simulate(random, **options)
        low, high = phases.fit(
            *data, kind=options.get("kind", "exponential"), resamples=200
        ).interval(SIZES)
        covered.append((low <= truth) & (truth <= high))
    return float(np.mean(covered))


def test_where_the_law_can_say_anything_each_cell_gets_a_success_and_a_failure_of_a_half():
    """Jeffreys' penalty for two cells and two parameters: P = (successes + 1/2)/(runs + 1)."""
    k, success = np.repeat([4.0, 8.0], [10, 6]), np.array([1] * 9 + [0] + [1] + [0] * 5, bool)
    law = phases.fit(k, np.full(16, 32.0), success, np.arange(16))
    assert law.probability([4.0, 8.0], 32.0) == pytest.approx([9.5 / 11, 1.5 / 7], rel=1e-5)
    assert law.b == 0


@pytest.mark.parametrize("kind", ["exponential", "power"])
def test_the_maximum_is_that_of_a_general_optimiser(kind):
    (k, w, success, seed), _ = simulate(3, slope=0.5, seeds=4)
    law = phases.fit(k, w, success, seed, kind, resamples=0)
    x = np.stack([np.ones(len(k)), np.log(w), -(np.log(k) if kind == "power" else k)], 1)

    def cost(theta):
        odds = x @ theta
        weight = expit(odds) * expit(-odds)
        penalty = 0.5 * np.linalg.slogdet((x * weight[:, None]).T @ x)[1]
        return -(np.where(success, log_expit(odds), log_expit(-odds)).sum() + penalty)

    best = minimize(cost, [0.0, 0.0, 0.1], method="BFGS", options={"gtol": 1e-5})
    assert law.likelihood == pytest.approx(-best.fun, abs=1e-6)
    assert [law.a, law.b, law.c] == pytest.approx(best.x, rel=2e-3, abs=2e-3)


def test_the_interval_of_the_contour_holds_the_truth_as_often_as_it_says():
    """95% within three standard errors of what 60 grids of eight sizes can tell."""
    assert 0.88 <= coverage(60) <= 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"slope": 0.5},
        {"slope": 0.8},
        {"slope": 1.5},
        {"slope": 3.0},
        {"slope": 0.8, "effect": 1.0},
        {"slope": 0.8, "seeds": 16},
        {"slope": 1.0, "kind": "power"},
    ],
    ids=str,
)
def test_the_coverage_is_95_percent_within_two(options):
    assert 0.93 <= coverage(400, **options) <= 0.97


@pytest.mark.parametrize("seeds", [2, 8])
def test_complete_separation_leaves_all_finite_and_the_contour_in_the_gap(seeds):
    k, w, seed = grid(seeds)
    success = k < 3 + 4 * np.log(w)
    law = phases.fit(k, w, success, seed)
    assert np.isfinite([law.a, law.b, law.c, *law.interval_c]).all()
    low, high = law.interval(SIZES)
    truth = 3 + 4 * np.log(SIZES)
    assert ((low < truth) & (truth < high)).mean() >= 7 / 8
    for size in SIZES:
        own = w == size
        last, first = k[own & success].max(), k[own & ~success].min(initial=np.inf)
        assert last - 1 <= law.contour(size)[0] <= first + 1
    assert (high - low).max() < 6


def test_one_size_has_a_contour_that_is_a_point():
    k, w, seed = grid(8, sizes=[16.0])
    success = np.random.default_rng(0).random(len(k)) < expit(0.8 * (11 - k))
    law = phases.fit(k, w, success, seed)
    low, high = law.interval([16.0, 99.0])
    assert law.b == 0
    assert low[0] == low[1] < 11 < high[1] == high[0]


def test_the_kind_of_the_truth_has_the_larger_likelihood():
    for kind in ("exponential", "power"):
        data, _ = simulate(1, slope=1.5, kind=kind)
        assert phases.better(*data, resamples=0).kind == kind


def test_the_bootstrap_is_seeded():
    data, _ = simulate(0)
    one, same, other = (phases.fit(*data, resamples=50, random=r) for r in (0, 0, 1))
    assert np.array_equal(one.draws, same.draws)
    assert not np.array_equal(one.draws, other.draws)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"success": [True] * 4},
            "all 4 runs succeeded, so there is no boundary; raise the memory",
        ),
        (
            {"success": [False] * 4},
            "all 4 runs failed, so there is no boundary; "
            "lower the memory, raise trainer.max_steps or ease the target",
        ),
        ({"k": [4.0] * 4}, "needs two memories, got 4 alone"),
        ({"w": [0.0] * 4}, "must be positive and finite"),
        ({"seed": [0, 1]}, "equally long, got 4, 4, 4 and 2"),
    ],
)
def test_what_has_no_law_is_told_in_one_line(change, said):
    data = {
        "k": [4.0, 4.0, 8.0, 8.0],
        "w": [16.0] * 4,
        "success": [1, 1, 1, 0],
        "seed": [0, 1, 0, 1],
    }
    with pytest.raises(ValueError, match=said) as caught:
        phases.fit(**(data | change))
    assert "\n" not in str(caught.value)


def times(random, budget=1000.0, seeds=8, kind="exponential"):
    """Runs whose time to success grows by a known law, and the contour of that."""
    g = np.random.default_rng(random)
    k, w, seed = grid(seeds)
    if kind == "exponential":
        logs, contour = (
            4 + 0.3 * k - 0.9 * np.log(w),
            (np.log(budget) - 4 + 0.9 * np.log(SIZES)) / 0.3,
        )
    else:
        logs = 3 + 3 * np.log(k) - 1.8 * np.log(w)
        contour = np.exp((np.log(budget) - 3 + 1.8 * np.log(SIZES)) / 3)
    tau = np.exp(logs + 0.3 * g.normal(size=len(k)))
    return k, w, np.minimum(tau, budget), tau > budget, seed, contour


@pytest.mark.parametrize("kind", ["exponential", "power"])
def test_the_law_of_times_puts_the_contour_where_success_has_it(kind):
    k, w, tau, censored, seed, truth = times(0, kind=kind)
    law = phases.better(k, w, ~censored, seed, resamples=200)
    found = phases.agreement(law, k, w, tau, censored, seed, 1000)
    assert law.kind == kind
    assert found.sizes.tolist() == SIZES.tolist()
    assert ((found.interval[:, 0] < truth) & (truth < found.interval[:, 1])).mean() >= 7 / 8
    assert found.holds
    assert (np.ptp(found.interval, axis=1) < 0.2 * truth).all()


def test_runs_that_fail_for_another_reason_than_their_time_are_told():
    """Success that ends at a capacity: half of what would be learned in time fails all the same."""
    k, w, tau, censored, seed, _ = times(0)
    barred = k > 0.6 * (np.log(1000) - 4 + 0.9 * np.log(w)) / 0.3
    # All that was seen are the times of easy runs, whose law promises more.
    law, kept = phases.fit(k, w, ~(censored | barred), seed, resamples=200), ~barred
    seen = (one[kept] for one in (k, w, tau, censored, seed))
    found = phases.agreement(law, *seen, budget=1000)
    assert law.falls
    assert not found.holds
    assert found.mean[1] > 0


def test_too_few_times_are_told():
    k, w, tau, censored, seed, _ = times(0)
    law = phases.fit(k, w, ~censored, seed, resamples=10)
    with pytest.raises(ValueError, match="three times to success at two memories"):
        phases.agreement(law, k, w, tau, np.ones_like(censored), seed, 1000)


@pytest.mark.slow
def test_two_analyses_of_one_law_agree_as_often_as_the_interval_says():
    """95% less three standard errors of 60 grids is 86%."""
    held = []
    for random in range(60):
        k, w, tau, censored, seed, _ = times(random)
        law = phases.better(k, w, ~censored, seed, resamples=200)
        held.append(phases.agreement(law, k, w, tau, censored, seed, 1000).holds)
    assert np.mean(held) >= 0.86
