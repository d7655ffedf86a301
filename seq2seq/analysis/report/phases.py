"""The share of runs that succeed over a memory and a size, its law, and what times say of it."""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from seq2seq.analysis import phases
from seq2seq.analysis.figures import number
from seq2seq.analysis.phases import Agreement, Success
from seq2seq.analysis.report.sweep import Sweep, plain, split
from seq2seq.runs import FINAL

#: Fewest memories and sizes that make a diagram.
FEWEST = 3, 2

#: The value and the interval of what cannot be estimated.
UNKNOWN = math.nan, math.nan, math.nan


@dataclass(frozen=True)
class Phase:
    """The runs of one setting over a memory and a size.

    Attributes:
        group: the setting.
        memory, size: the keys.
        rows: of the table, those of runs that have ended.
        law: of their success; None where there is none, for the `reason`.
        times: the contour by the law of the times to success; None where there is none.
    """

    group: str
    memory: str
    size: str
    rows: "pd.DataFrame" = field(repr=False)
    law: Success | None = None
    times: Agreement | None = None
    reason: str = ""

    @property
    def sizes(self) -> list[float]:
        """The sizes that runs have."""
        return sorted(self.rows[self.size].astype(float).unique())

    @property
    def cells(self) -> "pd.DataFrame":
        """Successes and runs of each memory and size."""
        found = self.rows.groupby([self.memory, self.size])["success"]
        return found.agg(successes="sum", runs="size").astype(int).reset_index()

    def sentence(self, sweep: Sweep) -> str:
        """What half of the runs learn, and whether the times agree."""
        subject = f"{self.group}: " if self.group else ""
        if self.law is None:
            return f"{subject}success has no law ({self.reason})."
        size, ends = sweep.label(self.size), [self.sizes[0], self.sizes[-1]]
        at, (lows, highs) = self.law.contour(ends), self.law.interval(ends)
        told = [
            f"{k:.3g} (95% interval {least:.3g} to {most:.3g})"
            for k, least, most in zip(at, lows, highs, strict=True)
        ]
        slope = self.law.b / self.law.c
        grows = (
            f"like {size} to the power of {slope:.2g}"
            if self.law.kind == "power"
            else f"by {slope * math.log(2):.2g} with each doubling of {size}"
        )
        said = (
            f"{subject}half of the runs succeed at {sweep.memory_word} {told[0]} for {size} "
            f"{number(plain(ends[0]))}, {told[1]} for {number(plain(ends[1]))}; it grows {grows} "
            f"({self.law.runs} runs, {self.law.seeds} seeds). "
        )
        if self.times is None:
            return f"{said}Times to success give no contour beside it ({self.reason})."
        mean, low, high = self.times.mean
        beyond = f"{number(abs(mean))} {'further' if mean >= 0 else 'lower'}"
        return (
            f"{said}The {self.times.kind} law of the times to success puts this {beyond} on the "
            f"mean over {size} (95% interval of the difference {low:.2g} to {high:.2g}): "
            f"the two {'agree' if self.times.holds else 'disagree'}."
        )

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        told: dict[str, Any] = {"group": self.group, "memory": self.memory, "size": self.size}
        if self.law is None:
            return told | {"reason": self.reason}
        law, sizes = self.law, np.array(self.sizes)
        at, (low, high) = law.contour(sizes), law.interval(sizes)
        told |= {
            "law": law.kind,
            "runs": law.runs,
            "seeds": law.seeds,
            **{name: getattr(law, name) for name in ("a", "b", "c")},
            **{
                f"interval_{name}": [*map(_finite, getattr(law, f"interval_{name}"))]
                for name in "abc"
            },
            "contour": _rows(("size", "memory", "low", "high"), sizes, at, low, high),
        }
        if self.times is None:
            return told | {"reason": self.reason}
        one = self.times
        names = ("size", "memory", "low", "high", "difference", "difference_low", "difference_high")
        columns = (one.sizes, one.contour, *one.interval.T, *one.difference.T)
        told["times"] = _rows(names, *columns)
        told["difference"] = dict(zip(("mean", "low", "high"), map(_finite, one.mean), strict=True))
        return told | {"law_of_times": one.kind, "budget": one.budget, "agree": one.holds}


@functools.lru_cache(maxsize=8)
def read(sweep: Sweep) -> list[Phase]:
    """One for each setting of a sweep whose runs have targets over a memory and a size."""
    axes = _axes(sweep)
    if axes is None:
        return []
    told = [key for key in sweep.keys if key not in axes]
    return [
        _read(sweep, label, *axes, rows)
        for label, rows in split(_ended(sweep), told)
        if all(rows[key].nunique() >= least for key, least in zip(axes, FEWEST, strict=True))
    ]


def _ended(sweep: Sweep) -> "pd.DataFrame":
    """The runs of which it is known whether they succeeded."""
    if "success" not in sweep.table:  # no run has ended
        return sweep.table.iloc[:0]
    ended = sweep.table[sweep.table["success"].notna() & sweep.table["status"].isin(FINAL)]
    return ended.assign(success=ended["success"].astype(bool))


def _axes(sweep: Sweep) -> tuple[str, str] | None:
    """The memory, and the first numeric key of the model that varies, or else of the task."""
    if sweep.memory is None or sweep.event != "success":
        return None
    numeric = [
        key
        for key in sweep.others
        if key.startswith(("model.", "task."))
        and sweep.is_numeric(key)
        and not pd.api.types.is_bool_dtype(sweep.table[key])
        and (sweep.table[[key, sweep.memory]].dropna() > 0).all(axis=None)
    ]
    first = sorted(numeric, key=lambda key: key.startswith("task."))
    return (sweep.memory, first[0]) if first else None


def _read(sweep: Sweep, label: str, memory: str, size: str, rows: "pd.DataFrame") -> Phase:
    k, w, success, seed = (rows[key].to_numpy() for key in (memory, size, "success", "seed"))
    try:
        law = phases.better(k, w, success, seed)
    except ValueError as error:
        return Phase(label, memory, size, rows, reason=str(error))
    configs = (sweep.runs[index].plain_config for index in rows.index)
    steps: set[Any] = {(one.get("trainer") or {}).get("max_steps") for one in configs}
    known = rows["plateau/length"].notna().to_numpy()  # one that diverged has no time
    tau, censored = rows["plateau/length"].to_numpy(float), rows["plateau/censored"].to_numpy()
    try:
        if len(steps) > 1 or None in steps:
            raise ValueError("runs had different numbers of steps")
        tau, censored = tau[known], censored[known].astype(bool)
        budget = float(steps.pop())
        times = phases.agreement(law, k[known], w[known], tau, censored, seed[known], budget)
    except ValueError as error:
        return Phase(label, memory, size, rows, law, reason=str(error))
    return Phase(label, memory, size, rows, law, times)


def estimates(
    sweep: Sweep, table: "pd.DataFrame", condition: Mapping[str, Any]
) -> Iterator[tuple[str, "pd.DataFrame", tuple[float, float, float], str]]:
    """The contour of each setting, the mean over its sizes, or by how much times put it further.

    Where a setting has none, NaN and the reason.
    """
    where, less = condition.get("where") or {}, condition.get("less") or {}
    every = [one for one in read(sweep) if one.rows.index.isin(table.index).any()]
    own, others = (
        [one for one in every if sweep.chosen(wanted).loc[one.rows.index].all()]
        for wanted in (where, {**where, **less})
    )
    for one in own:
        if condition["quantity"] == "contour/times":
            ends = one.times.mean if one.times else UNKNOWN
            yield one.group, one.rows, ends, one.reason
            continue
        for other in [o for o in others if _alike(one, o, sweep, less)] if less else [None]:
            both = [one, other] if other else [one]
            reason = next((phase.reason for phase in both if phase.law is None), "")
            ends = UNKNOWN
            if one.law and not reason:
                ends = phases.mean_contour(one.law, one.sizes, other.law if other else None)
            label = " less ".join(phase.group for phase in both)
            yield label, pd.concat([phase.rows for phase in both]), ends, reason
    told = {index for one in every for index in one.rows.index}
    left = [i for i in _ended(sweep).index if i not in told and i in table.index]
    few = table.loc[left][sweep.chosen(where).loc[left]]
    if len(few):
        reason = "a boundary needs {} memories and {} sizes of numbers".format(*FEWEST)
        yield "other settings", few, UNKNOWN, reason


def _alike(one: Phase, other: Phase, sweep: Sweep, less: Mapping[str, Any]) -> bool:
    """Whether two settings differ in the keys of `less` alone."""
    same = [key for key in sweep.keys if key not in (*less, one.memory, one.size)]
    return all(str(one.rows[key].iloc[0]) == str(other.rows[key].iloc[0]) for key in same)


def _rows(names: Sequence[str], *columns: Any) -> list[dict[str, float | None]]:
    return [
        dict(zip(names, (plain(_finite(value)) for value in row), strict=True))
        for row in zip(*columns, strict=True)
    ]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
