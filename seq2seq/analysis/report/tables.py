"""The tables of a report, for its page and for a paper."""

import html
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from seq2seq.analysis import laws, memory
from seq2seq.analysis.figures import number
from seq2seq.analysis.intervals import interval, log_interval, share
from seq2seq.analysis.report.comparison import Comparison, bracketed
from seq2seq.analysis.report.growth import Growth
from seq2seq.analysis.report.search import Found
from seq2seq.analysis.report.sweep import Sweep, arrays, plain, timed
from seq2seq.analysis.report.unsolved import Unsolved
from seq2seq.analysis.report.verdict import SAID, Verdict
from seq2seq.runs import Run

#: What LaTeX writes in its own way.
LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "τ": r"$\tau$",
    "σ": r"$\sigma$",
    "ε": r"$\varepsilon$",
    "Δ": r"$\Delta$",
    "ω": r"$\omega$",
    "≥": r"$\geq$",
    "−": "$-$",
    "·": r"$\cdot$",
    "∞": r"$\infty$",
    "⁰": "$^0$",
    "¹": "$^1$",
    ">": r"\textgreater{}",
    "<": r"\textless{}",
}


@dataclass(frozen=True)
class Table:
    """A table: its name, what stands above it, its columns and its rows of text."""

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def latex(self) -> str:
        """As a paper has it, with the rules of the package booktabs."""
        lines = [" & ".join(map(_latex, row)) + r" \\" for row in (self.columns, *self.rows)]
        others = (r"p{.5\linewidth}" if column == "why" else "r" for column in self.columns[1:])
        return "\n".join(
            [
                r"\begin{table}",
                r"\centering",
                rf"\caption{{{_latex(self.caption)}}}",
                rf"\label{{tab:{self.name}}}",
                rf"\begin{{tabular}}{{l{''.join(others)}}}",
                r"\toprule",
                lines[0],
                r"\midrule",
                *lines[1:],
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
            ]
        )

    @property
    def markdown(self) -> str:
        """As pages of Markdown have it, in columns of equal width, without its caption."""
        texts = [[cell.replace("|", r"\|") for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(3, *map(len, column)) for column in zip(*texts, strict=True)]
        texts.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
        lines = (
            " | ".join(
                f"{cell:<{width}}" if index == 0 else f"{cell:>{width}}"
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in texts
        )
        return "\n".join(f"| {line} |" for line in lines)


def _latex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)


def shown(value: Any) -> str:
    """A value as a cell has it; empty where there is none."""
    return (
        ""
        if value is None or (not isinstance(value, str) and pd.isna(value))
        else number(plain(value))
    )


def tables(
    sweep: Sweep,
    found: Sequence[Verdict],
    fits: Sequence[Growth],
    compared: Sequence[Comparison],
    searched: Found | None,
    failing: Iterable[Unsolved],
) -> Iterator[Table]:
    """The tables that the sweep has something for, but that of all runs."""
    if found:
        yield conditions(found)
    if any(fit.laws for fit in fits):
        yield laws_of_growth(sweep, fits)
    if searched is not None:
        yield keys_searched(searched)
    elif compared:
        yield from contenders(compared)
    if searched is None and (len(sweep.timed) or not compared):
        yield settings(sweep)
    if cells := [*failing]:
        yield existences(cells)


def conditions(found: Sequence[Verdict]) -> Table:
    """What would refute the claim, and whether it holds."""
    rows = [
        (
            one.condition,
            one.estimate.setting or "all runs",
            one.estimate.text,
            str(one.estimate.n),
            "depends" if len({*one.by_drop.values()}) > 1 else SAID[one.holds],
        )
        for verdict in found
        for one in verdict.findings
    ]
    return Table(
        "criterion",
        "What would refute the claim, with the 95% interval of each quantity over n runs.",
        ("it would be refuted if", "of", "found", "n", "holds"),
        rows,
    )


def laws_of_growth(sweep: Sweep, fits: Sequence[Growth]) -> Table:
    """The fitted laws of each group."""
    rows = []
    for fit in fits:
        if fit.laws is None:
            continue
        law, power = fit.laws.exponential, fit.laws.power
        rows.append(
            (
                fit.group or "all runs",
                f"{fit.escaped} + {fit.censored}",
                bracketed((law.b, *law.interval_b)),
                bracketed((power.b, *power.interval_b)),
                f"{law.sigma:.2g} / {power.sigma:.2g}",
                f"{fit.laws.difference:+.2f}",
                fit.laws.verdict if fit.laws.resolved else "no growth resolved",
            )
        )
    return Table(
        "laws",
        "Laws of growth, log τ = a + b·k + σε (exponential) and log τ = a + b·log k + σε (power), "
        "with 95% intervals from a bootstrap over seeds. ΔAIC: power less exponential; the laws "
        f"are told apart from {laws.DECISIVE:.0f} on.",
        (
            "runs",
            "escaped + censored",
            f"b, exponential (per unit of {sweep.memory_word})",
            "b, power (exponent)",
            "σ, exponential / power",
            "ΔAIC",
            "verdict",
        ),
        rows,
    )


def contenders(compared: Sequence[Comparison]) -> Iterator[Table]:
    """Every setting beside the best, of each task."""
    metric, relative = compared[0].metric, compared[0].relative
    posed = any(one.task for one in compared)
    rows = [
        (
            *([one.task] if posed else []),
            contender.label,
            str(contender.seeds),
            bracketed(contender.error),
            "" if rank == 0 else bracketed(contender.apart),
            shown(contender.p),
            *(shown(cost) for cost in (contender.parameters, contender.steps, contender.seconds)),
        )
        for one in compared
        for rank, contender in enumerate(one.contenders)
    ]
    mean = "geometric means" if relative else "means"
    yield Table(
        "comparison",
        f"The {metric} at the end of training, the best first: {mean} over n seeds with 95% "
        f"intervals (Student's t), {'ratio to' if relative else 'difference from'} the best, p of "
        f"the {compared[0].test} against it, adjusted after Holm; parameters, and steps and "
        "seconds of a run.",
        (
            *(["task"] if posed else []),
            "setting",
            "n",
            metric,
            "times the best" if relative else "above the best",
            "p",
            "parameters",
            "steps",
            "seconds",
        ),
        rows,
    )


def keys_searched(searched: Found) -> Table:
    """Where the best runs lie along each key."""
    rows = [
        (
            key.name,
            shown(key.best),
            shown(key.low) + f" to {shown(key.high)}" * (key.low < key.high),
            "" if math.isnan(key.spread) else f"{key.spread:.0%}",
        )
        for key in searched.keys
    ]
    return Table(
        "search",
        f"The keys that were searched, over {len(searched.rows)} runs. Where a key matters, the "
        "best quarter of the runs keeps to a small share of the values that were tried.",
        ("key", "best", "best quarter of the runs", "share of the range"),
        rows,
    )


def settings(sweep: Sweep) -> Table:
    """What came out of each setting."""
    rows, some, aims = [], len(sweep.timed) > 0, sweep.succeeded(sweep.table)[1] > 0
    for label, cell in sweep.cells():
        seen = timed(cell)
        censored = int(seen["plateau/censored"].astype(bool).sum())
        plateau = []
        if some:
            length = ""
            if len(seen):
                mean, low, high = log_interval(seen["plateau/length"].tolist())
                # Of lower bounds the mean is one too, and no interval is known.
                length = f"≥ {number(mean)}" if censored else bracketed((mean, low, high))
                length += f" ({len(seen)})" * (len(seen) < len(cell))
            plateau = [length, str(censored)]
        success = []
        if aims:
            k, n = sweep.succeeded(cell)
            success = [bracketed(share(k, n)) if n else ""]
        error = ""
        if sweep.metric in cell and cell[sweep.metric].notna().any():
            errors = cell[sweep.metric].dropna()
            error = bracketed((log_interval if (errors > 0).all() else interval)(errors.tolist()))
        rows.append((label or "all runs", str(len(cell)), *success, *plateau, error))
    what = {
        "plateau": "Lengths τ of the plateau in steps",
        "success": "Steps τ to the first success",
    }
    lengths = (
        f" {what[sweep.event]}; lower bounds (≥) where some runs are censored; in parentheses of "
        "how many runs, where not all have one."
    )
    shares = " Shares of runs that reached their target, with Clopper and Pearson's intervals."
    return Table(
        "settings",
        "Geometric means over seeds with 95% intervals (Student's t)."
        + lengths * some
        + shares * aims,
        (
            *("setting", "runs"),
            *(("success",) if aims else ()),
            *(("τ", "censored") if some else ()),
            sweep.metric_name,
        ),
        rows,
    )


def existences(cells: Sequence[Unsolved]) -> Table:
    """Whether a solution exists where runs failed."""
    return Table(
        "unsolved",
        "Where runs missed their target, or stayed on their plateau: whether a model of that "
        "shape could have done it. "
        "Impossible: a bound excludes it. Exists but was not found: weights are known that do. "
        "Exists, and not every run found it: others of these runs did. "
        "Statements on unbounded length decide nothing for the lengths of these runs.",
        ("setting", "solved", "a solution", "why"),
        [
            (one.label or "all runs", f"{one.solved} of {one.runs}", one.word, sentence)
            for one in cells
            for sentence in [one.existence.sentence]
        ],
    )


def every_run(sweep: Sweep) -> Table:
    """One row for each run, without the columns that would be empty."""
    some = len(sweep.timed) > 0
    rows = [_run(sweep, index, some) for index in range(len(sweep.runs))]
    columns = (
        *(sweep.label(key).partition(" (")[0].replace("$", "") for key in sweep.keys),
        "seed",
        "status",
        "steps",
        *(["τ"] if some else []),
        sweep.metric_name,
        "effective memory (taps)",
        "used memory (lags)",
        "seconds",
        "folder",
    )
    kept = [
        index
        for index in range(len(columns))
        if index == len(columns) - 1 or any(row[index] for row in rows)
    ]
    memories = any("memory (" in columns[index] for index in kept)
    caption = (
        "Effective memory: the best linear predictor from that many inputs has the test loss; "
        "empty where several have it. Used memory: the lags that hold 99% of the energy of the "
        "impulse response."
    )
    return Table(
        "runs",
        caption * memories,
        [columns[index] for index in kept],
        [[row[index] for index in kept] for row in rows],
    )


def _run(sweep: Sweep, index: int, some: bool) -> list[str]:
    row = sweep.table.iloc[index]
    seconds = row.get("seconds", np.nan)
    length = ""
    if row["plateau/length"] > 0:
        length = ">" * bool(row["plateau/censored"]) + f"{row['plateau/length']:,.0f}"
    return [
        *(shown(row[key]) for key in sweep.keys),
        str(row["seed"]),
        str(row["status"]),
        shown(row.get("steps", np.nan)),
        *([length] if some else []),
        shown(row.get(sweep.metric, np.nan)),
        *_memories(sweep.runs[index]),
        "" if pd.isna(seconds) else f"{seconds:.1f}",
        sweep.runs[index].name,
    ]


def _memories(run: Run) -> tuple[str, str]:
    """Effective memory in taps, as the interval it lies in, and the lags that are used."""
    bracket, stored = memory.effective(run.result), arrays(run, "kernel.npz")
    effective = ""
    if bracket is not None:
        low, high = (f"{end:.0f}" for end in bracket)
        effective = f"above {low}" if math.isinf(bracket[1]) else f"{low} to {high}"
        effective = "none" if bracket[0] < 0 else effective
    used = "" if stored is None else str(memory.used(memory.impulse_profile(stored["learned"])))
    return effective, used


def failures(sweep: Sweep) -> list[tuple[str, str, str]]:
    """The runs that did not finish or cannot be read, with their status and the reason."""
    reasons = {
        "diverged": "the loss became infinite or 10,000 times the first",
        "stopped": "interrupted; the same command continues it",
        "killed": "ended without a word; the same command continues it",
        "running": "is being trained",
    }
    return [*sweep.unreadable] + [
        (
            run.name,
            "pruned" if run.result.get("pruned") else run.status,
            html.unescape(run.result.get("error") or reasons.get(run.status, ""))
            if not run.result.get("pruned")
            else "ended by the search, as earlier runs were better by then",
        )
        for run in sweep.runs
        if run.status != "finished"
    ]
