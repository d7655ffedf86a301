"""Choosing runs near a contour that is known: what they tell, and how many of them it takes."""

import numpy as np
import pytest
from scipy.special import expit

from seq2seq.sweep.design import Point, coarse, fitted, informative

MEMORIES = np.arange(2.0, 26, 2)
SIZES = np.array([4.0, 6, 8, 11, 16, 23, 32, 45])


def grid(seeds):
    return [Point(k, w, s) for k in MEMORIES for w in SIZES for s in range(seeds)]


class Truth:
    """Success by a law that is drawn: its contour lies within the grid at every size."""

    def __init__(self, random, slope):
        self.random, self.c = np.random.default_rng(random), slope
        self.b = slope * self.random.uniform(4, 6)
        self.a = slope * self.random.uniform(-3, 0)

    def outcomes(self, points):
        k, w, _ = np.array(points, dtype=float).T
        chance = expit(self.a + self.b * np.log(w) - self.c * k)
        return (self.random.random(len(points)) < chance).tolist()


def half_width(points, tried):
    low, high = fitted(points, tried, 200).interval(SIZES)
    return float(np.mean(high - low) / 2)


def runs_needed(truth, wanted, per_round=32):
    """Of rounds on a grid with three times the seeds, until the interval is as wide as wanted."""
    points = grid(24)
    outcomes, chosen = truth.outcomes(points), []
    tried: dict[int, bool] = {}
    while not tried or half_width(points, tried) > wanted:
        chosen += informative(points, tried, per_round, chosen) if tried else coarse(points)
        tried = {index: outcomes[index] for index in chosen}
    return len(chosen)


def share(random, slope):
    """Of a whole grid's runs, how many give the same interval of the contour."""
    truth, points = Truth(random, slope), grid(8)
    whole = dict(enumerate(truth.outcomes(points)))
    return runs_needed(truth, half_width(points, whole)) / len(points)


def test_the_first_round_spans_the_grid_and_uses_seeds_alike():
    points = grid(8)
    chosen = [points[index] for index in coarse(points)]
    assert len({*chosen}) == len(chosen) == 24
    assert {point.memory for point in chosen} == {2, 10, 16, 24}
    assert {point.size for point in chosen} == {4, 16, 45}
    assert [sum(p.seed == seed for p in chosen) for seed in range(8)] == [3] * 8


def test_later_rounds_are_near_the_contour_at_every_size_and_use_seeds_alike():
    truth, points = Truth(0, 1.5), grid(8)
    outcomes, chosen = truth.outcomes(points), coarse(points)
    for _ in range(3):
        tried = {index: outcomes[index] for index in chosen}
        new = informative(points, tried, 32, chosen)
        assert not {*new} & {*chosen}
        chosen += new
    later = [points[index] for index in chosen[24:]]
    assert [sum(p.size == size for p in later) for size in SIZES] == [12] * 8
    apart = [abs(p.memory - (truth.a + truth.b * np.log(p.size)) / truth.c) for p in later]
    assert np.median(apart) < 1.5
    assert np.mean(apart) < 0.4 * np.mean(
        [abs(p.memory - (truth.a + truth.b * np.log(p.size)) / truth.c) for p in points]
    )
    counts = [sum(points[index].seed == seed for index in chosen) for seed in range(8)]
    assert max(counts) - min(counts) <= 4


def test_what_is_chosen_follows_from_what_is_known_alone():
    points, tried = grid(8), {}
    for index in coarse(points):
        tried[index] = points[index].memory < 12
    assert informative(points, tried, 20, [*tried]) == informative(points, tried, 20, [*tried])


def test_a_grid_that_is_spent_has_no_further_runs():
    points = grid(2)
    tried = {index: point.memory < 12 for index, point in enumerate(points)}
    assert informative(points, tried, 8, [*tried]) == []


def test_a_third_of_the_runs_give_the_same_interval():
    """Half of eight grids need at most a quarter, and their mean at most a third."""
    shares = [share(random, slope) for random in range(4) for slope in (0.8, 2.0)]
    assert np.median(shares) <= 1 / 4
    assert np.mean(shares) <= 1 / 3


@pytest.mark.slow
@pytest.mark.parametrize("slope", [0.5, 0.8, 1.5, 3.0])
def test_at_most_a_third_of_the_runs_give_the_same_interval(slope):
    shares = [share(random, slope) for random in range(60)]
    assert np.mean(shares) <= 1 / 3


@pytest.mark.slow
@pytest.mark.parametrize("slope", [0.8, 2.0])
def test_the_interval_of_chosen_runs_holds_the_truth_as_often_as_it_says(slope):
    covered = []
    for random in range(150):
        truth, points = Truth(random, slope), grid(8)
        outcomes, chosen = truth.outcomes(points), coarse(points)
        while len(chosen) < 256:
            tried = {index: outcomes[index] for index in chosen}
            chosen += informative(points, tried, min(32, 256 - len(chosen)), chosen)
        low, high = fitted(points, {i: outcomes[i] for i in chosen}, 200).interval(SIZES)
        at = (truth.a + truth.b * np.log(SIZES)) / truth.c
        covered.append((low <= at) & (at <= high))
    assert 0.92 <= np.mean(covered) <= 0.98
