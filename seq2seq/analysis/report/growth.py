"""How the plateaus of a sweep grow with its memory, in numbers and in words."""

import math
from dataclasses import dataclass

from seq2seq.analysis import laws
from seq2seq.analysis.report.sweep import Sweep, timed


@dataclass
class Growth:
    """How one group's plateaus grow with the memory, or why that cannot be said."""

    group: str
    runs: int
    escaped: int
    censored: int
    without: int
    laws: laws.Comparison | None
    reason: str = ""

    def sentence(self, key: str) -> str:
        """The verdict in words."""
        subject = f"{self.group}: " if self.group else ""
        counts = f"{self.runs} runs, {self.censored} of them censored"
        if self.without:
            counts += f", {self.without} without a plateau left out"
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
    found = []
    for label, rows in sweep.groups():
        seen = timed(rows)
        k, tau, seed = (seen[key] for key in (sweep.memory, "plateau/length", "seed"))
        censored = seen["plateau/censored"].astype(bool)
        fitted, reason = None, ""
        try:
            fitted = laws.compare(k, tau, censored, seed)
        except ValueError as error:
            reason = str(error)
        counts = (len(rows), int((~censored).sum()), int(censored.sum()), len(rows) - len(seen))
        found.append(Growth(label, *counts, fitted, reason))
    return found
