"""Plateaus of a training loss: where they begin, how low they lie, when they are left.

    log loss
      |\\
      | \\      start                                end   escape
      |  \\       |                                   |      |
      |   `-.____v___________________________________v      |     <- start's loss
      |          |            level                   `.    |     <- start's loss · (1 − tolerance)
      |                                                 \\   |
      |                                                  `--v     <- level · (1 − drop)
      |                                                      `-.___
      +------------------------------------------------------------- step

The loss is first smoothed: s_t is the mean of the log loss over the last max(window, smoothing·t)
steps, and m_t = min_{r ≤ t} s_r. Everything below follows from m, which never rises, so that noise
and spikes neither end a plateau nor start one.

**From a known level** (`level`, such as the loss of the memoryless predictor) the plateau starts
when the smoothed loss first lies within `tolerance` above it, and is escaped when it first lies the
share `drop` below it.

**Without one**, a stretch of steps is flat if m falls in it by less than `tolerance`. A flat
stretch is a plateau if the loss then leaves it quickly: if, within `exit` times the length of the
stretch, it falls the share `drop` below the stretch's mean level, where it is escaped. (A loss that
falls exponentially needs 2.2 times the stretch for that, one that falls like a power of time even
longer.) The first step at which some stretch is escaped decides; of the stretches escaped there the
longest is the plateau, and the search goes on behind it: a staircase has one plateau per stair. A
stretch shorter than two smoothing windows is not resolved and does not count.

A run that ends before the escape is **censored**: its plateau has lasted at least `length`. Without
a level, such a last stretch counts as a plateau if the loss came to it quickly, falling the
`tolerance` before it within `exit` times its length. A run that has converged rests on its last
plateau in just that way; only a level tells it from a run that has yet to leave.

All of this looks backwards only: stopping a run at its escape changes nothing that was found.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
History = Mapping[str, ArrayLike]


@dataclass(frozen=True)
class Rule:
    """The numbers in the definition above.

    Args:
        tolerance: relative fall of the loss within which a stretch is flat.
        drop: relative fall below the level that counts as an escape; above `tolerance`.
        exit: longest way out, and for a last stretch in, as a share of the stretch.
        window: least number of steps averaged. The noise of their mean should be well below
            `tolerance`: raise it for small batches.
        smoothing: steps averaged as a share of all so far; no step is known more precisely.
    """

    tolerance: float = 0.1
    drop: float = 0.25
    exit: float = 0.5
    window: int = 10
    smoothing: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < self.drop < 1:
            raise ValueError(
                "tolerance and drop must satisfy 0 < tolerance < drop < 1, got "
                f"tolerance={self.tolerance}, drop={self.drop}; the defaults are 0.1 and 0.25"
            )
        if not self.exit > 0 or self.window < 1 or not 0 <= self.smoothing < 1:
            raise ValueError(
                "exit must be positive, window at least 1 and smoothing in [0, 1), got "
                f"exit={self.exit}, window={self.window}, smoothing={self.smoothing}"
            )


RULE = Rule()

#: Ratio of the steps at which a plateau without a known level ends and begins.
VISIBLE = 2

#: What a criterion (`seq2seq.schema.criteria`) may ask of plateaus.
QUANTITIES = ("growth", "resting", "plateau/length")


@dataclass(frozen=True)
class Plateau:
    """One plateau; steps are those of the history.

    Attributes:
        level: geometric mean of the loss from `start` to `end`, or the level asked for.
        start: first step on it.
        end: last step on it; for a censored one the last step of the history.
        escape: step at which its escape was seen; None if the run ended before.
    """

    level: float
    start: int
    end: int
    escape: int | None

    @property
    def censored(self) -> bool:
        """Whether the run ended on the plateau."""
        return self.escape is None

    @property
    def length(self) -> int:
        """Steps from start to escape; of a censored plateau a lower bound."""
        return (self.end if self.escape is None else self.escape) - self.start


def find(history: History, level: float | None = None, rule: Rule = RULE) -> list[Plateau]:
    """The plateaus of a loss history in order of time; with a `level`, at most the one at it.

    Args:
        history: arrays `step` and `loss`, one entry per optimisation step.
        level: loss of the plateau looked for, above 0.

    Raises:
        ValueError: a level that is not positive.
    """
    if level is not None and not level > 0:
        raise ValueError(f"level must be a positive loss, got level={level}; leave it out")
    step, smooth, window = _smooth(history, rule)
    if len(step) < rule.window:
        return []
    if level is None:
        return _search(step, smooth, window, rule)
    return _at_level(step, smooth, level, rule)


def rule(config: Mapping[str, Any]) -> Rule:
    """The rule that a run's config names in `callbacks.stop_after_escape`, or the usual one."""
    stop = _named(config)
    return Rule(stop.get("tolerance", RULE.tolerance), stop.get("drop", RULE.drop))


def reading(
    history: History, config: Mapping[str, Any], references: Mapping[str, Any]
) -> list[Plateau]:
    """The plateaus of a run as all pages show them; of several, the first is the run's.

    An experiment names one, by `callbacks.stop_after_escape`: it lies at the loss of a predictor or
    at a loss, and there is no other. Of a run whose config names none, those count that are found
    without a level and can be seen on a logarithmic axis, as they end at twice the step that they
    begin at, or later. They must lie no lower than the best predictor without memory, as below it a
    loss that rests may have converged, unless the config asks for plateaus in `refuted_if`.

    Args:
        history: arrays `step` and `loss`.
        config: of the run; may be empty.
        references: what its `result.json` holds, with keys such as `reference/memoryless`.

    Raises:
        ValueError: the config names a rule that is none.
    """
    own, stop = rule(config), _named(config)
    level = stop.get("reference", "memoryless") if stop else None
    if isinstance(level, str):
        level = references.get(f"reference/{level}") or 0.0
    if level is not None:
        return find(history, level, own) if level > 0 else []
    if len(np.asarray(history["step"])) < 100:  # of few entries, each is a mean already
        own = replace(own, window=2)
    memoryless = references.get("reference/memoryless", references.get("reference/bigram"))
    lowest = 0.0 if asked(config) else (1 - own.tolerance) * (memoryless or np.inf)
    return [
        one
        for one in find(history, rule=own)
        if one.level >= lowest and one.start + one.length >= VISIBLE * one.start
    ]


def asked(config: Mapping[str, Any]) -> bool:
    """Whether a run's config asks for plateaus, by what ends it or by what it claims."""
    conditions = config.get("refuted_if") or ()
    return bool(_named(config)) or any(one.get("quantity") in QUANTITIES for one in conditions)


def _named(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return (config.get("callbacks") or {}).get("stop_after_escape") or {}


def escaped(history: History, level: float | None = None, rule: Rule = RULE) -> bool:
    """Whether a plateau has been left: a callback may stop the run, `find` will say the same."""
    return any(not plateau.censored for plateau in find(history, level, rule))


def smoothed(history: History, rule: Rule = RULE) -> tuple[NDArray[np.int64], Array]:
    """Steps and the smoothed loss exp(s_t) that decides about plateaus."""
    step, smooth, _ = _smooth(history, rule)
    return step, np.exp(smooth)


def _smooth(history: History, rule: Rule) -> tuple[NDArray[np.int64], Array, NDArray[np.int64]]:
    """Steps, s_t, and how many steps s_t averages; losses that are not finite are left out."""
    step, loss = np.asarray(history["step"]), np.asarray(history["loss"], dtype=np.float64)
    finite = np.isfinite(loss)
    step, loss = step[finite].astype(np.int64), loss[finite]
    count = np.arange(1, len(loss) + 1)
    window = np.maximum(rule.window, np.ceil(rule.smoothing * count).astype(np.int64))
    window = np.minimum(window, count)
    logs = np.log(np.maximum(loss, np.finfo(np.float64).tiny))
    total = np.concatenate([[0.0], np.cumsum(logs)])
    smooth = (total[count] - total[count - window]) / window
    # The first full window stands for all of its steps: single losses decide nothing.
    smooth[: rule.window] = smooth[min(rule.window, len(smooth)) - 1 :][:1]
    return step, smooth, window


def _at_level(step: NDArray[np.int64], smooth: Array, level: float, rule: Rule) -> list[Plateau]:
    reached = np.flatnonzero(smooth <= np.log(level * (1 + rule.tolerance)))
    if not len(reached):
        return []
    start = reached[0]
    below = np.flatnonzero(smooth < np.log(level * (1 - rule.drop)))
    if not len(below):
        return [Plateau(level, int(step[start]), int(step[-1]), None)]
    escape = below[0]
    if escape == 0:  # the loss was never at the level
        return []
    flat = np.flatnonzero(smooth[: escape + 1] >= np.log(level * (1 - rule.tolerance)))
    end = flat[-1] if len(flat) else start
    return [Plateau(level, int(step[start]), int(step[max(start, end)]), int(step[escape]))]


def _search(
    step: NDArray[np.int64], smooth: Array, window: NDArray[np.int64], rule: Rule
) -> list[Plateau]:
    n = len(step)
    fall, drop = -np.log1p(-rule.tolerance), -np.log1p(-rule.drop)
    low = np.minimum.accumulate(smooth)

    def first_below(value: Array) -> NDArray[np.int64]:
        return np.searchsorted(-low, -value, side="right")

    # Per starting index: one past the end of its flat stretch, the stretch's level, the escape.
    start = np.arange(n)
    end = first_below(low - fall)
    total = np.concatenate([[0.0], np.cumsum(smooth)])
    level = (total[end] - total[start]) / (end - start)
    escape = np.maximum(first_below(level - drop), end)
    length = end - start
    resolved = length >= 2 * window[end - 1]
    leaves = resolved & (escape < n) & (escape - end <= rule.exit * length)

    def plateau(index: int, escape: int | None) -> Plateau:
        last = n - 1 if escape is None else int(end[index]) - 1
        return Plateau(
            float(np.exp(level[index])),
            int(step[index]),
            int(step[last]),
            None if escape is None else int(step[escape]),
        )

    found = []
    begin = 0
    while leaves[begin:].any():
        candidates = begin + np.flatnonzero(leaves[begin:])
        first = int(escape[candidates].min())
        candidates = candidates[escape[candidates] == first]
        found.append(plateau(int(candidates[np.argmax(length[candidates])]), first))
        begin = first

    before = start - np.minimum(np.searchsorted(-low, -(low + fall), side="left"), start)
    enters = before <= rule.exit * length
    stays = resolved & enters & (escape == n) & (n - end <= rule.exit * length)
    last = begin + np.flatnonzero(stays[begin:])
    if len(last):
        found.append(plateau(int(last[np.argmax(length[last])]), None))
    return found
