"""Choosing runs near a contour that is known: what they tell, and how many of them it takes."""

import numpy as np
import pytest

from seq2seq.benchmark.boundary import MEMORIES, SIZES, Truth
from seq2seq.sweep.design import Point, coarse, informative


def grid(seeds):
    return [Point(k, w, s) for k in MEMORIES for w in SIZES for s in range(seeds)]


def test_the_first_round_spans_the_grid_and_uses_seeds_alike():
    points = grid(8)
    chosen = [points[index] for index in coarse(points)]
    assert len({*chosen}) == len(chosen) == 24
    assert {point.memory for point in chosen} == {2, 10, 16, 24}
    assert {point.size for point in chosen} == {4, 16, 45}
    assert [sum(p.seed == seed for p in chosen) for seed in range(8)] == [3] * 8


def test_later_rounds_are_near_the_contour_at_every_size_and_use_seeds_alike():
    truth = Truth(0, 1.5)
    first, *later = (dict(one) for one, _ in zip(truth.rounds(8), range(4), strict=False))
    chosen = [truth.points[index] for index in later[-1]]
    new = chosen[len(first) :]
    assert len({*chosen}) == len(chosen) == 24 + 3 * 32
    assert [sum(p.size == size for p in new) for size in SIZES] == [12] * 8
    contour = dict(zip(SIZES, truth.contour(), strict=True))
    apart, every = (
        [abs(p.memory - contour[p.size]) for p in points] for points in (new, truth.points)
    )
    assert np.median(apart) < 1.5
    assert np.mean(apart) < 0.4 * np.mean(every)
    counts = [sum(p.seed == seed for p in chosen) for seed in range(8)]
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
    shares = [Truth(random, slope).share() for random in range(4) for slope in (0.8, 2.0)]
    assert np.median(shares) <= 1 / 4
    assert np.mean(shares) <= 1 / 3


@pytest.mark.slow
@pytest.mark.parametrize("slope", [0.8, 1.5, 3.0])
def test_at_most_a_third_of_the_runs_give_the_same_interval(slope):
    assert np.mean([Truth(random, slope).share() for random in range(60)]) <= 1 / 3


@pytest.mark.slow
@pytest.mark.parametrize("slope", [0.8, 2.0])
def test_the_interval_of_chosen_runs_holds_the_truth_as_often_as_it_says(slope):
    found = [Truth(random, slope) for random in range(150)]
    assert 0.92 <= np.mean([one.covered(one.third()) for one in found]) <= 0.98
