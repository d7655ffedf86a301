"""How the plateaus of a sweep grow with its memory, in numbers and in words."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from seq2seq.analysis import laws
from seq2seq.analysis.laws import Comparison
from seq2seq.analysis.report.sweep import Sweep, timed

#: Other falls that may count as an escape, as multiples of the rule's `drop`.
FACTORS = (0.4, 0.5, 0.7, 1.4, 2.0)

#: Of the bootstrap at each of them.
RESAMPLES = 500

#: Of the bootstrap of each simulated sweep.
SIMULATED = 50


@dataclass
class Growth:
    """How one group's plateaus grow with the memory, or why that cannot be said.

    Attributes:
        rows: of the table, those of the group's runs.
        by_drop: the laws by the fall that counts as an escape, from small to large, the rule's own
            among them; empty where nothing asks for them.
    """

    rows: "pd.DataFrame" = field(repr=False)
    group: str
    runs: int
    escaped: int
    censored: int
    without: int
    laws: laws.Comparison | None
    reason: str = ""
    by_drop: dict[float, Comparison] = field(default_factory=dict)

    def at(self, drop: float) -> "Growth":
        """The same if this fall counts as an escape."""
        found = self.by_drop.get(drop)
        return replace(self, laws=found, reason="not every run fell as far" * (found is None))

    def sentence(self, key: str) -> str:
        """The verdict in words."""
        subject = f"{self.group}: " if self.group else ""
        counts = f"{self.runs - self.without} runs, {self.censored} of them censored"
        if self.without:
            counts += f"; {self.without} more had no plateau"
        if self.laws is None:
            return f"{subject}no law was fitted ({self.reason}; {counts})."
        law = self.laws.exponential
        low, high = law.interval_b
        zero = "which excludes zero" if law.excludes_zero else "which contains zero"
        growth = (
            f"{subject}log τ grows by {law.b:.3g} per unit of {key} "
            f"(95% interval {low:.3g} to {high:.3g}, {zero}; {law.seeds} seeds, {counts}), "
            f"a factor of {math.exp(law.b):.3g} in τ. "
        )
        if len(self.by_drop) > 1:
            rates = [one.exponential.b for one in self.by_drop.values()]
            growth += (
                f"If a fall by {min(self.by_drop):.2g} to {max(self.by_drop):.2g} of the level "
                f"counts as the escape, by {min(rates):.3g} to {max(rates):.3g}. "
            )
        if not self.laws.resolved:
            return growth + "Growth is not resolved, so there is no law to choose."
        return growth + self.verdict()

    def verdict(self) -> str:
        """What AIC says."""
        assert self.laws is not None
        difference, support = abs(self.laws.difference), self.laws.support
        if self.laws.verdict == "cannot tell":
            return (
                f"AIC cannot tell an exponential from a power law: they differ by "
                f"{difference:.2f}, below {laws.DECISIVE:.0f}."
            )
        better, share = "an exponential to a power law", support
        if self.laws.verdict == "power":
            better, share = "a power law to an exponential", 1 - support
        by = f"{difference:.3g} (in {share:.0%} of the bootstrap resamples)"
        return f"AIC prefers {better} by {by}."


def growth(sweep: Sweep) -> list[Growth]:
    """The laws of each group over the sweep's memory."""
    if sweep.memory is None:
        return []
    asks = sweep.is_study and sweep.event == "plateau"
    most = max(rule.drop for rule in sweep.rules)
    tables = {by: sweep.read(by) for by in FACTORS if asks and by * most < 1}
    found = []
    for label, rows in sweep.groups():
        fit = _fitted(sweep.memory, label, rows)
        if fit.laws is not None:
            drop = sweep.rules[rows.index[0]].drop
            others = {round(f * drop, 6): read.loc[rows.index] for f, read in tables.items()}
            fit = replace(fit, by_drop=_by_drop(sweep.memory, fit, drop, others))
        found.append(fit)
    return found


def simulated(sweep: Sweep, fit: Growth, kind: laws.Kind, random: np.random.Generator) -> Growth:
    """What the group's runs would have given if its law of this kind were true.

    The memories, the seeds and the steps that each run had for its plateau are those of the sweep.
    By another fall that counts as an escape the laws differ as much as they do in the sweep.
    """
    if fit.laws is None or sweep.memory is None:
        return fit
    law = fit.laws.exponential if kind == "exponential" else fit.laws.power
    seen = timed(fit.rows)
    budget = [sweep.budget(index) for index in seen.index]
    tau, censored = laws.simulated(law, seen[sweep.memory], budget, random)
    drawn = seen.assign(**{"plateau/length": tau, "plateau/censored": censored})
    found = _fitted(sweep.memory, fit.group, drawn, SIMULATED)
    if found.laws is None:
        return found
    moved = {drop: found.laws.moved(fit.laws, other) for drop, other in fit.by_drop.items()}
    return replace(found, by_drop=moved)


def _fitted(memory: str, label: str, rows: "pd.DataFrame", resamples: int = 2000) -> Growth:
    seen = timed(rows)
    censored = int(seen["plateau/censored"].astype(bool).sum())
    counts = (len(rows), len(seen) - censored, censored, len(rows) - len(seen))
    try:
        return Growth(rows, label, *counts, _laws(memory, rows, resamples))
    except ValueError as error:
        return Growth(rows, label, *counts, None, str(error))


def _laws(memory: str, rows: "pd.DataFrame", resamples: int = 2000) -> laws.Comparison:
    seen = timed(rows)
    k, tau, seed = (seen[key] for key in (memory, "plateau/length", "seed"))
    return laws.compare(k, tau, seen["plateau/censored"].astype(bool), seed, resamples)


def _by_drop(
    memory: str, fit: Growth, drop: float, others: Mapping[float, "pd.DataFrame"]
) -> dict[float, laws.Comparison]:
    """The laws by the fall that counts as an escape, where the runs can tell of it.

    A run was not ended before it had fallen by its own `drop`. How much further it fell depends on
    what ended it, so that a larger fall tells of the runs only if all that escaped reach it.
    """
    found = {drop: fit.laws} if others and fit.laws is not None else {}
    for other, read in others.items():
        if other < drop or read["plateau/censored"].equals(fit.rows["plateau/censored"]):
            with suppress(ValueError):  # too few escapes
                found[other] = _laws(memory, read, RESAMPLES)
    return dict(sorted(found.items()))
