"""What a search has found: the best settings, and which keys mattered."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from seq2seq.analysis.figures import number
from seq2seq.analysis.report.sweep import Sweep, plain, spread

#: What a search leaves beside its runs.
JOURNAL = "study.journal"


@dataclass(frozen=True)
class Key:
    """A key that was searched.

    Attributes:
        best: its value in the best run.
        low, high: the ends of the best quarter of runs.
        spread: over which share of all values' range, in logarithms, that quarter spreads.
    """

    name: str
    best: float
    low: float
    high: float
    spread: float


@dataclass(frozen=True)
class Found:
    """The runs of a search, the best first, and its keys, from that which mattered most."""

    rows: "pd.DataFrame"
    score: str
    keys: list[Key]

    @property
    def name(self) -> str:
        """What was minimised, in words."""
        return self.score.replace("val/", "validation ").replace("nmse", "NMSE")

    @property
    def sentence(self) -> str:
        """The best settings, and what mattered."""
        best = self.rows.iloc[0]
        chosen = ", ".join(f"{key.name} = {number(key.best)}" for key in self.keys)
        said = (
            f"The lowest {self.name} of {len(self.rows)} runs, {number(best[self.score])}, was "
            f"reached with {chosen}. "
        )
        told = [key for key in self.keys if not np.isnan(key.spread)]
        if len(told) > 1 and len(self.rows) >= 8:
            first = told[0]
            ends = number(first.low) + f" to {number(first.high)}" * (first.low < first.high)
            said += (
                f"What mattered most is {first.name}: the best quarter of runs spreads over "
                f"{first.spread:.0%} of its range ({ends}), over "
                + ", ".join(f"{key.spread:.0%} of that of {key.name}" for key in told[1:])
                + "."
            )
        return said.strip()


def search(sweep: Sweep) -> Found | None:
    """What a search found; None for other sweeps."""
    if not (sweep.root / JOURNAL).exists() or not sweep.has_scores:
        return None
    rows = sweep.table.dropna(subset=[sweep.score]).sort_values(sweep.score, kind="stable")
    best = rows.head(max(2, round(len(rows) / 4)))
    keys = [
        Key(
            sweep.label(key),
            plain(rows.iloc[0][key]),
            plain(best[key].min()) if sweep.is_numeric(key) else np.nan,
            plain(best[key].max()) if sweep.is_numeric(key) else np.nan,
            spread(sweep, key),
        )
        for key in sweep.keys
        if not key.startswith("callbacks.")
    ]
    return Found(
        rows, sweep.score, sorted(keys, key=lambda key: (np.isnan(key.spread), key.spread))
    )
