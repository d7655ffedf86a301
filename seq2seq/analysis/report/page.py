"""The page: the verdict, the figures and the tables, as one HTML file that asks for nothing."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment

from seq2seq.analysis.figures import files, number
from seq2seq.analysis.intervals import average
from seq2seq.analysis.report import numbers, phases, tables
from seq2seq.analysis.report.comparison import bracketed, comparisons
from seq2seq.analysis.report.growth import Growth
from seq2seq.analysis.report.panels import PANELS, Panel, figures
from seq2seq.analysis.report.parts import Part, parts
from seq2seq.analysis.report.replication import agreement
from seq2seq.analysis.report.search import search
from seq2seq.analysis.report.sweep import Sweep, plain
from seq2seq.analysis.report.unsolved import Unsolved
from seq2seq.analysis.report.verdict import Verdict
from seq2seq.times import duration

#: Figures that show single runs, and are not stored with the numbers.
OF_RUNS = ("losses", "definition", "kernels", "eigenvalues")


def report(
    root: str | Path,
    allow: Sequence[str] = (),
    latex: bool = False,
    store: str | Path | None = None,
) -> Path:
    """Write `report.html`, `report.json` and `figures/` into `root`; returns the page.

    Every figure is there as SVG, PDF and PNG, and its data as CSV. Figures of an earlier report
    that this one has no longer are removed.

    Args:
        root: the folder of the sweep.
        allow: packages outside the project whose classes the runs' configs may name.
        latex: also write `tables.tex`.
        store: a file for the numbers of the page, as rows with their provenance; its figures go
            into a folder of the same name beside it. What it holds of a replication, or of the
            first seeds, that these runs are not of is kept.

    Raises:
        ValueError: no runs below `root`, or `store` holds what would be lost, as in
            `replication.joined`; the page is written.
    """
    every = [*parts(Sweep(root, allow))]
    sweep, fits = every[0].sweep, every[0].fits
    folder = sweep.root / "figures"
    folder.mkdir(exist_ok=True)
    panels = []
    for panel in _panels(every):
        drawing = files(panel.figure, folder / panel.name)
        panel.data.to_csv(folder / f"{panel.name}.csv", index=False)
        inline = drawing[drawing.index("<svg") :]  # an XML prologue has no place in a page
        panels.append({"name": panel.name, "caption": panel.caption, "svg": inline})
    drawn = {panel["name"] for panel in panels}
    for old in folder.iterdir():
        if old.suffix in (".svg", ".png", ".pdf", ".csv") and old.stem not in drawn:
            old.unlink()  # of an earlier state of the sweep
    said = content(sweep, fits, every[0].verdicts, every[0].unsolved)
    page = sweep.root / "report.html"
    template = Path(__file__).with_name("report.html.jinja").read_text(encoding="utf-8")
    text = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)
    agrees = agreement([numbers.judged(part) for part in every])
    page.write_text(
        text.render(said, panels=panels, parts=every, agreement=agrees), encoding="utf-8"
    )
    data = json.dumps(as_json(every, said), indent=1, ensure_ascii=False)
    (sweep.root / "report.json").write_text(f"{data}\n", encoding="utf-8")
    if latex:
        written = "\n\n".join(table.latex for table in said["tables"])
        (sweep.root / "tables.tex").write_text(f"{written}\n", encoding="utf-8")
    if store is not None:
        kept = {p["name"]: p["svg"] for p in panels if p["name"] not in OF_RUNS}
        numbers.write(store, every, provenance(sweep), kept)
    return page


def _panels(every: Sequence[Part]) -> Iterator[Panel]:
    """The figures of the first seeds, and of a replication the first."""
    for part in every:
        for panel in figures(part.sweep, part.fits):
            if part is every[0]:
                yield panel
                continue
            yield replace(
                panel, name=f"{part.name}_{panel.name}", caption=f"{part.title}. {panel.caption}"
            )
            break


def content(
    sweep: Sweep,
    fits: Sequence[Growth],
    found: Sequence[Verdict],
    failing: Sequence[Unsolved],
) -> dict[str, Any]:
    """What the page says beside the figures."""
    config = sweep.runs[0].plain_config
    statuses = sweep.table["status"].value_counts()
    is_study = sweep.is_study or any(fit.laws for fit in fits)
    searched = search(sweep)
    compared = [] if is_study and sweep.event == "plateau" else comparisons(sweep)
    sentences = _growths(fits, sweep.memory_word) if is_study else []
    if searched is not None:
        sentences = [searched.sentence]
    elif not sweep.is_study:
        sentences += [one.sentence for one in compared[:PANELS]]
    sentences = [one.sentence(sweep) for one in phases.read(sweep)] + sentences
    sentences = sentences or [_error(sweep)]
    if sweep.unended:
        sentences.append(_unended(sweep.unended))
    return {
        "title": config.get("name") or sweep.root.name,
        "verdicts": found,
        "claims": [one.claim for one in found] or [config.get("claim")],
        "summary": ", ".join(f"{count} {status}" for status, count in statuses.items())
        + f", {len(sweep.unreadable)} unreadable" * bool(sweep.unreadable),
        "seeds": sweep.table["seed"].nunique(),
        "axes": [f"{axis}: {', '.join(_values(sweep.table[axis]))}" for axis in sweep.keys],
        "hours": duration(float(sweep.table.get("seconds", pd.Series(dtype=float)).sum())),
        "sentences": sentences,
        "tables": [*tables.tables(sweep, found, fits, compared, searched, failing)],
        "runs": tables.every_run(sweep),
        "failed": tables.failures(sweep),
        "made": provenance(sweep),
    }


def as_json(every: Sequence[Part], said: dict[str, Any]) -> dict[str, Any]:
    """The page for programs."""
    shown = {table.name: table for table in (*said["tables"], said["runs"])}
    first = every[0]
    return {
        "name": said["title"],
        "verdict": first.word,
        "claims": [one.plain() for one in first.verdicts],
        "sets": [numbers.judged(part) for part in every],
        "sentences": said["sentences"],
        "runs": len(first.sweep.runs),
        "unended": first.sweep.unended,
        "tables": {
            name: [dict(zip(table.columns, row, strict=True)) for row in table.rows]
            for name, table in shown.items()
        },
        "provenance": {key: list(values) for key, values in said["made"]},
    }


def _growths(fits: Sequence[Growth], key: str) -> list[str]:
    """What is said of each group; of those without a law in one sentence for each reason."""
    said = [fit.sentence(key) for fit in fits if fit.laws is not None]
    left: dict[str, list[Growth]] = {}
    for fit in fits:
        if fit.laws is None:
            left.setdefault(fit.reason, []).append(fit)
    for reason, without in left.items():
        names = ", ".join(fit.group for fit in without)
        one = len(without) == 1
        said.append(without[0].sentence(key) if one else f"{names}: no law was fitted ({reason}).")
    return said


def _error(sweep: Sweep) -> str:
    """What there is to say of runs that vary in nothing but the task or the seed."""
    if not sweep.has_errors:
        return "No run has been evaluated."
    label, rows = min(
        (cell for cell in sweep.cells() if cell[1][sweep.metric].notna().any()),
        key=lambda cell: average(cell[1][sweep.metric].dropna().tolist(), sweep.metric)[0],
    )
    errors = rows[sweep.metric].dropna()
    lowest = f"; the lowest of the settings, that of {label}" if label else ""
    seeds = f"{len(errors)} seed{'s' if len(errors) > 1 else ''}"
    name = f"{sweep.metric_name[0].upper()}{sweep.metric_name[1:]}"
    return f"{name} {bracketed(average(errors.tolist(), sweep.metric))} over {seeds}{lowest}."


def _unended(count: int) -> str:
    if count == 1:
        return "1 run has not ended; it is taken as it is at its present step."
    return (
        f"{count} runs have not ended; they are taken as they are at their present step, as "
        "censored where they still rest on their plateau."
    )


def _values(column: "pd.Series[Any]") -> list[str]:
    values = sorted(column.dropna().unique(), key=_order)
    shown = [number(plain(value)) for value in values]
    return [*shown[:6], "…", shown[-1]] if len(shown) > 12 else shown


def _order(value: Any) -> tuple[bool, Any]:
    """Numbers by their size, then texts and others as they are written."""
    is_text = not isinstance(value, int | float | np.number)
    return is_text, str(value) if is_text else value


def provenance(sweep: Sweep) -> list[tuple[str, dict[str, int]]]:
    """Of each part of the runs' provenance what they say, and how many say so."""
    made: dict[str, dict[str, int]] = {}
    for run in sweep.runs:
        for key, text in _made(run.provenance).items():
            counts = made.setdefault(key, {})
            counts[text] = counts.get(text, 0) + 1
    return [*made.items()]


def _made(told: dict[str, Any]) -> dict[str, str]:
    if not told:
        return {"code": "not told: the run is of an earlier version"}
    machine, packages = told.get("machine"), told.get("packages")
    state = {True: " (clean)", False: " (with uncommitted changes)"}.get(bool(told.get("clean")))
    commit = f", commit {told['commit']}{state}" if told.get("commit") else ", installed"
    parts = dict(machine) if isinstance(machine, dict) else {}
    parts["cores"] = f"{parts.get('cores')} cores"
    versions = packages.items() if isinstance(packages, dict) else ()
    return {
        "code": f"seq2seq {told.get('version')}{commit}",
        "date": str(told.get("date"))[:10],
        "machine": ", ".join(str(part) for part in parts.values() if part not in ([], None, "")),
        "threads": str(told.get("threads")),
        "packages": ", ".join(
            [f"python {told.get('python')}", *(f"{name} {version}" for name, version in versions)]
        ),
        "command": str(told.get("command")),
    } | ({"interrupted": "and continued"} if told.get("before") else {})
