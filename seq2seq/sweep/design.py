"""Which runs tell most of the contour on which half of them succeed.

A run of success probability P tells P(1 − P) xxᵀ of the parameters of the logistic law
(`seq2seq.analysis.phases`), x being its (1, log w, −f(k)). So with the parameters' covariance V, it
lowers the variance of the contour at size w, where x is g, by the factor

    P(1 − P)·(gᵀVx)² / (1 + P(1 − P)·xᵀVx)

(up to the slope; Chaloner and Verdinelli, "Bayesian experimental design: a review", Statistical
Science 10 (1995), section 4). That is largest near P = ½. Sizes take turns, so that the runs are
spread over the contour whatever its form. As the parameters are not known, P stands for its mean
over their normal distribution, σ(η/√(1 + π·xᵀVx/8)) (MacKay, "The evidence framework applied to
classification networks", Neural Computation 4 (1992), section 3).
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from seq2seq.analysis import phases

#: Memories, sizes and seeds of the first round.
COARSE = 4, 3, 2


class Point(NamedTuple):
    """A run of the grid: its memory, its size, its seed."""

    memory: float
    size: float
    seed: Any


def coarse(points: Sequence[Point]) -> list[int]:
    """The points of the first round: few memories and sizes, the outermost among them."""
    memories, sizes, seeds = (list(dict.fromkeys(column)) for column in zip(*points, strict=True))
    kept = [_spread(sorted(memories), COARSE[0]), _spread(sorted(sizes), COARSE[1])]
    found: list[int] = []
    used: Counter[Any] = Counter(dict.fromkeys(seeds, 0))
    cells = {(p.memory, p.size) for p in points if p.memory in kept[0] and p.size in kept[1]}
    for cell in sorted(cells):
        own = [i for i, p in enumerate(points) if (p.memory, p.size) == cell]
        for _ in range(min(COARSE[2], len(own))):
            index = _least_used(points, own, used)
            own.remove(index)
            found.append(index)
    return found


def informative(
    points: Sequence[Point], tried: Mapping[int, bool], number: int, taken: Collection[int]
) -> list[int]:
    """The `number` points beside those `taken` that tell most, given which tried ones succeeded.

    Raises:
        ValueError: of the tried ones all succeeded or all failed.
    """
    law = fitted(points, tried)
    memories, widths = (np.array([point[axis] for point in points]) for axis in (0, 1))
    x = phases.design(law.kind, memories, widths)
    covariance = law.covariance.copy()
    spread = np.einsum("ni,ij,nj->n", x, covariance, x)
    odds = x @ [law.a, law.b, law.c] / np.sqrt(1 + np.pi * spread / 8)
    weight = expit(odds) * expit(-odds)
    sizes = sorted({*widths.tolist()})
    lowest, highest = x[:, 2].min(), x[:, 2].max()
    at = np.clip(-law.features(sizes), lowest, highest)
    contour = np.stack([np.ones(len(sizes)), np.log(sizes), at], 1)
    used = Counter(points[index].seed for index in taken)
    left = {size: [] for size in sizes}  # type: ignore[var-annotated]
    for index, point in enumerate(points):
        if index not in taken:
            left[point.size].append(index)
    chosen: list[int] = []
    while len(chosen) < number and any(left.values()):
        for size, g in zip(sizes, contour, strict=True):
            own = left[size]
            if not own or len(chosen) == number:
                continue
            towards = x[own] @ covariance
            shared, alone = towards @ g, np.einsum("ni,ni->n", towards, x[own])
            gain = weight[own] * shared**2 / (1 + weight[own] * alone)
            best = points[own[int(np.argmax(gain))]].memory
            same = [index for index in own if points[index].memory == best]
            index = _least_used(points, same, used)
            own.remove(index)
            chosen.append(index)
            seen = covariance @ x[index]
            told = weight[index] / (1 + weight[index] * (x[index] @ seen))
            covariance -= told * np.outer(seen, seen)
    return chosen


def fitted(
    points: Sequence[Point], tried: Mapping[int, bool], resamples: int = 0
) -> phases.Success:
    """The law of success of the tried points.

    Raises:
        ValueError: all succeeded or all failed, or there are none.
    """
    if not tried:
        raise ValueError("no run has ended")
    k, w, seed = zip(*(points[index] for index in tried), strict=True)
    return phases.better(k, w, list(tried.values()), seed, resamples)


def _least_used(points: Sequence[Point], among: Sequence[int], used: Counter[Any]) -> int:
    """The one whose seed has the fewest runs, which is counted."""
    index = min(among, key=lambda index: used[points[index].seed])
    used[points[index].seed] += 1
    return index


def _spread(values: Sequence[float], number: int) -> set[float]:
    """At most so many of the values, evenly spaced, the ends among them."""
    picked = np.linspace(0, len(values) - 1, min(number, len(values))).round().astype(int)
    return {values[index] for index in picked}
