"""Figures of what linear states remember, and of how many are used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from seq2seq.analysis.figures import canvas
from seq2seq.analysis.figures.canvas import array, style
from seq2seq.analysis.figures.curves import History, thin


@style()
def memory_curves(panels: Mapping[str, Sequence[tuple[ArrayLike, ArrayLike]]]) -> Figure:
    """MC_k over the lag, a panel per setting, a line per run.

    Args:
        panels: per title of each run the curve before and after training, (lags,).
    """
    figure, axes = canvas.grid(panels, 2.2, "lag $k$ (steps)", "MC$_k$")
    for ax, runs in zip(axes, panels.values(), strict=True):
        for before, after in runs:
            ax.plot(array(before), color=canvas.GREY, lw=0.8, alpha=0.6)
            ax.plot(array(after), color=canvas.BLUE, lw=1.1, alpha=0.8)
        ax.set_ylim(-0.03, 1.05)
    entries = [
        canvas.entry("before training", color=canvas.GREY, lw=0.8),
        canvas.entry("after", color=canvas.BLUE, lw=1.1),
    ]
    canvas.legend(figure, 2, *entries)
    return figure


@dataclass(frozen=True)
class Spectrum:
    """One run in `hankel`: its losses, and the singular values (snapshots, n) at its snapshots.

    Attributes:
        history: its losses.
        steps: of the snapshots.
        values: in falling order.
        used: how many states the last response needs.
    """

    history: History
    steps: ArrayLike
    values: ArrayLike
    used: int


@style()
def hankel(panels: Mapping[str, Spectrum]) -> Figure:
    """The loss and, below it, the singular values over the steps, a column per setting.

    Args:
        panels: per title a run.
    """
    columns = min(3, len(panels))
    blocks = -(-len(panels) // columns)
    size = (canvas.WIDTH * max(columns, 2) / 3, 3.6 * blocks)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(2 * blocks, columns, squeeze=False, sharex=True)
    for ax in axes.ravel()[2 * len(panels) :] if columns == 1 else axes.ravel():
        ax.set_visible(False)
    for index, (title, one) in enumerate(panels.items()):
        block, column = divmod(index, columns)
        above, below = axes[2 * block, column], axes[2 * block + 1, column]
        above.set_visible(True)
        below.set_visible(True)
        step, loss = thin(one.history, 300)
        above.plot(step, loss, color=canvas.BLACK, lw=0.8)
        above.set(yscale="log", title=canvas.broken(title, max(columns, 2)))
        values, steps = array(one.values), np.maximum(array(one.steps), 1)
        colours = colormaps["viridis"](np.linspace(0, 0.9, values.shape[1]))
        for rank, (line, colour) in enumerate(zip(values.T, colours, strict=True), 1):
            used = rank <= one.used
            look = "-" if used else (0, (2, 2))
            below.plot(steps, line, color=colour, lw=1.3 if used else 0.7, ls=look)
        top = float(values.max())
        below.set(xscale="log", yscale="log", xlabel="step", ylim=(top * 1e-5, top * 2))
        told = f"{one.used} state{'s' * (one.used != 1)} used, the others dashed"
        below.set_title(told, loc="right", fontsize=8)
        below.tick_params(labelbottom=True)
        if column == 0:
            above.set_ylabel("training loss")
            below.set_ylabel("singular values $\\sigma_i$")
    return figure
