"""The figures of runs whose model is linear: what their states remember, and how many are used."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from seq2seq.analysis.figures import memory as drawing
from seq2seq.analysis.memory_curve import curve, hankel_values, states_used
from seq2seq.analysis.report.panel import Panel, chosen, left_out
from seq2seq.analysis.report.sweep import Arrays, Sweep, arrays

#: Most settings in one figure, and singular values of a matrix.
SETTINGS, VALUES = 6, 16


def figures(sweep: Sweep) -> Iterator[Panel]:
    """Both of them, where there are linear models with snapshots."""
    found = [*_linear(sweep)]
    yield from _memory_curves(found)
    yield from _hankel(sweep, found)


def _linear(sweep: Sweep) -> Iterator[tuple[str, list[tuple[int, Arrays]]]]:
    """Of the settings with linear models label, and place and snapshots of each run."""
    for label, rows in sweep.cells():
        every = [(index, arrays(sweep.runs[index], "eigenvalues.npz")) for index in rows.index]
        kept = [(index, one) for index, one in every if one is not None and _is_linear(one)]
        if kept:
            yield label or "linear model", kept


def _is_linear(snapshots: Arrays) -> bool:
    """Whether there are responses, finite ones: a run that diverged has others."""
    found = snapshots.get("responses")
    if found is None or found.dtype.kind != "f" or found.ndim != 2 or not found.size:
        return False
    return bool(np.isfinite(found).all())


def _memory_curves(found: list[tuple[str, list[tuple[int, Arrays]]]]) -> Iterator[Panel]:
    panels, data = {}, []
    for label, runs in chosen(found, SETTINGS):
        ends = []
        for index, one in runs:
            length, moments = one["responses"].shape[1], one["eigenvalues"][[0, -1]]
            if not np.abs(moments).max() < 1:  # no stationary state, no curve
                continue
            before, after = (curve(part, length) for part in moments)
            ends.append((before, after))
            told = {"panel": label, "run": index, "lag": range(length)}
            data.append(pd.DataFrame(told | {"before": before, "after": after}))
        if ends:
            panels[label] = ends
    if panels:
        yield Panel(
            "memory_curves",
            drawing.memory_curves(panels),
            "Memory curves: squared correlation of the input so many steps ago with its best "
            "linear readout from the state, for white inputs, exact by the eigenvalues. Over all "
            "lags each sums up to the number of real states; what training moves is where they "
            f"lie. Grey: before training.{left_out(len(found), SETTINGS)}",
            pd.concat(data),
        )


def _hankel(sweep: Sweep, found: list[tuple[str, list[tuple[int, Arrays]]]]) -> Iterator[Panel]:
    panels, data = {}, []
    for label, ((index, one), *_) in chosen(found, SETTINGS):
        history = sweep.histories[index]
        if history is None:
            continue
        values = np.array([hankel_values(each)[:VALUES] for each in one["responses"]])
        used = [states_used(each) for each in one["responses"]]
        panels[label] = drawing.Spectrum(history, one["step"], values, used[-1])
        frame = pd.DataFrame(values, columns=[f"sigma_{i + 1}" for i in range(values.shape[1])])
        frame.insert(0, "step", one["step"])
        frame.insert(1, "states_used", used)
        data.append(frame.assign(panel=label))
    if panels:
        yield Panel(
            "hankel",
            drawing.hankel(panels),
            "Training loss, and below it the singular values of the Hankel matrix of the learned "
            "response, first seed of each setting. A response of n states has n of them. Thin and "
            "broken: those that the balanced truncation of the last response can do without, "
            f"losing 1% of its energy or less.{left_out(len(found), SETTINGS)}",
            pd.concat(data),
        )
