"""One number of every run, its mean and interval over seeds, by keys along rows and columns."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from seq2seq.analysis.intervals import average, is_share, median, share
from seq2seq.analysis.report.comparison import bracketed
from seq2seq.analysis.report.sweep import Sweep, plain
from seq2seq.analysis.report.tables import Table, shown
from seq2seq.errors import ConfigError, nearest
from seq2seq.runs import natural, short

#: Of some keys, one each.
Values = tuple[Any, ...]

#: Results of a run that are no numbers to take a mean of.
NO_METRICS = ("error", "folder", "status", "success/metric", "plateau/level", "plateau/censored")

#: How the number of a cell is taken from its runs.
MEANS = {
    "success": "shares of runs that reached their target, with Clopper and Pearson's intervals",
    "success/step": "medians of the steps to success, lower bounds (≥) where the median run ended "
    "without one, with intervals between order statistics (to ∞ where these ended so)",
    "plateau/length": "geometric means of the steps on the plateau, lower bounds (≥) where some "
    "runs had not left it",
}
SHARES = "arithmetic means, with Student's intervals"
OTHERS = "geometric means (arithmetic where a value is not positive), with Student's intervals"


@dataclass(frozen=True)
class Cell:
    """What the runs of one setting say of a metric.

    Attributes:
        value, low, high: the estimate and the ends of its 95% interval; `high` is infinite where
            the run that it stands for ended before its success.
        runs: those of the setting.
        n: those of them that have the metric.
        censored: whether the value is a lower bound, as runs ended before what was waited for.
    """

    value: float
    low: float
    high: float
    runs: int
    n: int
    censored: bool = False

    @property
    def text(self) -> str:
        """As a table has it."""
        if self.censored:
            return f"≥ {shown(self.value)}"
        return bracketed((self.value, self.low, self.high)).replace("inf", "∞")

    def plain(self) -> dict[str, Any]:
        """As JSON has it: None for what is infinite."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        finite = {key: end if math.isfinite(end) else None for key, end in ends.items()}
        return finite | {"n": self.n, "runs": self.runs, "censored": self.censored}


@dataclass(frozen=True)
class Pivot:
    """A table of cells: values of the keys along its rows and along its columns.

    Attributes:
        metric: whose numbers the cells hold.
        rows, columns: the keys; of no column key there is one column.
        cells: by the values of the row keys and of the column keys; what no run has is not there.
    """

    metric: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Mapping[tuple[Values, Values], Cell]

    @cached_property
    def _names(self) -> dict[str, str]:
        return short([*self.rows, *self.columns])

    @property
    def table(self) -> Table:
        """As text; cells that no run has are empty, and counts are told where they differ."""
        counts = {cell.n for cell in self.cells.values()}
        tops = _ordered(top for _, top in self.cells)
        lines = []
        for side in _ordered(side for side, _ in self.cells):
            found = [self.cells.get((side, top)) for top in tops]
            texts = [
                "" if one is None else one.text + f" ({one.n})" * (len(counts) > 1) for one in found
            ]
            lines.append((*map(shown, side), *texts))
        number = f"{counts.pop()} per cell" if len(counts) == 1 else "their number in parentheses"
        usual = SHARES if is_share(self.metric) else OTHERS
        return Table(
            self.metric.replace("/", "-"),
            f"{self.metric}: {MEANS.get(self.metric, usual)}, of 95%; runs: {number}.",
            (*(self._names[key] for key in self.rows), *(self._head(top) for top in tops)),
            lines,
        )

    def plain(self) -> list[dict[str, Any]]:
        """A row of JSON for every cell."""
        keys = (*self.rows, *self.columns)
        return [
            {key: plain(value) for key, value in zip(keys, (*side, *top), strict=True)}
            | cell.plain()
            for (side, top), cell in self.cells.items()
        ]

    def _head(self, top: tuple[Any, ...]) -> str:
        """What stands above a column: a choice by itself, a number with the name of its key."""
        if not top:
            return self.metric
        parts = (
            value if isinstance(value, str) else f"{self._names[key]} = {shown(value)}"
            for key, value in zip(self.columns, top, strict=True)
            if value is not None  # a key that these runs do not have
        )
        return ", ".join(parts) or "none"


def pivot(
    folders: Sequence[str | Path],
    rows: Sequence[str],
    columns: Sequence[str],
    metric: str,
    allow: Sequence[str] = (),
) -> Pivot:
    """The cells of one metric over the runs below some folders.

    Args:
        folders: each holds run folders.
        rows, columns: dotted keys of the config, `model` or `task.k`, that tell cells apart.
        metric: a number of every run: a key of `result.json`, or `plateau/length`.
        allow: as in `Run`.

    Raises:
        ConfigError: a key or metric that no run has, or one that stands twice.
        ValueError: a folder without runs.
    """
    keys = (*rows, *columns)
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise ConfigError(f"{twice} stands twice in rows and columns; leave out one")
    sweeps = [Sweep(folder, allow) for folder in folders]
    _check(sweeps, keys, metric)
    found: dict[tuple[Any, ...], Cell] = {}
    frames = [_frame(sweep, keys, metric) for sweep in sweeps]
    table = pd.concat(frames, ignore_index=True)
    for values, part in table.groupby(list(keys), sort=False, dropna=False):
        named = tuple(None if pd.isna(value) else plain(value) for value in values)
        if cell := _cell(part, metric):
            found[named[: len(rows)], named[len(rows) :]] = cell
    if not found:
        raise ConfigError(f"no run has {metric} yet; give another metric")
    sides, tops = (_ordered(key[part] for key in found) for part in (0, 1))
    ordered = {key: found[key] for key in itertools.product(sides, tops) if key in found}
    return Pivot(metric, rows, columns, ordered)


def _check(sweeps: Sequence[Sweep], keys: Sequence[str], metric: str) -> None:
    """Refuse keys and metrics that no run has."""
    known = {key for sweep in sweeps for key in sweep.config_keys}
    for key in keys:
        if key not in known:
            raise ConfigError(f"no run has a key {key}{nearest(key, known)}")
    results = {name for sweep in sweeps for name in sweep.table} - {*known, *NO_METRICS}
    if metric == "plateau/length" and any(sweep.event == "success" for sweep in sweeps):
        raise ConfigError(
            "runs with a target are told by their steps to success and not by plateaus; give "
            "success/step"
        )
    if metric not in results:
        raise ConfigError(f"no run has a metric {metric}{nearest(metric, results)}")


def _frame(sweep: Sweep, keys: Sequence[str], metric: str) -> pd.DataFrame:
    """The keys and the metric of each run, its steps, and whether its plateau is censored."""
    told = (metric, "success", "steps", "plateau/censored")
    frame = pd.DataFrame({key: sweep.column(key) for key in keys})
    return frame.assign(**{name: sweep.table[name] for name in told if name in sweep.table})


def _cell(rows: pd.DataFrame, metric: str) -> Cell | None:
    """The estimate from the runs of one setting; None if none of them has the metric."""
    if metric == "success/step":
        return _steps(rows)
    values, censored = pd.to_numeric(rows[metric], errors="coerce"), False
    if metric == "plateau/length":
        values = values[values > 0]
        censored = bool(rows["plateau/censored"][values.index].astype(bool).any())
    known = values.dropna().tolist()
    if not known:
        return None
    if metric == "success":
        estimate = share(sum(map(bool, known)), len(known))
    else:
        estimate = average(known, metric)
    return Cell(*estimate, len(rows), len(known), censored)


def _steps(rows: pd.DataFrame) -> Cell | None:
    """The median of the steps to success; where the median run had none, of those that runs took.

    As each run's own steps are at most those to its success, the median of the one bounds that of
    the other from below.
    """
    asked = rows[rows["success"].notna()]
    if asked.empty:
        return None
    reached = pd.to_numeric(asked["success/step"], errors="coerce")
    value, low, high = median(reached.fillna(math.inf).tolist())
    censored = not math.isfinite(value)
    if censored:
        value, low, _ = median(reached.fillna(asked["steps"]).tolist())
    return Cell(value, low, high, len(rows), len(asked), censored)


def _ordered(values: Iterable[Values]) -> list[Values]:
    """Each once, numbers by size before texts."""
    return sorted(dict.fromkeys(values), key=lambda parts: [*map(_order, parts)])


def _order(value: Any) -> tuple[bool, float, list[Any]]:
    is_number = isinstance(value, int | float)
    return not is_number, float(value) if is_number else 0.0, natural(str(value))
