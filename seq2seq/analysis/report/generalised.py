"""The figure of what runs were tested at beside their own task, by `callbacks.generalisation`."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from seq2seq.analysis.figures import sweeps
from seq2seq.analysis.intervals import average, is_share, named
from seq2seq.analysis.report.panel import Panel
from seq2seq.analysis.report.sweep import Sweep

#: What is shown, the first of them that there is.
METRICS = ("accuracy", "nmse", "loss")

#: Most settings whose curves can be told apart; more are rows of a map.
CURVES = 7


def figures(sweep: Sweep) -> Iterator[Panel]:
    """A curve for each setting over the values tested at; a map of many settings, or of bounds.

    Each key that was changed has a figure.
    """
    for metric in METRICS:
        start = f"generalisation/{metric}/"
        columns = [str(one) for one in sweep.table if str(one).startswith(start)]
        for rank, key in enumerate(_keys(sweep, columns)):
            own = [one for one in columns if one.startswith(f"{start}{key}_")]
            name = f"generalisation_{key}" if rank else "generalisation"
            yield _panel(sweep, metric, key, own, name)
        if columns:
            return


def _panel(sweep: Sweep, metric: str, key: str, columns: list[str], name: str) -> Panel:
    by_value = {column.rpartition("/")[2].removeprefix(f"{key}_"): column for column in columns}
    numeric = all(value.replace(".", "", 1).isdigit() for value in by_value)
    if numeric:
        by_value = dict(sorted(by_value.items(), key=lambda one: float(one[0])))
    unit, share = metric.replace("nmse", "NMSE"), is_share(metric)
    data, found = [], {}
    for label, rows in sweep.cells():
        own = {value: rows[column].dropna().tolist() for value, column in by_value.items()}
        ends = {value: average(one, metric) for value, one in own.items() if one}
        if ends:
            found[label] = ends
        for value, end in ends.items():
            runs = len(own[value])
            data.append({"group": label, key: value, "runs": runs} | named(end, runs))
    caption = (
        f"What trained models achieve where {key} is another than they were trained with: means "
        "over seeds"
    )
    if numeric and len(by_value) > 1 and len(found) <= CURVES:
        lines = {
            label: sweeps.Line([float(value) for value in ends], np.array([*ends.values()]))
            for label, ends in found.items()
        }
        guess = sweep.column("reference_accuracy/uniform").astype(float).mean()
        values = [float(value) for value in by_value]
        chance = (values, [guess] * len(values)) if share else None
        figure = sweeps.generalisation(lines, key, unit, chance)
        return Panel(name, figure, f"{caption} and 95% intervals.", pd.DataFrame(data))
    means = [[ends.get(value, [np.nan])[0] for value in by_value] for ends in found.values()]
    figure = sweeps.heat_map(
        np.array(means),
        ("trained with", [label or "all runs" for label in found]),
        (f"{key} tested at", [*by_value]),
        unit,
        limits=(0.0, 1.0) if share else None,
    )
    return Panel(name, figure, f"{caption}.", pd.DataFrame(data))


def _keys(sweep: Sweep, columns: list[str]) -> list[str]:
    """The keys of tasks that were changed, as the runs say, or else as the names of metrics do."""
    told = [(run.plain_config.get("callbacks") or {}).get("generalisation") for run in sweep.runs]
    keys = dict.fromkeys(one.get("key", "length") for one in told if one and one.get("values"))
    parts = [column.rpartition("/")[2] for column in columns]
    for part in parts:
        if not any(part.startswith(f"{key}_") for key in keys):
            keys[part.rpartition("_")[0]] = None
    return [key for key in keys if any(part.startswith(f"{key}_") for part in parts)]
