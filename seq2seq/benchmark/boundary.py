"""How many runs `hydra/sweeper=boundary` needs for what a whole grid tells, by simulation."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from seq2seq import checks
from seq2seq.analysis.intervals import interval
from seq2seq.results import store
from seq2seq.sweep.design import Point, coarse, fitted, informative

#: Of the grid: memories, sizes, seeds, and how many seeds the sweeper may draw from.
MEMORIES = tuple(range(2, 26, 2))
SIZES = (4, 6, 8, 11, 16, 23, 32, 45)
SEEDS, POOL = 8, 24

#: Slope of the log-odds of success per unit of memory, and the standard deviation, in units of
#: memory, of what a seed shifts the contour by.
TRUTHS = ((0.5, 0.0), (0.8, 0.0), (1.5, 0.0), (3.0, 0.0), (0.8, 1.0))

#: Runs of a round.
ROUND = 32


def measure(runs: int = 100, seed: int = 0, json: Path | None = None) -> None:
    """Shares of a whole grid's runs that give the same interval of the contour, and coverages.

    Success is drawn by the logistic law, its contour at random within a grid of 12 memories, 8
    sizes and 8 seeds. The sweeper may use 24 seeds, and stops when half its interval, the mean over
    the sizes, is no wider than the grid's.

    Args:
        runs: simulated grids of each law
        seed: of the simulations
        json: write the rows to this file, too
    """
    checks.writable("json", json)
    checks.integer("runs", runs, 2)
    rows = []
    print("slope  seeds differ by  share of the grid's runs      interval holds the contour")
    print("                        mean  median  of nine in ten  grid  a third of it")
    for slope, effect in TRUTHS:
        found = [Truth([seed, number], slope, effect) for number in range(runs)]
        shares = [one.share() for one in found]
        whole = np.mean([one.covered(one.grid()) for one in found])
        third = np.mean([one.covered(one.third()) for one in found])
        mean, low, high = interval(shares)
        row: dict[str, Any] = {"slope": slope, "effect": effect, "runs": runs, "mean": mean}
        row |= {"low": low, "high": high, "median": float(np.median(shares))}
        row |= {"most": float(np.quantile(shares, 0.9)), "wide": 2 * np.log(9) / slope}
        row |= {"grid_coverage": float(whole), "coverage": float(third)}
        rows.append(row)
        told = [
            f"{row[key]:7.2f}" for key in ("mean", "median", "most", "grid_coverage", "coverage")
        ]
        print(f"{slope:5g}  {effect:15g}  {'  '.join(told)}", flush=True)
    store(json, rows, grid=len(MEMORIES) * len(SIZES) * SEEDS)


class Truth:
    """A law of success, its contour within the grid at every size, and outcomes drawn by it.

    Args:
        random: seed of the law and the outcomes.
        slope: of the log-odds per unit of memory.
        effect: standard deviation of what a seed shifts the contour by.
    """

    def __init__(self, random: Any, slope: float, effect: float = 0.0) -> None:
        self.random, self.slope = np.random.default_rng(random), slope
        self.a, self.b = self.random.uniform(-3, 0), self.random.uniform(4, 6)
        self.points = [Point(k, w, s) for k in MEMORIES for w in SIZES for s in range(POOL)]
        k, w, s = np.array(self.points, dtype=float).T
        shift = effect * self.random.normal(size=POOL)[s.astype(int)]
        chance = expit(slope * (self.a + self.b * np.log(w) + shift - k))
        self.outcomes = (self.random.random(len(k)) < chance).tolist()

    def contour(self) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """The memory that half of the runs learn, at each size."""
        return np.asarray(self.a + self.b * np.log(SIZES))

    def grid(self) -> dict[int, bool]:
        """The outcomes of the whole grid."""
        return {i: self.outcomes[i] for i, p in enumerate(self.points) if p.seed < SEEDS}

    def rounds(self, seeds: int) -> Iterator[dict[int, bool]]:
        """The outcomes of the runs chosen so far, after each round, of as many seeds."""
        own = [index for index, point in enumerate(self.points) if point.seed < seeds]
        points = [self.points[index] for index in own]
        chosen = coarse(points)
        while len(chosen) < len(points):
            yield {own[index]: self.outcomes[own[index]] for index in chosen}
            known = {index: self.outcomes[own[index]] for index in chosen}
            chosen += informative(points, known, ROUND, chosen)

    def share(self) -> float:
        """Of as many runs as the grid has, how many give an interval that is as narrow."""
        grid = self.grid()
        wanted = self.half_width(grid)
        needed = next(one for one in self.rounds(POOL) if self.half_width(one) <= wanted)
        return len(needed) / len(grid)

    def third(self) -> dict[int, bool]:
        """The outcomes of a third of the grid's runs, chosen among them."""
        wanted = len(self.grid()) / 3
        return next(one for one in self.rounds(SEEDS) if len(one) >= wanted - ROUND / 2)

    def half_width(self, tried: dict[int, bool]) -> float:
        """Half the interval of the contour, the mean over the sizes."""
        low, high = fitted(self.points, tried, 200).interval(SIZES)
        return float(np.mean(high - low) / 2)

    def covered(self, tried: dict[int, bool]) -> float:
        """The share of sizes at which the interval holds the truth."""
        low, high = fitted(self.points, tried, 200).interval(SIZES)
        return float(np.mean((low <= self.contour()) & (self.contour() <= high)))
