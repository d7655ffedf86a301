"""The page: the figures, and what stands beside them, as one HTML file that asks for nothing."""

import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment

from seq2seq.analysis import laws, memory
from seq2seq.analysis.figures import number, png, svg
from seq2seq.analysis.intervals import interval, log_interval
from seq2seq.analysis.report import numbers
from seq2seq.analysis.report.growth import Growth, growth
from seq2seq.analysis.report.panels import figures
from seq2seq.analysis.report.sweep import Sweep, arrays, plain, timed
from seq2seq.runs import Run


def report(root: str | Path, allow: Sequence[str] = (), json: Path | None = None) -> Path:
    """Write `report.html` and `figures/*.svg|png` into `root`; returns the page.

    Figures of an earlier report that this one has no longer are removed.

    Args:
        root: the folder of the sweep.
        allow: packages outside the project whose classes the runs' configs may name.
        json: a file for the numbers of the page's tables.

    Raises:
        ValueError: no runs below `root`.
    """
    sweep = Sweep(root, allow)
    fits = growth(sweep)
    numbers.write(json, sweep, fits)
    folder = sweep.root / "figures"
    folder.mkdir(exist_ok=True)
    panels = []
    for panel in figures(sweep, fits):
        drawing = svg(panel.figure)
        (folder / f"{panel.name}.svg").write_text(drawing, encoding="utf-8")
        panel.figure.set_layout_engine("none")  # as it has been laid out
        png(panel.figure, folder / f"{panel.name}.png")
        inline = drawing[drawing.index("<svg") :]  # an XML prologue has no place in a page
        panels.append({"name": panel.name, "caption": panel.caption, "svg": inline})
    drawn = {panel["name"] for panel in panels}
    for old in [*folder.glob("*.svg"), *folder.glob("*.png")]:
        if old.stem not in drawn:
            old.unlink()  # of an earlier state of the sweep
    page = sweep.root / "report.html"
    template = Path(__file__).with_name("report.html.jinja").read_text(encoding="utf-8")
    text = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)
    page.write_text(text.render(content(sweep, fits), panels=panels), encoding="utf-8")
    return page


def content(sweep: Sweep, fits: Sequence[Growth]) -> dict[str, Any]:
    """What the page says beside the figures."""
    config = sweep.runs[0].plain_config
    statuses = sweep.table["status"].value_counts()
    key = sweep.memory_word
    return {
        "title": config.get("name") or sweep.root.name,
        "claim": config.get("claim"),
        "summary": ", ".join(f"{count} {status}" for status, count in statuses.items())
        + f", {len(sweep.unreadable)} unreadable" * bool(sweep.unreadable),
        "seeds": sweep.table["seed"].nunique(),
        "axes": [f"{axis}: {', '.join(_values(sweep.table[axis]))}" for axis in sweep.keys],
        "hours": _duration(float(sweep.table.get("seconds", pd.Series(dtype=float)).sum())),
        "sentences": [fit.sentence(key) for fit in fits],
        "fits": [_fit_row(fit) for fit in fits if fit.laws is not None],
        "key": key,
        "settings": [_setting(sweep, label, rows) for label, rows in sweep.cells()],
        "metric": sweep.metric_name,
        "timed": len(sweep.timed) > 0,
        "runs": [_run_row(sweep, index) for index in range(len(sweep.runs))],
        "columns": [*sweep.keys, "seed"],
        "failed": sweep.unreadable
        + [_failure(run) for run in sweep.runs if run.status != "finished"],
        "decisive": f"{laws.DECISIVE:.0f}",
        "rule": sweep.rules[0],
    }


def _values(column: "pd.Series[Any]") -> list[str]:
    return [number(plain(value)) for value in sorted(column.dropna().unique(), key=_order)]


def _order(value: Any) -> tuple[bool, Any]:
    """Numbers by their size, then texts and others as they are written."""
    is_text = not isinstance(value, int | float | np.number)
    return is_text, str(value) if is_text else value


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _fit_row(fit: Growth) -> list[str]:
    assert fit.laws is not None
    law, power = fit.laws.exponential, fit.laws.power
    return [
        fit.group or "all runs",
        f"{fit.escaped} + {fit.censored}",
        f"{law.b:.3g} [{law.interval_b[0]:.3g}, {law.interval_b[1]:.3g}]",
        f"{power.b:.3g} [{power.interval_b[0]:.3g}, {power.interval_b[1]:.3g}]",
        f"{law.sigma:.2g} / {power.sigma:.2g}",
        f"{fit.laws.difference:+.2f}",
        fit.laws.verdict if fit.laws.resolved else "no growth resolved",
    ]


def _setting(sweep: Sweep, label: str, rows: "pd.DataFrame") -> list[str]:
    seen = timed(rows)
    censored = int(seen["plateau/censored"].astype(bool).sum())
    length = ""
    if len(seen):
        mean, low, high = log_interval(seen["plateau/length"].tolist())
        length = ("≥ " if censored else "") + f"{number(mean)} [{low:,.0f}, {high:,.0f}]"
    error = ""
    if sweep.metric in rows and rows[sweep.metric].notna().any():
        mean, low, high = interval(rows[sweep.metric].dropna().tolist())
        error = f"{mean:.3g} ± {(high - low) / 2:.2g}"
    return [label or "all runs", str(len(rows)), length, str(censored), error]


def _run_row(sweep: Sweep, index: int) -> list[str]:
    row, one = sweep.table.iloc[index], sweep.plateaus[index]
    error = row.get(sweep.metric, np.nan)
    steps, seconds = row.get("steps", np.nan), row.get("seconds", np.nan)
    length = "" if one is None else (">" if one.censored else "") + f"{one.length:,}"
    return [
        *(number(plain(row[key])) for key in sweep.keys),
        str(row["seed"]),
        str(row["status"]),
        "" if pd.isna(steps) else f"{steps:,.0f}",
        length,
        "" if pd.isna(error) else number(float(error)),
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


def _failure(run: Run) -> tuple[str, str, str]:
    reasons = {
        "diverged": "the loss became infinite or 10,000 times the first",
        "stopped": "interrupted; the same command continues it",
        "killed": "ended without a word; the same command continues it",
    }
    return (
        run.name,
        run.status,
        html.unescape(run.result.get("error") or reasons.get(run.status, "")),
    )
