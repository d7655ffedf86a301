"""Tabulate a number of the runs of sweeps: its mean and interval over seeds.

seq2seq table outputs/plateau_gates --rows model --columns task.k --metric plateau/length
seq2seq table outputs/mqar_256 --metric test/accuracy --latex
seq2seq table outputs/atlas --rows model --columns task --metric success --json

Means over seeds are arithmetic of shares, such as accuracies, and geometric of losses. success/step
is a median; "≥ 60" says that the median run had no success in the 60 steps that it took.
"""

from collections.abc import Sequence
from pathlib import Path

from seq2seq import checks
from seq2seq.schema import ConfigError


def main(
    *sweeps: Path,
    rows: Sequence[str] = ("model",),
    columns: Sequence[str] = (),
    metric: str = "success",
    markdown: bool = False,
    latex: bool = False,
    json: bool = False,
    to: Path | None = None,
    allow: Sequence[str] = (),
) -> None:
    """Print it; cells that no run has are empty.

    Args:
        sweeps: folders that hold run folders, all of them in one table
        rows: keys of the config whose values are its rows
        columns: those of its columns
        metric: a key of result.json, or plateau/length
        markdown: for a page of Markdown (the default)
        latex: for a paper, with the rules of booktabs
        json: for programs, with the numbers in full and their provenance
        to: write it to this file instead
        allow: packages of further classes that configs name
    """
    if markdown + latex + json > 1:
        raise ConfigError("markdown, latex and json do not go together; give one")
    if not sweeps:
        raise ConfigError("no folder of runs given; add outputs/<sweep>")
    if "," in metric:
        first = metric.partition(",")[0]
        raise ConfigError(f"metric takes one, got {metric}; write --metric {first}")
    for folder in sweeps:
        checks.folder(folder)
    checks.writable("to", to)
    from seq2seq.analysis.report.pivot import pivot
    from seq2seq.files import write_atomically
    from seq2seq.results import document

    keys = {"rows": _listed(rows), "columns": _listed(columns)}
    found = pivot(sweeps, keys["rows"], keys["columns"], metric, tuple(allow))
    table = found.table
    text = f"{table.latex if latex else table.markdown}\n"
    if json:
        text = document(found.plain(), metric=metric, caption=table.caption, keys=keys)
    if to is None:
        print(text, end="")
    else:
        to.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(to, text.encode())


def _listed(keys: Sequence[str]) -> list[str]:
    """Keys one by one, of which a word may hold several: `--rows model,task.k`."""
    return [key for word in keys for key in word.split(",") if key]
