"""The settings in which runs failed, and whether a solution exists there: `analysis.existence`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from seq2seq.analysis.existence import Existence, alike, existence
from seq2seq.analysis.figures import number
from seq2seq.analysis.report.growth import Growth
from seq2seq.analysis.report.sweep import Sweep, timed
from seq2seq.schema import class_attribute

#: What is said where some runs of the setting found a solution.
FOUND = "exists, and not every run found it"


@dataclass(frozen=True)
class Unsolved:
    """A setting in which not every run reached its target.

    Attributes:
        label: the setting.
        solved, runs: how many of its runs did, and how many there are.
        existence: whether one could.
    """

    label: str
    solved: int
    runs: int
    existence: Existence

    @property
    def word(self) -> str:
        """That of the existence; where some of the runs succeeded, a solution was found."""
        word = self.existence.word
        return FOUND if self.solved and word == "exists but was not found" else word


def unsolved(sweep: Sweep, fits: Sequence[Growth]) -> Iterator[Unsolved]:
    """Those of the sweep's settings; its runs had a target, or were to leave a plateau."""
    for label, rows in sweep.cells():
        told = _told(sweep, rows)
        if told is None or told[0] == told[1]:
            continue
        solved, runs, metric, target = told
        run = sweep.runs[rows.index[0]]
        found = [*_found(sweep, rows, solved, runs)]
        expected = _expected(sweep, rows, fits)
        yield Unsolved(label, solved, runs, existence(run.config, metric, target, found, expected))


def _told(sweep: Sweep, rows: "pd.DataFrame") -> tuple[int, int, str, float] | None:
    """How many of the runs succeeded, of how many, by which metric, and from which value on."""
    if sweep.succeeded(rows)[1]:
        known = rows[rows["success"].notna()]
        first = known.iloc[0]
        metric, target = first.get("success/metric"), first.get("success/threshold")
        if not isinstance(metric, str) or pd.isna(target):
            return None
        return *sweep.succeeded(rows), metric, float(target)
    seen = timed(rows)
    if not sweep.is_study or not len(seen):
        return None
    escaped = int((~seen["plateau/censored"].astype(bool)).sum())
    level = float(seen["plateau/level"].median())
    return escaped, len(seen), "train/loss", (1 - sweep.rules[rows.index[0]].drop) * level


def _found(sweep: Sweep, rows: "pd.DataFrame", solved: int, runs: int) -> Iterator[str]:
    """Who else has found a solution."""
    if solved:
        yield f"{solved} of {runs} runs found one"
    if "success" not in sweep.table:
        return
    config = sweep.runs[rows.index[0]].plain_config
    start = class_attribute(config["model"]["_target_"], "start", ())
    others = sweep.table.drop(rows.index)
    succeeded = others[others["success"].fillna(False).astype(bool)].index
    alike_ones = sweep.table.loc[
        [i for i in succeeded if alike(config, sweep.runs[i].plain_config, start)]
    ]
    for label, _ in sweep.cells(alike_ones):
        yield f"the same model found one with {label}"


def _expected(sweep: Sweep, rows: "pd.DataFrame", fits: Sequence[Growth]) -> str:
    """When half of the runs would have found one, by the law of the group."""
    fit = next((fit for fit in fits if rows.index[0] in fit.rows.index), None)
    if fit is None or fit.laws is None or sweep.memory is None or not fit.laws.resolved:
        return ""
    law = fit.laws.best
    k = float(rows[sweep.memory].iloc[0])
    low, high = (number(float(end[0])) for end in law.band(k))
    half = number(float(law.predict(k)))
    return f"by the {law.kind} law half of the runs take {half} steps [{low}, {high}]"
