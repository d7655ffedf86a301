"""Figures for notebooks, TensorBoard and the report, all in one style.

Every function returns a `matplotlib.figure.Figure` of its own: nothing is registered with pyplot
and no global setting changes. Colours are those of Okabe and Ito, "Color Universal Design" (2008),
told apart by colour-blind readers; line styles and markers repeat what the colours say.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
History = Mapping[str, ArrayLike]

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY, DARK = "#767676", "#444444"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.4,
    "axes.prop_cycle": cycler(color=PALETTE),
    "figure.dpi": 110,
    "savefig.dpi": 200,
    "svg.hashsalt": "seq2seq",  # the same figure gives the same file
}

#: Points per curve that a picture can show; longer curves are averaged over blocks.
POINTS = 400

#: Reference losses closer than this ratio share one line and one label.
COINCIDE = 1.02


@contextmanager
def style() -> Iterator[None]:
    """The settings of this module, for the time of a `with` block."""
    with mpl.rc_context(STYLE):
        yield


def svg(figure: Figure) -> str:
    """The figure as an SVG document, free of dates, with its letters drawn as paths."""
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _panels(
    rows: int, columns: int, size: tuple[float, float], share: bool = False
) -> tuple[Figure, NDArray[Any]]:
    """A figure of rows × columns axes, each of `size` inches, if asked on shared scales."""
    figure = Figure(figsize=(columns * size[0], rows * size[1]), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share)


def _array(values: Any) -> Array:
    """A float64 array from numbers, arrays or tensors, these on any device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values, dtype=np.float64)


def prediction(x: Any, y: Any, prediction: Any, memoryless: Any = None) -> Figure:
    """Inputs, targets and predictions of a few sequences, one panel each, first channel.

    Args:
        x: inputs (sequences, time, channels).
        y, prediction: targets and a model's outputs, (sequences, time, channels).
        memoryless: what the best predictor without memory answers, of the same shape.
    """
    inputs, targets, outputs = _array(x), _array(y), _array(prediction)
    with style():
        figure, axes = _panels(len(inputs), 1, (6.4, 1.7), share=True)
        time = np.arange(inputs.shape[1])
        for index, ax in enumerate(axes[:, 0]):
            ax.plot(time, inputs[index, :, 0], color=GREY, lw=0.8, label="input $x_t$")
            ax.plot(time, targets[index, :, 0], color=BLACK, lw=2.2, label="target $y_t$")
            if memoryless is not None:
                values = _array(memoryless)[index, :, 0]
                ax.plot(time, values, color=VERMILION, ls=":", label="without memory")
            ax.plot(time, outputs[index, :, 0], color=SKY, ls="--", label="prediction")
            ax.set_ylabel("value")
        axes[-1, 0].set_xlabel("time $t$ (steps)")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(handles))
    return figure


def impulse_response(true: Any, learned: Any) -> Figure:
    """The kernel of the task and the response of a model to a unit impulse.

    Args:
        true: (lags,).
        learned: (lags,), or (runs, lags) for one thin line per run.
    """
    target = _array(true)
    responses = np.atleast_2d(_array(learned))
    with style():
        figure, axes = _panels(1, 1, (5.2, 2.8))
        _responses(axes[0, 0], target, responses)
        axes[0, 0].legend()
    return figure


def _responses(ax: Axes, target: Array, responses: Array) -> None:
    lag = np.arange(len(target))
    marker = "o" if len(lag) <= 64 else ""  # beyond that markers hide the line
    ax.axhline(0, color=GREY, lw=0.6)
    ax.plot(lag, target, color=BLACK, lw=2.2, marker=marker, ms=4, label="true kernel")
    for index, response in enumerate(responses):
        label = None if index else "learned" + (f", {len(responses)} runs" * (len(responses) > 1))
        ax.plot(
            np.arange(len(response)),
            response,
            color=VERMILION,
            lw=1.2 if len(responses) == 1 else 0.8,
            marker=marker,
            ms=2.5,
            alpha=1 if len(responses) == 1 else 0.7,
            label=label,
        )
    ax.set_xlabel("lag $s$ (steps)")
    ax.set_ylabel("response to an impulse")


def loss_curves(
    histories: Mapping[str, History],
    references: Mapping[str, float] | None = None,
    unit: str = "training loss (MSE)",
) -> Figure:
    """Losses against steps on logarithmic axes, with a labelled line per reference predictor.

    Entries that are not finite and positive are left out. Curves of more than `POINTS` steps are
    averaged in the logarithm over blocks that grow with the step. References that coincide share a
    line; those below the curves' range are named at the foot, not drawn.

    Args:
        histories: per label the arrays `step` and `loss`.
        references: per predictor its loss, as `reference_losses()` gives them.
        unit: label of the vertical axis.
    """
    with style():
        figure, axes = _panels(1, 1, (6.4, 3.6))
        ax = axes[0, 0]
        for index, (label, history) in enumerate(histories.items()):
            step, loss = thin(history)
            line = ("-", "--", "-.", ":")[index // len(PALETTE) % 4]
            ax.plot(step, loss, ls=line, label=label)
        _log_axes(ax, unit)
        _references(ax, references or {})
        if len(histories) > 1:
            figure.legend(loc="outside upper left", ncols=min(4, len(histories)))
    return figure


def thin(history: History, points: int = POINTS) -> tuple[Array, Array]:
    """Steps and losses fit for drawing: finite, positive, at most `points` of them.

    A longer history is cut into blocks of equal width in log step; each is drawn as its mean step
    and its geometric mean loss.
    """
    step, loss = _array(history["step"]), _array(history["loss"])
    kept = np.isfinite(loss) & (loss > 0) & (step > 0)
    step, loss = step[kept], loss[kept]
    if len(step) <= points:
        return step, loss
    edges = np.geomspace(step[0], step[-1], points + 1)[1:-1]
    block = np.searchsorted(edges, step, side="left")
    count = np.bincount(block, minlength=points)
    full = count > 0
    means = np.bincount(block, weights=step, minlength=points)[full] / count[full]
    logs = np.bincount(block, weights=np.log(loss), minlength=points)[full] / count[full]
    return means, np.exp(logs)


def _log_axes(ax: Axes, unit: str) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("step")
    ax.set_ylabel(unit)


def _references(ax: Axes, references: Mapping[str, float], size: float = 7.5) -> None:
    """A dashed line per group of coinciding references, its names at the right end."""
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in ax.lines]
    lowest = min((float(values.min()) for values in drawn if len(values)), default=0.0)
    below = [name for name, loss in references.items() if not loss >= lowest / 3]
    shown = {name: loss for name, loss in references.items() if name not in below}
    lines = merged(shown)
    for loss, _ in lines:
        ax.axhline(loss, color=GREY, lw=0.9, ls=(0, (4, 2)), zorder=1)
    to_axes = ax.transData + ax.transAxes.inverted()
    heights = [float(to_axes.transform((1, loss))[1]) for loss, _ in lines]
    inches = ax.figure.get_figure(root=True).get_size_inches()[1] * ax.get_position().height
    for (_, names), height in zip(lines, spread(heights, 1.3 * size / 72 / inches), strict=True):
        ax.annotate(
            names,
            (1.01, height),
            xycoords="axes fraction",
            va="center",
            color=DARK,
            fontsize=size,
        )
    if below:
        text = f"below the axis: {join(below)}"
        ax.annotate(text, (0.01, 0.02), xycoords="axes fraction", color=DARK, fontsize=size)


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Heights in falling order moved as little as needed to lie `gap` apart."""
    # Clusters grow until none overlap; each is centred on the mean of its members' wishes.
    clusters: list[list[float]] = []
    for height in heights:
        clusters.append([height])
        while len(clusters) > 1 and _centre(clusters[-2]) - _centre(clusters[-1]) < gap / 2 * (
            len(clusters[-2]) + len(clusters[-1])
        ):
            clusters[-2:] = [clusters[-2] + clusters[-1]]
    return [
        _centre(cluster) + gap * ((len(cluster) - 1) / 2 - rank)
        for cluster in clusters
        for rank in range(len(cluster))
    ]


def _centre(cluster: list[float]) -> float:
    return sum(cluster) / len(cluster)


def merged(references: Mapping[str, float]) -> list[tuple[float, str]]:
    """Losses from high to low, each with the names of the references that share it."""
    groups: list[tuple[float, list[str]]] = []
    for name, loss in sorted(references.items(), key=lambda item: -item[1]):
        if groups and groups[-1][0] <= loss * COINCIDE:
            groups[-1][1].append(name)
        else:
            groups.append((loss, [name]))
    return [(loss, join(names)) for loss, names in groups]


def join(names: Sequence[str]) -> str:
    """`zero, memoryless, taps 2–8` from `zero`, `memoryless`, `taps_2`, `taps_4`, `taps_8`."""
    taps = sorted(int(name[5:]) for name in names if name.startswith("taps_"))
    parts = [name for name in names if not name.startswith("taps_")]
    if taps:
        parts.append(f"taps {taps[0]}" + (f"–{taps[-1]}" if len(taps) > 1 else ""))
    return ", ".join(parts)
