"""How trained models do beyond what they were trained on: a curve over a key of the task, a map.

Whoever trains on lengths up to L and is tested on longer ones is told by the **score** of Delétang
et al., "Neural Networks and the Chomsky Hierarchy", arXiv:2207.02098 (2023): the mean accuracy over
all lengths L + 1 … 500, which counts as solved from 0.9 on, here beside its share above chance,
max(0, (a − c)/(1 − c)), as Beck et al., arXiv:2405.04517 (2024), have it. `reach` is the largest
value up to which the accuracy is 0.9 at every one that was tested.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from seq2seq.analysis.figures import files, number
from seq2seq.analysis.figures.sweeps import Line, generalisation, heat_map
from seq2seq.analysis.intervals import average, interval, named
from seq2seq.analysis.report.sweep import Sweep, plain, split
from seq2seq.results import store

#: The longest length of the published protocol, and the accuracy that counts as having solved it.
LONGEST, SOLVED = 500, 0.9

#: What is looked at first: where a task has it, the metric of a table with one number per cell.
METRICS = ("test/accuracy", "test/nmse", "test/loss")


@dataclass(frozen=True)
class Tested:
    """One run at one setting of its task.

    Attributes:
        run: its place among the runs.
        setting: the keys of the task that were changed, and to what.
        measured: metrics and references.
        chance: of the accuracy; None without one.
    """

    run: int
    setting: Mapping[str, Any]
    measured: Mapping[str, float]
    chance: float | None


@dataclass(frozen=True)
class Score:
    """Of one run: its accuracies beyond `trained`, and how far it is right."""

    accuracy: float
    scaled: float
    reach: float


class Grid:
    """Runs, each tested at the same settings of its task.

    Args:
        tested: of each run, at each setting.
        sweep: the runs' own; None for one run alone.
        trained: of each run the largest value of the key it was trained with, where that is a
            number.
    """

    def __init__(
        self, tested: Sequence[Tested], sweep: Sweep | None, trained: Sequence[float | None]
    ) -> None:
        self.keys = [*tested[0].setting]
        self.trained = trained
        self.metric = next(m for m in METRICS if m in tested[0].measured)
        labels = dict.fromkeys(range(len(trained)), "")
        self._order = [""] if sweep is None else [one for one, _ in split(sweep.table, sweep.keys)]
        for label, rows in split(sweep.table, sweep.keys) if sweep else ():
            labels |= dict.fromkeys(rows.index, label)
        own = [
            {key: plain(sweep.table[key][index]) for key in [*sweep.keys, "seed"]} if sweep else {}
            for index in range(len(trained))
        ]
        self.table = pd.DataFrame(
            {"group": labels[one.run], "run": one.run}
            | {f"run/{key}": value for key, value in own[one.run].items()}
            | {key: _cell(value) for key, value in one.setting.items()}
            | {"chance": one.chance}
            | dict(one.measured)
            for one in tested
        )

    @property
    def name(self) -> str:
        """How the metric is called."""
        return self.metric.replace("test/nmse", "test NMSE").replace("test/", "test ")

    def groups(self) -> Iterator[tuple[str, "pd.DataFrame"]]:
        """Label and rows of the runs that differ in the seed only."""
        for label in self._order:
            yield label, self.table[self.table["group"] == label]

    def cells(self) -> Iterator[dict[str, Any]]:
        """Of each group and setting the mean over runs, with its 95% interval.

        The mean is geometric, but of shares or where a value is not positive.
        """
        for label, rows in self.groups():
            for values, cell in rows.groupby(self.keys, sort=False, dropna=False):
                ends = average(cell[self.metric].tolist(), self.metric)
                told = dict(zip(self.keys, map(plain, values), strict=True))
                yield {"group": label, **told, "runs": len(cell)} | named(ends, len(cell))

    def scores(self) -> dict[int, Score]:
        """Of each run that was tested beyond what it was trained on.

        Raises:
            ValueError: it is not one number that varies.
        """
        if len(self.keys) != 1 or not pd.api.types.is_numeric_dtype(self.table[self.keys[0]]):
            raise ValueError(
                f"a score needs values of one number, got {', '.join(self.keys) or 'none'}; "
                "give task.<key>=<values>"
            )
        found = {}
        for run, rows in self.table.groupby("run"):
            values, trained = rows[self.keys[0]], self.trained[int(str(run))]
            beyond = rows[
                (values > (-math.inf if trained is None else trained)) & (values <= LONGEST)
            ]
            if len(beyond):
                accuracy, chance = (
                    float(beyond["test/accuracy"].mean()),
                    float(beyond["chance"].mean()),
                )
                scaled = max(0.0, (accuracy - chance) / (1 - chance))
                ordered = rows.sort_values(self.keys[0])
                wrong = ordered[ordered["test/accuracy"] < SOLVED][self.keys[0]]
                right = values[values < wrong.min()] if len(wrong) else values
                reach = float(right.max()) if len(right) else math.nan
                found[int(str(run))] = Score(accuracy, scaled, reach)
        return found

    def scored(self) -> Iterator[dict[str, Any]]:
        """Of each group the mean score over its runs, with its 95% interval, and the median reach.

        A run that is right at no length reaches less than any.
        """
        scores = self.scores()
        for label, rows in self.groups():
            own = [scores[run] for run in rows["run"].unique() if run in scores]
            if own:
                mean, low, high = interval([one.accuracy for one in own])
                reach = statistics.median_low(
                    -math.inf if math.isnan(one.reach) else one.reach for one in own
                )
                yield {
                    "group": label,
                    "runs": len(own),
                    "score": mean,
                    "low": low,
                    "high": high,
                    "scaled": float(np.mean([one.scaled for one in own])),
                    "solved": sum(one.accuracy >= SOLVED for one in own),
                    "reach": reach if math.isfinite(reach) else None,
                }

    def figure(self) -> Figure:
        """A curve over one number; a map where there are more than a few groups, or two keys."""
        share = self.metric == "test/accuracy"
        groups = [*self.groups()]
        values = self.table[self.keys[0]]
        numeric = len(self.keys) == 1 and pd.api.types.is_numeric_dtype(values.dtype)
        if numeric and values.notna().all() and len(groups) <= 7:
            lines = {}
            for label, rows in groups:
                ends = np.array(
                    [
                        average(cell.tolist(), self.metric)
                        for _, cell in rows.groupby(self.keys[0])[self.metric]
                    ]
                )
                known = [self.trained[run] for run in rows["run"].unique()]
                trained = None if None in known else max(float(one or 0) for one in known)
                lines[label] = Line(np.sort(rows[self.keys[0]].unique()), ends, trained)
            none = self.table.groupby(self.keys[0])["chance"].mean()
            chance = (none.index.to_numpy(), none.to_numpy()) if share else None
            return generalisation(lines, _short(self.keys[0]), self.name, chance)
        rows, names = ["group"], [label or "one run" for label, _ in groups]
        columns = self.keys
        if len(groups) == 1 and len(self.keys) > 1:
            rows, columns = self.keys[:1], self.keys[1:]
        cells = self.table.groupby([*rows, *columns], sort=False, dropna=False)[self.metric]
        means = cells.apply(lambda cell: average(cell.tolist(), self.metric)[0])
        table = means.unstack(columns, sort=False)
        if rows == ["group"]:
            table = table.reindex(self._order)  # their names are in this order
        else:
            names = [number(plain(one)) for one in table.index]
        told = [
            ", ".join(number(plain(v)) for v in (one if isinstance(one, tuple) else (one,)))
            for one in table.columns
        ]
        return heat_map(
            table.to_numpy(),
            (_short(rows[0]) if rows != ["group"] else "trained with", names),
            (", ".join(map(_short, columns)), told),
            self.name,
            limits=(0.0, 1.0) if share else None,
        )

    def write(self, folder: Path, scored: bool) -> None:
        """Write `evaluation.csv`, `.json`, `.svg`, `.pdf` and `.png` into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.table.to_csv(folder / "evaluation.csv", index=False)
        every = self.table.astype(object).where(self.table.notna(), None).to_dict("records")
        scores = {"scores": [*self.scored()]} if scored else {}
        store(folder / "evaluation.json", [*self.cells()], metric=self.metric, **scores, each=every)
        files(self.figure(), folder / "evaluation")


def _cell(value: Any) -> Any:
    """A value that can be grouped by."""
    return str(value) if isinstance(value, list | dict) else value


def _short(key: str) -> str:
    return key.removeprefix("task.")
