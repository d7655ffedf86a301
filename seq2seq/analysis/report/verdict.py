"""Whether the runs of a sweep refute its claim, by the conditions of `seq2seq.schema.criteria`."""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from seq2seq.analysis import laws
from seq2seq.analysis.figures import number
from seq2seq.analysis.intervals import average, share
from seq2seq.analysis.report import phases
from seq2seq.analysis.report.growth import Growth
from seq2seq.analysis.report.sweep import Sweep, arrays, split, spread
from seq2seq.theory.bounds import order_bound
from seq2seq.theory.exponentials import ROUNDING, best_exponential_sums

Answer = bool | None  # None: cannot be told
Word = Literal["supported", "refuted", "undecided"]

#: Answers in words.
SAID = {True: "yes", False: "no", None: "cannot be told"}

#: What each comparison says of an interval.
SAYS = {
    "above": "lies above {}",
    "below": "lies below {}",
    "contains": "contains {}",
    "excludes": "excludes {}",
    "reaches": "reaches {}",
    "law": "follows the {} law",
}

#: Settings whose numbers differ by at most this factor are `alike`.
ALIKE = 1.25


@dataclass(frozen=True)
class Estimate:
    """A quantity in one setting, with its 95% interval over `n` runs.

    Attributes:
        law: of a rate of growth, the law that AIC prefers.
        reason: why there is none.
        is_share: whether it is a share of the runs, whose `values` are 0 or 1.
        by_drop: of a rate of growth, what it is by the fall that counts as an escape.
        values: what the quantity is in each run; of growth, which is fitted to all, nothing.
        metric: whose values they are, where the mean is of these and not of ratios.
    """

    setting: str
    rows: "pd.DataFrame" = field(repr=False)
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    law: str = ""
    reason: str = ""
    by_drop: Mapping[float, "Estimate"] = field(default_factory=dict, repr=False)
    values: Sequence[float] = field(default=(), repr=False)
    is_share: bool = False
    metric: str = ""

    @classmethod
    def mean(
        cls, setting: str, rows: "pd.DataFrame", values: Sequence[float], metric: str = ""
    ) -> "Estimate":
        """Of the values in the runs of a setting: the mean that `intervals.average` takes."""
        ends = average(values, metric)
        return cls(setting, rows, *ends, len(values), values=values, metric=metric)

    @classmethod
    def of(cls, setting: str, rows: "pd.DataFrame", values: Sequence[float]) -> "Estimate":
        """Of values that are 0 or 1, the share of those that are 1."""
        ends = share(int(sum(values)), len(values))
        return cls(setting, rows, *ends, len(values), values=values, is_share=True)

    @property
    def text(self) -> str:
        """The value and its interval."""
        if math.isnan(self.value):
            return f"not known ({self.reason})"
        ends = f" [{number(self.low)}, {number(self.high)}]" if self.low < self.high else ""
        return number(self.value) + (ends if math.isfinite(self.low) else " [no interval]")


@dataclass(frozen=True)
class Finding:
    """A condition in one setting, and whether it holds there.

    Attributes:
        asked: the condition as data.
        by_drop: whether it does by the fall that counts as an escape; `holds` is what all say.
    """

    quantity: str
    comparison: str
    estimate: Estimate
    holds: Answer
    asked: Mapping[str, Any] = field(repr=False)
    by_drop: Mapping[float, Answer] = field(default_factory=dict)

    @property
    def condition(self) -> str:
        """The condition in words."""
        return f"{self.quantity} {self.comparison}"

    @property
    def said(self) -> str:
        """What was found, in words."""
        where = f" ({self.estimate.setting})" if self.estimate.setting else ""
        fact = f"{self.quantity}{where} is {self.estimate.text}"
        if len({*self.by_drop.values()}) > 1:
            told = ", ".join(
                f"{SAID[holds]} at {_range([drop for drop, _ in drops])}"
                for holds, drops in groupby(self.by_drop.items(), key=lambda item: item[1])
            )
            counts = "depends on the fall of the loss that counts as an escape"
            return f"{fact}, and whether it {self.comparison} {counts} ({told})"
        if self.holds is None and not math.isnan(self.estimate.value):
            return f"{fact}, and it cannot be told whether it {self.comparison}"
        fact += f", which {self.comparison}" if self.holds else ""
        if self.by_drop:
            fact += f" (and so if falls by {_range([*self.by_drop])} count as escapes)"
        return fact


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim; `rows` are those of the runs that state it.

    `others` state it otherwise, or by other criteria.
    """

    claim: str
    findings: list[Finding]
    rows: "pd.DataFrame" = field(repr=False)
    others: int = 0

    @property
    def word(self) -> Word:
        """The verdict."""
        return word([one.holds for one in self.findings])

    @property
    def sentence(self) -> str:
        """The verdict and what decided it; with the number of runs, where others state another."""
        if self.others:
            number = len(self.rows)
            return f"by the {number} run{'s' * (number > 1)} under this claim, {self._reason}"
        return self._reason

    @property
    def _reason(self) -> str:
        wanted = {"supported": False, "refuted": True, "undecided": None}[self.word]
        told = dict.fromkeys(one.said for one in self.findings if one.holds is wanted)
        facts = "; ".join([*told][:3]) + f"; and {len(told) - 3} more" * (len(told) > 3)
        if self.word == "supported":
            return f"nothing holds that would refute the claim: {facts}."
        return f"{facts or 'no run is of the settings that would decide'}."

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        findings = [
            {
                "condition": one.condition,
                "setting": one.estimate.setting,
                **{
                    key: value if math.isfinite(value) else None
                    for key in ("value", "low", "high")
                    for value in [getattr(one.estimate, key)]
                },
                "n": one.estimate.n,
                "holds": one.holds,
                "by_drop": {f"{drop:.2g}": holds for drop, holds in one.by_drop.items()},
            }
            for one in self.findings
        ]
        return {"claim": self.claim, "verdict": self.word, "conditions": findings}


def verdicts(sweep: Sweep, fits: Sequence[Growth]) -> list[Verdict]:
    """One for each claim that runs of the sweep state with a criterion."""
    stated: dict[str, tuple[list[int], list[Mapping[str, Any]]]] = {}
    for index, run in enumerate(sweep.runs):
        claim, conditions = run.plain_config.get("claim"), run.plain_config.get("refuted_if")
        if claim and conditions:
            stated.setdefault(f"{claim}{conditions}", ([], conditions))[0].append(index)
    found = []
    for indices, conditions in stated.values():
        table = sweep.table.loc[indices]
        every = [one for c in conditions for one in findings(sweep, table, fits, c)]
        claim, others = sweep.runs[indices[0]].plain_config["claim"], len(sweep.runs) - len(indices)
        found.append(Verdict(claim, every, table, others if len(stated) > 1 else 0))
    return found


def word(answers: Sequence[Answer]) -> Word:
    """The verdict by whether each condition holds that would refute the claim."""
    if any(answers):
        return "refuted"
    return "undecided" if None in answers or not answers else "supported"


def findings(
    sweep: Sweep, table: "pd.DataFrame", fits: Sequence[Growth], condition: Mapping[str, Any]
) -> Iterator[Finding]:
    """Whether a condition holds, in each setting among the rows of `table`."""
    name = condition["quantity"]
    asked = [key for key in SAYS if key in condition]
    words = _words(sweep, name)
    for key, relation in (("over", "relative to"), ("less", "less that of")):
        if key in condition:
            words += f" {relation} {_listed(condition[key])}"
    chosen = table[sweep.chosen(condition.get("where") or {}).loc[table.index]]
    if is_growth(condition):
        estimates = list(_growths_by_drop(sweep, table, fits, condition))
    elif name.partition("/")[0] == "contour":
        estimates = [
            Estimate(label, rows, *ends, len(rows), reason=reason)
            for label, rows, ends, reason in phases.estimates(sweep, table, condition)
        ]
    else:
        estimates = list(_estimates(sweep, table, chosen, condition))
    if condition.get("lowest"):
        estimates = sorted(estimates, key=lambda one: one.value)[:1]
    estimates += [
        Estimate("", chosen, reason=f"no run with {_listed({key: one})}")
        for key, wanted in (condition.get("where") or {}).items()
        if estimates and isinstance(wanted, list)
        for one in wanted
        if not sweep.chosen({key: [one]}).loc[table.index].any()
    ]
    if not estimates:
        where = _listed((condition.get("where") or {}) | (condition.get("over") or {}))
        estimates = [Estimate("", chosen, reason=f"no run with {where or name}")]
    for one in estimates:
        said = [SAYS[key].format(_shown(sweep, one, condition[key])) for key in asked]
        holds = answer(sweep, one, condition)
        by_drop = {drop: answer(sweep, at, condition) for drop, at in one.by_drop.items()}
        agreed = {*by_drop.values()} <= {holds}
        yield Finding(words, " and ".join(said), one, holds if agreed else None, condition, by_drop)


def is_growth(condition: Mapping[str, Any]) -> bool:
    """Whether a condition is about fitted rates of growth."""
    return str(condition["quantity"]).partition("/")[0] == "growth"


def answer(sweep: Sweep, one: Estimate, condition: Mapping[str, Any]) -> Answer:
    """Whether all that a condition says is true of an estimate."""
    answers = [_compare(sweep, one, key, condition[key]) for key in SAYS if key in condition]
    return False if False in answers else None if None in answers else True


def _shown(sweep: Sweep, one: Estimate, wanted: Any) -> str:
    """What a quantity is compared with, a key with its value."""
    if not isinstance(wanted, str):
        return number(wanted)
    value = _wanted(sweep, one, wanted)
    return wanted if math.isnan(value) else f"{_words(sweep, wanted)} ({number(value)})"


def _wanted(sweep: Sweep, one: Estimate, wanted: Any) -> float:
    if not isinstance(wanted, str):
        return float(wanted)
    return float(quantity(sweep, wanted).loc[one.rows.index].mean())


def _words(sweep: Sweep, name: str) -> str:
    if name.partition("/")[0] == "growth":
        growth = f"the growth of log τ per unit of {sweep.memory_word or 'memory'}"
        key = name.partition("/")[2]
        return f"the slope in log {sweep.label(key)} of {growth}" if key else growth
    if name.startswith("spread/"):
        return f"the spread of the best quarter of runs in {name.removeprefix('spread/')}"
    known = {
        "success": "the share of runs that succeed",
        "success/step": "the steps to success",
        "contour": f"the mean {sweep.memory_word or 'memory'} that half of the runs learn",
        "contour/times": "how much further the times to success put it",
        "plateau/length": "the length of the plateau",
        "resting": "the share of the steps spent on plateaus",
        "tolerated_noise": "the noise that is tolerated",
        "approximation": "the NMSE of the best sum of as many exponentials",
        "gap": "the factor of the test NMSE above the best sum of as many exponentials",
    }
    return known.get(name, name.replace("/nmse", " NMSE").replace("/loss", " loss"))


def _range(drops: Sequence[float]) -> str:
    return " to ".join(dict.fromkeys(f"{drop:.2g}" for drop in (drops[0], drops[-1])))


def _listed(where: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} = {' or '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in where.items()
    )


def _growths_by_drop(
    sweep: Sweep, table: "pd.DataFrame", fits: Sequence[Growth], condition: Mapping[str, Any]
) -> Iterator[Estimate]:
    """The rates of growth, each with what it is by the fall that counts as an escape."""
    drops = sorted({drop for fit in fits for drop in fit.by_drop})
    found = {
        drop: [*_growths(sweep, table, [fit.at(drop) for fit in fits], condition)] for drop in drops
    }
    for index, one in enumerate(_growths(sweep, table, fits, condition)):
        known = {drop: others[index] for drop, others in found.items()}
        yield replace(
            one, by_drop={drop: at for drop, at in known.items() if not math.isnan(at.value)}
        )


def _growths(
    sweep: Sweep, table: "pd.DataFrame", fits: Sequence[Growth], condition: Mapping[str, Any]
) -> Iterator[Estimate]:
    """Rates of growth, their differences (`less`), or their slopes in the logarithm of a key."""
    where, less = condition.get("where") or {}, condition.get("less") or {}
    key = condition["quantity"].partition("/")[2]
    first = {fit.rows.index[0]: fit for fit in fits if fit.rows.index.isin(table.index).any()}
    one_each = table.loc[[index for index in table.index if index in first]]
    own, others = (one_each[sweep.chosen(w).loc[one_each.index]] for w in (where, where | less))
    if key:
        same = [axis for axis in sweep.others if axis != key]
        for label, rows in split(own, same) if len(own) else ():
            x = np.log(sweep.column(key).loc[rows.index].to_numpy(float))
            x -= x.mean()
            if x.any():  # of one value alone there is no slope
                yield _combined(label, [first[index] for index in rows.index], x / (x @ x))
        return
    for index, row in own.iterrows():
        fit = first[index]
        if not less:
            yield _combined(fit.group, [fit], [1.0])
            continue
        same = _beside(sweep, less)
        for other in others.index[_equal(others, row, same)]:
            label = f"{fit.group} less {first[other].group}"
            yield _combined(label, [fit, first[other]], [1.0, -1.0])


def _combined(label: str, fits: Sequence[Growth], weights: ArrayLike) -> Estimate:
    """Σ w b of the rates b of exponential growth; of one alone, with the law that AIC prefers."""
    rows, n = pd.concat([fit.rows for fit in fits]), sum(fit.escaped + fit.censored for fit in fits)
    reasons = [fit.reason for fit in fits if fit.laws is None]
    if reasons:
        return Estimate(label, rows, n=n, reason=reasons[0])
    found = [fit.laws for fit in fits if fit.laws is not None]
    rate = laws.combined([one.exponential for one in found], weights)
    return Estimate(label, rows, *rate, n, found[0].verdict if len(found) == 1 else "")


def _beside(sweep: Sweep, told: Mapping[str, Any]) -> list[str]:
    """The axes of groups beside some keys, without what follows from these."""
    values = [sweep.column(key).map(str) for key in told]
    varied = [axis for axis in sweep.others if axis not in told]
    return [a for a in varied if sweep.table[a].map(str).groupby(values).nunique().max() > 1]


def _equal(table: "pd.DataFrame", row: "pd.Series[Any]", keys: Sequence[str]) -> "pd.Series[bool]":
    """Which rows have the same values of these keys, or none as well."""
    same = pd.Series(True, index=table.index)
    for key in keys:
        same &= (table[key] == row[key]) | (table[key].isna() & pd.isna(row[key]))
    return same


def _estimates(
    sweep: Sweep, table: "pd.DataFrame", chosen: "pd.DataFrame", condition: Mapping[str, Any]
) -> Iterator[Estimate]:
    values = quantity(sweep, condition["quantity"])
    if values.nunique() == 1 and condition["quantity"].startswith("spread/"):
        value = float(values.iloc[0])
        yield Estimate("", table, value, value, value, len(table))
        return
    over = condition.get("over")
    if over is not None:
        others = table[sweep.chosen({**(condition.get("where") or {}), **over}).loc[table.index]]
        chosen, values = _ratios(sweep, chosen, others, values, set(over), condition.get("alike"))
    for label, rows in sweep.cells(chosen):
        found = values.loc[rows.index].dropna()
        if found.empty:
            yield Estimate(label, rows, reason="no such run has ended with it")
            continue
        name = "" if over is not None else condition["quantity"]
        if name == "success":
            yield Estimate.of(label, rows, found.tolist())
        else:
            yield Estimate.mean(label, rows, found.tolist(), name)


def _ratios(
    sweep: Sweep,
    chosen: "pd.DataFrame",
    others: "pd.DataFrame",
    values: "pd.Series[float]",
    told: set[str],
    alike: str | None,
) -> tuple["pd.DataFrame", "pd.Series[float]"]:
    """The chosen runs that have a counterpart among the others, and their ratios to it."""
    keys = [key for key in sweep.keys if key not in told]
    if alike:
        keys = [key for key in keys if key.startswith("task")]
    ratios: dict[Any, float] = {}
    for index, row in chosen.iterrows():
        partners = others[_equal(others, row, ["seed", *keys])]
        if alike and len(partners):
            apart = np.log(
                quantity(sweep, alike).loc[partners.index] / row.get(alike, math.nan)
            ).abs()
            partners = partners.loc[[apart.idxmin()]] if apart.min() <= math.log(ALIKE) else []
        if len(partners):
            ratios[index] = values[index] / values[partners.index[0]]
    return chosen.loc[[*ratios]], pd.Series(ratios, dtype=float)


@functools.lru_cache(maxsize=64)  # the power of a design asks for it in every simulated sweep
def quantity(sweep: Sweep, name: str) -> "pd.Series[float]":
    """A number of every run; missing where a run has none."""
    final = sweep.table["status"] == "finished"
    if name == "resting":
        return sweep.resting.where(final)
    if name == "tolerated_noise":
        return sweep.tolerated.where(final)
    if name in ("approximation", "gap"):
        least = pd.Series([approximation(sweep, index) for index in sweep.table.index])
        return least if name == "approximation" else quantity(sweep, "test/nmse") / least
    if name == "order_bound":
        return pd.Series([_order_bound(sweep, index) for index in sweep.table.index])
    if name.startswith("spread/"):
        key = name.removeprefix("spread/")
        return pd.Series(spread(sweep, key), sweep.table.index, dtype=float)
    return pd.to_numeric(sweep.column(name), errors="coerce")


def _order_bound(sweep: Sweep, index: int) -> float:
    stored, states = arrays(sweep.runs[index], "kernel.npz"), sweep.column("state_size")[index]
    if stored is None or pd.isna(states) or not stored["true"].any():
        return math.nan
    true = stored["true"]
    weights = 1 - np.arange(len(true)) / len(true)  # of the loss averaged over the horizon
    return order_bound(true, int(states), weights) / float(weights @ true**2)


def approximation(sweep: Sweep, index: int) -> float:
    """The NMSE of the best sum found of as many real exponentials as a run has states."""
    stored, states = arrays(sweep.runs[index], "kernel.npz"), sweep.column("state_size")[index]
    if stored is None or pd.isna(states) or not stored["true"].any():
        return math.nan
    most = int(sweep.column("state_size").max())
    return _least(stored["true"].tobytes(), most)[int(states)]


@functools.lru_cache
def _least(kernel: bytes, order: int) -> list[float]:
    """The NMSE of the best sums found of 0 … `order` exponentials, over the horizon's average."""
    true = np.frombuffer(kernel)
    sums = best_exponential_sums(true, order, 1 - np.arange(len(true)) / len(true))
    return [max(one.error / sums[0].error, ROUNDING) for one in sums]


def _compare(sweep: Sweep, one: Estimate, comparison: str, wanted: Any) -> Answer:
    if math.isnan(one.value):
        return None
    if comparison == "law":
        return None if one.law == "cannot tell" else one.law == wanted
    value = _wanted(sweep, one, wanted)
    if math.isnan(value):
        return None
    if comparison == "above":
        return True if one.low > value else False if one.high <= value else None
    if comparison == "below":
        return True if one.high < value else False if one.low >= value else None
    if not (math.isfinite(one.low) and one.low < one.high):
        return None
    if comparison == "reaches":
        return one.high >= value
    return (one.low <= value <= one.high) == (comparison == "contains")
