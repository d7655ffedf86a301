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
    """A curve for each setting over the values tested at; a map of many settings, or of bounds."""
    for metric in METRICS:
        start = f"generalisation/{metric}/"
        columns = [str(one) for one in sweep.table if str(one).startswith(start)]
        if columns:
            yield _panel(sweep, metric, columns)
            return


def _panel(sweep: Sweep, metric: str, columns: list[str]) -> Panel:
    key, _, _ = columns[0].rpartition("/")[2].rpartition("_")
    by_value = {column.rpartition("_")[2]: column for column in columns}
    numeric = all(value.replace(".", "", 1).isdigit() for value in by_value)
    if numeric:
        by_value = dict(sorted(by_value.items(), key=lambda one: float(one[0])))
    unit, share = metric.replace("nmse", "NMSE"), is_share(metric)
    data, found = [], {}
    for label, rows in sweep.cells():
        own = {value: rows[column].dropna().tolist() for value, column in by_value.items()}
        if all(own.values()):
            found[label] = np.array([average(one, metric) for one in own.values()])
            for value, ends in zip(own, found[label], strict=True):
                data.append({"group": label, key: value, "runs": len(own[value])} | named(ends))
    caption = (
        f"What trained models achieve where {key} is another than they were trained with: means "
        "over seeds"
    )
    if numeric and len(by_value) > 1 and len(found) <= CURVES:
        values = [float(value) for value in by_value]
        lines = {label: sweeps.Line(values, ends) for label, ends in found.items()}
        guess = sweep.column("reference_accuracy/uniform").astype(float).mean()
        chance = (values, [guess] * len(values)) if share else None
        figure = sweeps.generalisation(lines, key, unit, chance)
        return Panel("generalisation", figure, f"{caption} and 95% intervals.", pd.DataFrame(data))
    figure = sweeps.heat_map(
        np.array([ends[:, 0] for ends in found.values()]),
        ("trained with", [label or "all runs" for label in found]),
        (f"{key} tested at", [*by_value]),
        unit,
        limits=(0.0, 1.0) if share else None,
    )
    return Panel("generalisation", figure, f"{caption}.", pd.DataFrame(data))
