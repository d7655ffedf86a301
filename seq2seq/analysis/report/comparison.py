"""Which of the models, or of other settings, is best at what, by how much, and at what cost."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats

from seq2seq.analysis.figures import number
from seq2seq.analysis.intervals import interval, log_interval
from seq2seq.analysis.report.sweep import Sweep, split

#: Probability below which a difference counts as told.
LEVEL = 0.05


@dataclass(frozen=True)
class Contender:
    """One setting on one task.

    Attributes:
        error: geometric mean over seeds of the NMSE, or mean of another loss, and its 95% interval.
        apart: ratio to the best one's error, or difference from it, and its 95% interval by seed.
        p: of the paired t-test by seed of log10 NMSE, or of the loss, against the best; adjusted
            after Holm for the number of contenders. NaN with fewer than two seeds in common.
        parameters, steps, seconds: means over its runs.
    """

    label: str
    runs: int
    seeds: int
    error: tuple[float, float, float]
    apart: tuple[float, float, float]
    p: float
    parameters: float
    steps: float
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """The contenders on one task, the best first.

    Attributes:
        relative: whether errors are compared by their ratio.
    """

    task: str
    metric: str
    relative: bool
    contenders: list[Contender] = field(repr=False)

    @property
    def sentence(self) -> str:
        """Who is best, by how much, and what it costs."""
        best, *others = self.contenders
        on = f"On {self.task}, " if self.task else ""
        over = f"over {best.seeds} seeds" if best.seeds > 1 else "of one seed"
        said = f"{on}{best.label} has the lowest {self.metric}: {bracketed(best.error)} {over}"
        if not others:
            return f"{said}."
        told = [one for one in others if one.p < LEVEL]
        near = [one.label for one in others if not one.p < LEVEL]
        second = others[0]
        by = f"{self.how_far(second)} {second.label}"
        if math.isnan(second.p):
            alone = 1 in (best.seeds, second.seeds)
            few = "one seed tells" if alone else "fewer than two seeds in common tell"
            said += f", {by}; {few} nothing of chance"
        elif second.p < LEVEL:
            said += f", {by} ({self.test}, p = {number(second.p)})"
        else:
            rest = f" and {len(near) - 3} more" * (len(near) > 3)
            said += (
                f", but {'; '.join(near[:3])}{rest} cannot be told from it ({self.test}, "
                f"p = {number(second.p)}; {by})"
            )
            if told:
                said += f"; it is {self.how_far(told[0])} {told[0].label} (p = {number(told[0].p)})"
        return f"{said}. {self.costs(best, second)}"

    def how_far(self, other: Contender) -> str:
        """How far the best lies below another, with the interval."""
        far = bracketed(other.apart)
        return f"a factor of {far} below" if self.relative else f"{far} below"

    @property
    def test(self) -> str:
        """The test, in words."""
        return f"paired t-test by seed{' on log10 NMSE' * self.relative}"

    @staticmethod
    def costs(best: Contender, second: Contender) -> str:
        """What both take."""
        return (
            "; ".join(
                f"{one.label} has {number(one.parameters)} parameters and took {number(one.steps)} "
                f"steps and {number(one.seconds)} s a run"
                for one in (best, second)
            )
            + "."
        )


def bracketed(estimate: Sequence[float]) -> str:
    """A value and its interval, where there is one."""
    value, low, high = estimate
    return number(value) + (f" [{number(low)}, {number(high)}]" if low < high else "")


def comparisons(sweep: Sweep) -> list[Comparison]:
    """One for each task of the sweep, where settings beside the task's vary."""
    posed = [key for key in sweep.keys if key.startswith("task")]
    told = [key for key in sweep.keys if key not in posed]
    if not told or not sweep.has_errors:
        return []
    found = []
    relative = sweep.metric.endswith("nmse") and bool(
        (sweep.table[sweep.metric].dropna() > 0).all()
    )
    for task, rows in split(sweep.table, posed):
        contenders = [*_contenders(sweep, rows, told, relative)]
        if contenders:
            found.append(Comparison(task, sweep.metric_name, relative, contenders))
    return found


def _contenders(
    sweep: Sweep, rows: "pd.DataFrame", told: Sequence[str], relative: bool
) -> Iterator[Contender]:
    errors, groups = {}, {}
    for label, group in split(rows, told):
        measured = group.dropna(subset=[sweep.metric])
        if len(measured):
            by_seed = measured.groupby("seed")[sweep.metric].mean()
            errors[label] = np.log10(by_seed) if relative else by_seed
            groups[label] = group
    order = sorted(errors, key=lambda label: float(errors[label].mean()))
    apart, p = {}, {}
    for label in order:
        pairs = (errors[label] - errors[order[0]]).dropna()
        mean, low, high = interval(pairs.tolist()) if len(pairs) else (math.nan,) * 3
        apart[label] = (10**mean, 10**low, 10**high) if relative else (mean, low, high)
        several = len(pairs) > 1 and label != order[0]
        p[label] = _chance(pairs) if several else math.nan
    p |= _holm({label: value for label, value in p.items() if not math.isnan(value)})
    for label in order:
        group, own = groups[label], errors[label].tolist()
        error = log_interval([10**value for value in own]) if relative else interval(own)
        costs = [_mean(group, key) for key in ("parameters", "steps", "seconds")]
        yield Contender(label, len(group), len(own), error, apart[label], p[label], *costs)


def _chance(pairs: "pd.Series[float]") -> float:
    """How probable differences this far from zero are by chance; all zero tell of none."""
    return float(stats.ttest_1samp(pairs, 0).pvalue) if pairs.any() else 1.0


def _mean(rows: "pd.DataFrame", key: str) -> float:
    return float(rows[key].mean()) if key in rows else math.nan


def _holm(p: dict[str, float]) -> dict[str, float]:
    """Probabilities adjusted for their number (Holm, Scand. J. Statistics 6 (1979))."""
    ordered, adjusted, highest = sorted(p, key=p.__getitem__), {}, 0.0
    for rank, label in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - rank) * p[label]))
        adjusted[label] = highest
    return adjusted
