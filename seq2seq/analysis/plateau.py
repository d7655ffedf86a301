"""Plateaus of a training loss: where they begin, how low they lie, when they are left.

    log loss
      |\\
      | \\      start                                end   escape
      |  \\       |                                   |      |
      |   `-.____v___________________________________v      |     <- level · (1 + tolerance)
      |          |            level                   `.    |     <- level · (1 − tolerance)
      |                                                 \\   |
      |                                                  `--v     <- level · (1 − drop)
      |                                                      `-.___
      +------------------------------------------------------------- step

**From a known level** (`level`, such as the loss of the memoryless predictor) the plateau starts
when the loss first lies within `tolerance` above it, on the mean of `window` steps, and is escaped
when its mean lies the share `drop` below it. A sequential test decides when that is established
under noise. With the losses x_t in units of the level, counted from the start, it sums by how much
they lie below (Page, "Continuous inspection schemes", Biometrika 41 (1954)),

    S_t = max(0, S_{t−1} + 1 − drop − x_t),

and gives the alarm at the first t at which S_t exceeds its threshold h_t and has been positive for
at least `window` steps. The **escape** is the first step of that stretch, where ∑ (1 − drop − x)
has its minimum: the estimate of when the mean fell below 1 − drop, early or late with about equal
odds if it fell gradually, and exactly the first such step without noise. A loss that rises again
after the alarm changes nothing, and a single low loss never gives it: it adds at most
drop · window / 2, which window / 2 steps back on the level take away.

*The threshold* keeps the probability that noise about the level gives an alarm below `false_alarm`,
however long the run. If x_t has the mean 1 and the long-run variance v (that of the mean of n steps
is v/n), then 2 · drop · S_t / v is the log-likelihood ratio of a change to the mean 1 − 2 · drop,
maximised over when it happened. For one t it exceeds b with a probability of at most e^{−b}
(Lorden, "Procedures for reacting to a change in distribution", Ann. Math. Statist. 42 (1971);
Siegmund, *Sequential Analysis* (1985), chapter 2), so that b_t = log(t (t + 1) / false_alarm)
leaves false_alarm · ∑ 1 / (t (t + 1)) = false_alarm in all. As v is not known but estimated from m
independent values, m/2 · (e^{2 b_t / m} − 1) takes the place of b_t, since
E e^{−b χ²_m / m} = (1 + 2 b / m)^{−m/2}:

    h_t = max over blocks of v · m/2 · (e^{2 b_t / m} − 1) / (2 · drop).

*The noise* v is that of the t steps so far. Of blocks of l = 1, 2, 4, … steps, up to √t or half a
`window`, it is l/6 times the mean square of the second difference of the means of three successive
blocks, which a slow change of the loss leaves alone (von Neumann, "Distribution of the ratio of the
mean square successive difference to the variance", Ann. Math. Statist. 12 (1941), has the first
differences of single values), with m = 2t/3l − 1. The statement holds for noise that is smaller
than the level and whose correlations decay to 1/e within window / 4 steps. Losses above ten times
the level count as ten times the level.

**Without a level**, let s_t be the mean of the log loss over the last max(window, smoothing·t)
steps and m_t = min_{r ≤ t} s_r, which never rises, so that noise and spikes neither end a plateau
nor start one. A stretch of steps is flat if m falls in it by less than `tolerance`. A flat stretch
is a plateau if the loss then leaves it quickly: if, within `exit` times the length of the stretch,
m falls the share `drop` below its level, the mean of s, where it is escaped. (A loss that falls
exponentially needs 2.2 times the stretch for that, one that falls like a power of time even
longer.) If m is that low from the start, the loss has risen again, and rests on no plateau above.
The first step at which some stretch is escaped decides; of the stretches escaped there the longest
is the plateau, and the search goes on behind it: a staircase has one plateau per stair. A stretch
shorter than two smoothing windows is not resolved and does not count.

A run that ends before the escape is **censored**: its plateau has lasted at least `length`. Without
a level, such a last stretch counts as a plateau if the loss came to it quickly, falling the
`tolerance` before it within `exit` times its length. A run that has converged rests on its last
plateau in just that way; only a level tells it from a run that has yet to leave.

All of this looks backwards only: stopping a run at the alarm changes nothing that was found.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
History = Mapping[str, ArrayLike]


@dataclass(frozen=True)
class Rule:
    """The numbers in the definition above.

    Args:
        tolerance: share of the level by which a loss that rests may differ from it.
        drop: relative fall below the level that counts as an escape; at least `tolerance`.
        exit: longest way out, and for a last stretch in, as a share of the stretch.
        window: least number of steps averaged, and that a loss must lie below a known level. Raise
            it to four times the steps over which the noise of the loss is correlated.
        smoothing: steps averaged as a share of all so far; no step is known more precisely.
        false_alarm: probability that noise makes an escape from a known level, per run.
    """

    tolerance: float = 0.1
    drop: float = 0.25
    exit: float = 0.5
    window: int = 10
    smoothing: float = 0.05
    false_alarm: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.tolerance <= self.drop < 1:
            raise ValueError(
                "tolerance and drop must satisfy 0 < tolerance <= drop < 1, got "
                f"tolerance={self.tolerance}, drop={self.drop}; the defaults are 0.1 and 0.25"
            )
        if not self.exit > 0 or self.window < 1 or not 0 <= self.smoothing < 1:
            raise ValueError(
                "exit must be positive, window at least 1 and smoothing in [0, 1), got "
                f"exit={self.exit}, window={self.window}, smoothing={self.smoothing}"
            )
        if not 0 < self.false_alarm < 1:
            raise ValueError(
                f"false_alarm must lie in (0, 1), got {self.false_alarm}; the default is 0.001"
            )

    def scaled(self, factor: float) -> "Rule":
        """The rule whose `drop` is so many times this one's."""
        drop = factor * self.drop
        return replace(self, drop=drop, tolerance=min(self.tolerance, drop))


RULE = Rule()

#: Losses above so many times a known level count as this.
SPIKE = 10.0

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
        escape: first step beyond it; None if the run ended before that was established.
        alarm: step at which it was.
    """

    level: float
    start: int
    end: int
    escape: int | None
    alarm: int | None = None

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
    step, loss = _finite(history)
    if len(step) < rule.window:
        return []
    return _search(step, loss, rule) if level is None else _at_level(step, loss, level, rule)


def rule(config: Mapping[str, Any]) -> Rule:
    """The rule that a run's config names in `callbacks.stop_after_escape`, or the usual one."""
    stop = _named(config)
    return Rule(**{one.name: stop[one.name] for one in fields(Rule) if one.name in stop})


def reading(
    history: History,
    config: Mapping[str, Any],
    references: Mapping[str, Any],
    factor: float = 1.0,
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
        factor: how many times the rule's `drop` counts as an escape.

    Raises:
        ValueError: the config names a rule that is none.
    """
    own, stop = rule(config).scaled(factor), _named(config)
    level = stop.get("reference", "memoryless") if stop else None
    if isinstance(level, str):
        level = references.get(f"reference/{level}") or 0.0
    if level is not None:
        return find(history, level, own) if level > 0 else []
    step = np.asarray(history["step"])
    if 0 < len(step) < 100 and step[-1] > 2 * len(step):  # each entry is a mean already
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
    """Steps and the mean loss of the last max(window, smoothing·t) of them, to be looked at."""
    step, loss = _finite(history)
    return step, _trailing(loss, rule)[0]


def _finite(history: History) -> tuple[NDArray[np.int64], Array]:
    """Steps and losses; those that are not finite are left out."""
    step, loss = np.asarray(history["step"]), np.asarray(history["loss"], dtype=np.float64)
    finite = np.isfinite(loss)
    return step[finite].astype(np.int64), loss[finite]


def _trailing(values: Array, rule: Rule) -> tuple[Array, NDArray[np.int64]]:
    """The mean of the latest values at each step, and of how many."""
    count = np.arange(1, len(values) + 1)
    window = np.maximum(rule.window, np.ceil(rule.smoothing * count).astype(np.int64))
    window = np.minimum(window, count)
    total = _sums(values)
    mean = (total[count] - total[count - window]) / window
    # The first full window stands for all of its steps: single losses decide nothing.
    mean[: rule.window] = mean[min(rule.window, len(mean)) - 1 :][:1]
    return mean, window


def _sums(values: Array) -> Array:
    """The sum of the first n values, for n from 0 on."""
    return np.concatenate([[0.0], np.cumsum(values)])


def _at_level(step: NDArray[np.int64], loss: Array, level: float, rule: Rule) -> list[Plateau]:
    x, high = np.minimum(loss, SPIKE * level) / level, 1 + rule.tolerance
    total = _sums(x)
    met = np.flatnonzero(total[rule.window :] - total[: -rule.window] <= rule.window * high)
    if not len(met):
        return []
    start = met[0] + int(np.argmax(x[met[0] :] <= high))
    left = _escape(x[start:], rule)
    if left is None:
        return [Plateau(level, int(step[start]), int(step[-1]), None)]
    escape, alarm = start + left[0], start + left[1]
    if escape == 0:  # the loss was never at the level
        return []
    resting = int(np.argmin(_sums(1 - rule.tolerance - x[start:escape])))
    end = start + max(resting - 1, 0)
    return [Plateau(level, *(int(step[index]) for index in (start, end, escape, alarm)))]


def _escape(x: Array, rule: Rule) -> tuple[int, int] | None:
    """Index of the first loss below a level of 1 and of the one that gives the alarm."""
    below = np.minimum(1 - rule.drop - x, rule.drop * rule.window / 2)
    total = _sums(below)
    lowest = np.minimum.accumulate(total)
    count = np.arange(len(total))
    began = np.maximum.accumulate(np.where(total == lowest, count, 0))
    asked = np.flatnonzero(count - began >= max(rule.window, 3))
    alarm = asked[total[asked] - lowest[asked] > _threshold(x, asked, rule)]
    return (int(began[alarm[0]]), int(alarm[0]) - 1) if len(alarm) else None


def _threshold(x: Array, count: NDArray[np.int64], rule: Rule) -> Array:
    """What the sum must exceed after `count` losses, each at least 3."""
    total, found = _sums(x), np.zeros(len(count))
    needed = np.log(count * (count + 1.0) / rule.false_alarm)
    block = 1
    while len(count) and block <= max(rule.window / 2, count[-1] ** 0.5):
        least = max(3 * block, block**2 if block > rule.window / 2 else 0)
        known = count >= least
        mean = (total[block:] - total[:-block]) / block
        bend = mean[2 * block :] - 2 * mean[block:-block] + mean[: -2 * block]
        seen = count[known] - 3 * block + 1  # triples of blocks
        noise = block / 6 * _sums(bend**2)[seen] / seen
        values = np.maximum(2 * count[known] / (3 * block) - 1, 1)
        height = noise * values / 2 * np.expm1(2 * needed[known] / values)
        found[known] = np.maximum(found[known], height)
        block *= 2
    return found / (2 * rule.drop)


def _search(step: NDArray[np.int64], loss: Array, rule: Rule) -> list[Plateau]:
    n = len(step)
    smooth, window = _trailing(np.log(np.maximum(loss, np.finfo(np.float64).tiny)), rule)
    fall, drop = -np.log1p(-rule.tolerance), -np.log1p(-rule.drop)
    low = np.minimum.accumulate(smooth)

    def first_below(value: Array) -> NDArray[np.int64]:
        return np.searchsorted(-low, -value, side="right")

    # Per starting index: one past the end of its flat stretch, the stretch's level, the escape.
    start = np.arange(n)
    end = first_below(low - fall)
    total = _sums(smooth)
    level = (total[end] - total[start]) / (end - start)
    escape = np.maximum(first_below(level - drop), end)
    length = end - start
    resolved = (length >= 2 * window[end - 1]) & (level <= low + drop)
    leaves = resolved & (escape < n) & (escape - end <= rule.exit * length)

    def plateau(index: int, escape: int | None) -> Plateau:
        last = n - 1 if escape is None else int(end[index]) - 1
        return Plateau(
            float(np.exp(level[index])),
            int(step[index]),
            int(step[last]),
            *(2 * [None if escape is None else int(step[escape])]),
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
