"""Noise of known effect on models of one parameter."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import t
from torch import nn

from seq2seq.analysis.perturbation import Perturbed, Stability, perturb, stability


def test_noise_has_the_size_it_says():
    model = nn.Linear(200, 200, bias=False)
    with torch.no_grad():
        model.weight.normal_(0, 3, generator=torch.Generator().manual_seed(1))
    before = model.weight.detach().clone()
    scale = before.square().mean()
    found = perturb(model, lambda m: (m.weight - before).square().mean() / scale, (0.01, 0.1), 3)
    assert found.clean == 0
    assert found.losses == pytest.approx(np.tile([1e-4, 1e-2], (3, 1)), rel=0.05)
    assert torch.equal(model.weight, before)


def test_each_draw_is_one_direction_and_repeats():
    model = nn.Linear(1, 1)

    def loss(m):
        return m.weight.item()

    first, second = (perturb(model, loss, (0.1, 0.2), 4, seed=3) for _ in range(2))
    assert np.array_equal(first.losses, second.losses)
    shift = first.losses - first.clean
    assert shift[:, 1] == pytest.approx(2 * shift[:, 0], rel=1e-4)
    assert len(np.unique(shift[:, 0])) == 4


def test_an_unstable_recurrence_is_infinite_under_noise():
    """h ← λh over many steps: a λ of 0.99 survives small noise only."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.99)

    def loss(m):
        return 0.5 if m.weight.abs() < 1 else torch.tensor(math.inf)

    found = perturb(model, loss, (1e-4, 1e-1), draws=30)
    assert np.isfinite(found.envelope[0])
    assert np.isinf(found.envelope[1])
    assert found.tolerated(1.0) == pytest.approx(1e-4)


def test_the_envelope_is_the_largest_loss_so_far():
    losses = np.array([[0.2, 0.1, 0.5], [0.05, 0.3, 0.4]])
    found = Perturbed(0.1, np.array([0.01, 0.1, 1.0]), losses)
    assert found.envelope == pytest.approx([0.2, 0.3, 0.5])
    assert Perturbed(0.1, found.sizes, losses / 10).envelope == pytest.approx([0.1, 0.1, 0.1])


def test_the_tolerated_size_is_interpolated():
    sizes = np.array([0.01, 0.1, 1.0])
    found = Perturbed(1e-5, sizes, sizes[None] ** 2)  # loss β²
    assert found.tolerated(0.04) == pytest.approx(0.2)
    assert found.tolerated(1e-5) == 0.01
    assert found.tolerated(10.0) == 1.0
    assert math.isnan(found.tolerated(1e-6))


@pytest.mark.parametrize(
    ("slope", "noise", "verdict"),
    [(0.0, 0.05, "stable"), (-1.0, 0.05, "unstable"), (-0.3, 2.0, "cannot tell")],
)
def test_stability_is_the_slope_over_widths(slope, noise, verdict):
    widths = np.repeat([4, 8, 16, 32, 64], 3)
    rng = np.random.default_rng(0)
    found = [
        stability(widths, 0.1 * np.exp(slope * np.log(widths) + noise * rng.normal(size=15)))
        for _ in range(200)
    ]
    assert np.mean([one.verdict == verdict for one in found]) > 0.75
    assert np.mean([one.interval[0] < slope < one.interval[1] for one in found]) > 0.9


def test_the_interval_of_the_slope_is_that_of_a_regression():
    x = np.arange(9)
    y = -0.3 * x + 0.1 * (-1) ** x
    (slope, _), covariance = np.polyfit(x, y, 1, cov=True)
    half = t.ppf(0.975, 9 - 2) * covariance[0, 0] ** 0.5
    found = stability(np.exp(x), np.exp(y))
    assert found.interval == pytest.approx((slope - half, slope + half))


def test_models_above_the_limit_are_left_out():
    widths, size = np.array([4, 8, 16, 32]), np.array([math.nan, 0.1, 0.1, 0.1])
    assert stability(widths, size) == Stability(pytest.approx(0), pytest.approx((0, 0)))
    with pytest.raises(ValueError, match="three models of two widths"):
        stability(widths, [math.nan, math.nan, 0.1, 0.1])


def test_noise_beyond_what_was_tried_bounds_the_slope_from_one_side_only():
    widths, tried = [8, 16, 32], (1e-3, 0.3)
    assert stability(widths, [0.3, 0.3, 0.3], tried).interval == (-math.inf, math.inf)
    assert stability(widths, [0.1, 0.1, 0.3], tried).interval[1] == math.inf
    assert stability(widths, [0.3, 0.1, 0.01], tried).interval[0] == -math.inf
    assert stability(widths, [0.1, 0.01, 1e-3], tried).interval[0] == -math.inf
    assert np.isfinite(stability(widths, [0.1, 0.2, 0.15], tried).interval).all()


def test_sizes_and_draws_that_make_no_sense_are_refused():
    model = nn.Linear(1, 1)
    for sizes in ((0.0, 0.1), (0.1, 0.1), ()):
        with pytest.raises(ValueError, match="positive and growing"):
            perturb(model, lambda m: 0.0, sizes)
    with pytest.raises(ValueError, match="draws must be at least 1"):
        perturb(model, lambda m: 0.0, draws=0)
