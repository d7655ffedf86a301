"""The power of a verdict: what sweeps of the same design would say if a law were true.

Sweeps are simulated with the memories, seeds and budgets of the one that was run, their times drawn
from one of the fitted laws with its spread, and judged as it was; by another fall that counts as
the escape their rates differ as those of the real sweep do. A design that could not have told
the laws apart shows in the shares of the verdicts. Quantities without a law are drawn from the
normal distribution, or the log-normal one if they are positive, of their mean and spread; shares
of runs from the binomial one; contours of success from the normal one of their interval.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from seq2seq.analysis.intervals import is_share
from seq2seq.analysis.laws import Kind
from seq2seq.analysis.phases import NORMAL
from seq2seq.analysis.report.growth import Growth, simulated
from seq2seq.analysis.report.sweep import Sweep
from seq2seq.analysis.report.verdict import (
    Estimate,
    Finding,
    Verdict,
    Word,
    answer,
    findings,
    is_growth,
    word,
)

#: Simulated sweeps of each law.
DRAWS = 100


@dataclass(frozen=True)
class Power:
    """Shares of the simulated sweeps by their verdict, if this were the truth."""

    truth: str
    shares: dict[Word, float]

    @property
    def sentence(self) -> str:
        """The shares in words."""
        said = ", ".join(f"{share:.0%} {name}" for name, share in self.shares.items() if share)
        return f"if {self.truth} is true, {said}"


def power(sweep: Sweep, fits: Sequence[Growth], verdict: Verdict) -> list[Power]:
    """The power of the design for each law that was fitted, or for the means that were found.

    It is empty where nothing varies: with one seed, or where no law could be fitted.
    """
    grown = [c for c in _conditions(verdict) if is_growth(c)]
    measured = [one for one in verdict.findings if not is_growth(one.asked)]
    own = [fit for fit in fits if fit.laws and fit.rows.index.isin(verdict.rows.index).any()]
    if not (own if grown else any(_varies(one.estimate) for one in measured)):
        return []
    random, found = np.random.default_rng(0), []
    for kind in get_args(Kind) if grown else (None,):
        words: Counter[Word] = Counter()
        for _ in range(DRAWS):
            answers = [answer(sweep, _redrawn(one, random), one.asked) for one in measured]
            if kind:
                drawn = [simulated(sweep, fit, kind, random) for fit in own]
                for condition in grown:
                    again = findings(sweep, verdict.rows, drawn, condition)
                    answers += [one.holds for one in again]
            words[word(answers)] += 1
        truth = f"the fitted {kind} law" if kind else "what was found"
        found.append(Power(truth, {name: words[name] / DRAWS for name in get_args(Word)}))
    return found


def _conditions(verdict: Verdict) -> list[dict[str, object]]:
    """The conditions of its criterion, each once."""
    return list({id(one.asked): dict(one.asked) for one in verdict.findings}.values())


def _varies(one: Estimate) -> bool:
    """Whether it is of several values, or else of a fit with an interval."""
    return len(one.values) > 1 or (math.isfinite(one.high - one.low) and one.low < one.high)


def _redrawn(finding: Finding, random: np.random.Generator) -> Estimate:
    """The estimate from as many values of the same spread, or moved within its interval."""
    one = finding.estimate
    if not _varies(one):
        return one
    if len(one.values) < 2:
        shift = random.normal(scale=(one.high - one.low) / 2 / NORMAL)
        return replace(one, value=one.value + shift, low=one.low + shift, high=one.high + shift)
    values = np.asarray(one.values, dtype=np.float64)
    if one.is_share:
        drawn = random.binomial(1, values.mean(), len(values))
        return Estimate.of(one.setting, one.rows, drawn.tolist())
    logs = bool((values > 0).all()) and not is_share(one.metric)
    x = np.log(values) if logs else values
    x = random.normal(x.mean(), x.std(ddof=1), len(x))
    return Estimate.mean(one.setting, one.rows, (np.exp(x) if logs else x).tolist(), one.metric)
