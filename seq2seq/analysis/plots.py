"""Figures for notebooks, TensorBoard and the report, all in one style.

Every function returns a `matplotlib.figure.Figure` of its own: nothing is registered with pyplot
and no global setting changes. Colours are those of Okabe and Ito, "Color Universal Design" (2008),
told apart by colour-blind readers; line styles and markers repeat what the colours say.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from seq2seq.analysis.laws import Comparison
from seq2seq.analysis.perturbation import Perturbed
from seq2seq.analysis.plateau import RULE, Plateau, Rule, smoothed
from seq2seq.theory import bounds

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

#: A perturbed loss from here on is drawn as lost: how far beyond it lies tells nothing more.
LOST = 1e4

#: Relative errors below this are drawn at it: they are rounding.
SMALLEST = 1e-12

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


def png(figure: Figure, path: str | Path) -> None:
    """Write the figure as a PNG of 200 dots per inch."""
    with style():
        figure.savefig(path, format="png", metadata={"Software": None})


def _panels(
    rows: int, columns: int, size: tuple[float, float], share: bool = False
) -> tuple[Figure, NDArray[Any]]:
    """A figure of rows × columns axes, each of `size` inches, if asked on shared scales."""
    figure = Figure(figsize=(columns * size[0], rows * size[1]), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share)


def array(values: Any) -> Array:
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
    inputs, targets, outputs = array(x), array(y), array(prediction)
    with style():
        figure, axes = _panels(len(inputs), 1, (6.4, 1.7), share=True)
        time = np.arange(inputs.shape[1])
        for index, ax in enumerate(axes[:, 0]):
            ax.plot(time, inputs[index, :, 0], color=GREY, lw=0.8, label="input $x_t$")
            ax.plot(time, targets[index, :, 0], color=BLACK, lw=2.2, label="target $y_t$")
            ax.plot(time, outputs[index, :, 0], color=SKY, ls="--", zorder=3, label="prediction")
            if memoryless is not None:
                values = array(memoryless)[index, :, 0]
                ax.plot(time, values, color=VERMILION, ls=":", label="without memory")
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
    target = array(true)
    responses = np.atleast_2d(array(learned))
    with style():
        figure, axes = _panels(1, 1, (5.2, 2.8))
        _responses(axes[0, 0], target, responses)
        figure.legend(loc="outside upper left", ncols=2)
    return figure


def _responses(ax: Axes, target: Array, responses: Array) -> None:
    lag = np.arange(len(target))
    # Where there are many, markers hide the lines.
    marker = "o" if len(lag) <= 64 and len(responses) == 1 else ""
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
        plain_ticks(ax.yaxis)
        _references(ax, references or {})
        if len(histories) > 1:
            figure.legend(loc="outside upper left", ncols=min(4, len(histories)))
    return figure


def thin(history: History, points: int = POINTS) -> tuple[Array, Array]:
    """Steps and losses fit for drawing: finite, positive, at most `points` of them.

    A longer history is cut into blocks of equal width in log step; each is drawn as its mean step
    and its geometric mean loss.
    """
    step, loss = array(history["step"]), array(history["loss"])
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


def _ticks_at(ax: Axes, values: Array) -> None:
    """Ticks at the values that were swept, if they are few."""
    swept = np.unique(values)
    if len(swept) <= 12:
        ax.set_xticks(swept, [number(value) for value in swept])


def plain_ticks(axis: Axis) -> None:
    """Label 1, 2 and 5 of each decade, as plain numbers, where the axis has fewer than two."""
    low, high = axis.get_view_interval()
    if low > 0 and high / low < 100:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low > 5 else range(1, 10)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axis.set_minor_formatter(NullFormatter())


def _references(
    ax: Axes, references: Mapping[str, float], size: float = 7.5, inside: bool = False
) -> None:
    """A dashed line per group of coinciding references, its names at the right end or on it."""
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
    gap = 1.3 * size / 72 / inches
    for (_, names), height in zip(lines, spread(heights, gap), strict=True):
        ax.annotate(
            names,
            (0.02, height + 1.1 * gap) if inside else (1.01, height),
            xycoords="axes fraction",
            va="center",
            color=DARK,
            fontsize=size,
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.4},
        )
    if below:
        text = f"below the axis: {join(below)}"
        ax.annotate(text, (0.02, 0.03), xycoords="axes fraction", color=DARK, fontsize=size)


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


# --------------------------------------------------------------------------- sweeps and reports


def plateaus(history: History, found: Sequence[Plateau], rule: Rule = RULE) -> Figure:
    """One run's losses, what the smoothing makes of them, and its plateaus: the definition drawn.

    Args:
        history: the arrays `step` and `loss`.
        found: what `plateau.find` says of it.
        rule: the rule it was asked with.
    """
    with style():
        figure, axes = _panels(1, 1, (6.4, 3.2))
        ax = axes[0, 0]
        ax.plot(
            *thin(history, 4 * POINTS), color=GREY, alpha=0.6, lw=0.6, label="loss of each step"
        )
        step, smooth = smoothed(history, rule)
        ax.plot(*thin({"step": step, "loss": smooth}), color=BLUE, label="smoothed loss")
        for index, one in enumerate(found):
            last = one.end if one.escape is None else one.escape
            top, bottom = one.level * (1 + rule.tolerance), one.level * (1 - rule.drop)
            label = None if index else "plateau: from its level's tolerance to the drop below it"
            ax.fill_between(
                [one.start, last], bottom, top, color=SKY, alpha=0.25, lw=0, label=label
            )
            ax.plot([one.start, last], [one.level] * 2, color=BLACK, lw=0.9, ls=":")
            _mark(ax, one, bottom)
        _log_axes(ax, "training loss")
        plain_ticks(ax.yaxis)
        figure.legend(loc="outside upper left", ncols=2)
    return figure


def _mark(ax: Axes, one: Plateau, height: float, color: str = VERMILION) -> None:
    """A triangle down at the escape, one to the right where the run ended before."""
    escape, marker = (one.end, ">") if one.escape is None else (one.escape, "v")
    ax.plot(
        escape,
        height,
        marker=marker,
        color=color,
        mfc="white" if one.escape is None else color,
        ms=5,
        ls="",
        zorder=4,
    )


@dataclass(frozen=True)
class Curve:
    """One run in `loss_panels`: its history, its plateau if it has one, the group it belongs to."""

    history: History
    plateau: Plateau | None = None
    group: str = ""


def loss_panels(
    panels: Mapping[str, Sequence[Curve]],
    references: Mapping[str, Mapping[str, float]] | None = None,
    unit: str = "training loss",
) -> Figure:
    """Loss curves of a sweep, one panel per title, one colour per group, escapes marked.

    Args:
        panels: per title the runs drawn there.
        references: per title the losses of the reference predictors.
        unit: label of the vertical axes.
    """
    rows, columns = _grid(len(panels))
    groups = list(dict.fromkeys(curve.group for curves in panels.values() for curve in curves))
    with style():
        figure, axes = _panels(rows, columns, (9.0 / columns, 2.1), share=True)
        for ax, (title, curves) in zip(axes.flat, panels.items(), strict=False):
            for curve in curves:
                color = PALETTE[groups.index(curve.group) % len(PALETTE)]
                ax.plot(*thin(curve.history, 150), color=color, lw=0.7, alpha=0.75)
            for curve in curves:
                if curve.plateau is not None:
                    color = PALETTE[groups.index(curve.group) % len(PALETTE)]
                    _mark(ax, curve.plateau, curve.plateau.level, color)
            ax.set_title(title, loc="left")
            ax.set_xscale("log")
            ax.set_yscale("log")
        low, high = axes[0, 0].get_ylim()
        axes[0, 0].set_ylim(low, high * (high / low) ** 0.2)  # room for the references' names
        plain_ticks(axes[0, 0].yaxis)
        _outer_labels(axes, len(panels), "step", unit)
        for ax, title in zip(axes.flat, panels, strict=False):
            _references(ax, (references or {}).get(title, {}), size=6.5, inside=True)
        handles = [
            Line2D([], [], color=PALETTE[index % len(PALETTE)], label=group or "one run")
            for index, group in enumerate(groups)
        ]
        if any(curve.plateau is not None for curves in panels.values() for curve in curves):
            handles.append(Line2D([], [], color=DARK, marker="v", ls="", ms=5, label="escape"))
            handles.append(
                Line2D([], [], color=DARK, marker=">", ls="", ms=5, mfc="white", label="censored")
            )
        handles.append(Line2D([], [], color=GREY, ls=(0, (4, 2)), lw=0.9, label="references"))
        figure.legend(handles=handles, loc="outside upper left", ncols=min(6, len(handles)))
    return figure


def _grid(count: int, most: int = 3) -> tuple[int, int]:
    columns = min(most, max(1, count))
    return -(-max(1, count) // columns), columns


def _outer_labels(axes: NDArray[Any], count: int, x: str, y: str) -> None:
    """Name the axes at the edge of a grid of `count` panels and hide the unused ones."""
    columns = axes.shape[1]
    for index, ax in enumerate(axes.flat):
        ax.set_visible(index < count)
        if index % columns == 0:
            ax.set_ylabel(y)
        if index + columns >= count:
            ax.set_xlabel(x)
            ax.tick_params(labelbottom=True)


@dataclass(frozen=True)
class Times:
    """One group of runs in `escape_times`: k, τ and whether τ is a lower bound; the fitted laws."""

    k: ArrayLike
    tau: ArrayLike
    censored: ArrayLike
    laws: Comparison | None = None


def escape_times(groups: Mapping[str, Times], key: str = "memory $k$ (steps)") -> Figure:
    """Lengths of plateaus against the memory, with both fitted laws and the band of the better.

    Args:
        groups: per label its runs; one panel each.
        key: label of the horizontal axis.
    """
    rows, columns = _grid(len(groups))
    width = 5.6 if columns == 1 else 9.6 / columns
    with style():
        figure, axes = _panels(rows, columns, (width, 3.4), share=True)
        for ax, (title, times) in zip(axes.flat, groups.items(), strict=False):
            _times(ax, times)
            ax.set_yscale("log")
            _ticks_at(ax, array(times.k))
            ax.set_title(title, loc="left")
        every = np.concatenate([array(times.tau) for times in groups.values()])
        axes[0, 0].set_ylim(every.min() / 1.6, every.max() * 1.6)  # the data, not the bands
        _outer_labels(axes, len(groups), key, "plateau length $\\tau$ (steps)")
        entries: dict[str, Any] = {}
        for ax in axes.flat:
            handles, labels = ax.get_legend_handles_labels()
            entries |= dict(zip(labels, handles, strict=True))
        figure.legend(
            list(entries.values()),
            list(entries),
            loc="outside upper left",
            ncols=2 if columns == 1 else 4,
        )
    return figure


def _times(ax: Axes, times: Times) -> None:
    k, tau = array(times.k), array(times.tau)
    censored = np.asarray(times.censored, dtype=bool)
    values, counts = np.unique(k, return_counts=True)
    # Runs of one k stand side by side, so that equal times stay apart.
    width = 0.3 * (np.diff(values).min() if len(values) > 1 else 1.0)
    rank = np.array([np.sum(k[:index] == value) for index, value in enumerate(k)])
    most = counts.max() if len(counts) else 1
    x = k + width * ((rank + 0.5) / most - 0.5)
    if times.laws is not None:
        grid = np.linspace(values[0], values[-1], 200)
        best = times.laws.best
        for row, law in enumerate((times.laws.exponential, times.laws.power)):
            color, line = (BLUE, ORANGE)[row], "-" if law is best else "--"
            ax.plot(grid, law.predict(grid), color=color, ls=line, label=f"{law.kind} law")
            rate = (f"e^{{{law.b:.2g}\\,k}}", f"k^{{\\,{law.b:.2g}}}")[row]
            ax.annotate(
                f"$\\tau\\propto {rate}$",
                (0.98, 0.11 - 0.08 * row),
                xycoords="axes fraction",
                ha="right",
                color=color if row == 0 else "#8A5F00",  # orange is too light for letters
            )
        low, high = best.band(grid)
        shade = BLUE if best.kind == "exponential" else ORANGE
        if np.isfinite(low).all() and np.isfinite(high).all():
            ax.fill_between(
                grid, low, high, color=shade, alpha=0.18, lw=0, label="95% band of the better law"
            )
    seen = ~censored
    ax.plot(x[seen], tau[seen], "o", color=BLACK, ms=3.2, alpha=0.7, label="run that escaped")
    if censored.any():
        ax.plot(
            x[censored],
            tau[censored],
            "^",
            color=VERMILION,
            mfc="white",
            ms=4.5,
            label="run still on its plateau: at least this",
        )


def kernels(panels: Mapping[str, tuple[ArrayLike, Sequence[ArrayLike]]]) -> Figure:
    """True and learned impulse responses of a sweep.

    Args:
        panels: per title the true kernel (lags,) and the learned one of each run.
    """
    rows, columns = _grid(len(panels))
    with style():
        figure, axes = _panels(rows, columns, (9.0 / columns, 2.0))
        for ax, (title, (true, learned)) in zip(axes.flat, panels.items(), strict=False):
            _responses(ax, array(true), np.atleast_2d(np.stack([array(one) for one in learned])))
            ax.set(title="", xlabel="", ylabel="")
            ax.set_title(title, loc="left")
        _outer_labels(axes, len(panels), "lag $s$ (steps)", "response")
        handles, _ = axes[0, 0].get_legend_handles_labels()
        figure.legend(
            handles, ["true kernel", "learned, one line per run"], loc="outside upper left", ncols=2
        )
    return figure


def eigenvalues(panels: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """Eigenvalues of a recurrence on the unit disc while it is trained.

    Args:
        panels: per title the steps (n,) and the complex eigenvalues (n, …) at them.
    """
    rows, columns = _grid(len(panels), most=4)
    last = max(float(np.max(array(step))) for step, _ in panels.values())
    norm = SymLogNorm(linthresh=10, vmin=0, vmax=max(last, 10), base=10)
    with style():
        side = 9.4 / max(columns, 3)
        figure, axes = _panels(rows, columns, (side, 0.95 * side), share=True)
        angle = np.linspace(0, 2 * np.pi, 200)
        for ax, (title, (steps, values)) in zip(axes.flat, panels.items(), strict=False):
            points = np.asarray(values, dtype=np.complex128).reshape(len(array(steps)), -1)
            ax.plot(np.cos(angle), np.sin(angle), color=GREY, lw=0.8)
            color = np.repeat(array(steps), points.shape[1])
            flat = points.ravel()
            size = np.repeat(
                np.where(np.arange(len(points)) == len(points) - 1, 16.0, 3.0), points.shape[1]
            )
            drawn = ax.scatter(
                flat.real, flat.imag, c=color, s=size, cmap="viridis_r", norm=norm, lw=0
            )
            first = points[0]
            ax.plot(first.real, first.imag, "o", mfc="none", mec=VERMILION, mew=0.8, ms=4, ls="")
            ax.set_aspect("equal")
            ax.set(xticks=(-1, 0, 1), yticks=(-1, 0, 1))
            ax.set_title(title, loc="left")
        _outer_labels(axes, len(panels), "real part", "imaginary part")
        bar = figure.colorbar(drawn, ax=axes, shrink=0.7, aspect=30)
        bar.set_label("step")
        handles = [
            Line2D(
                [], [], ls="", marker="o", mfc="none", mec=VERMILION, ms=4, label="before training"
            ),
            Line2D([], [], ls="", marker="o", color="#440154", ms=4, label="at the end"),
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=2)
    return figure


def heat_map(
    values: ArrayLike,
    rows: tuple[str, Sequence[Any]],
    columns: tuple[str, Sequence[Any]],
    unit: str,
    lower_bounds: ArrayLike | None = None,
) -> Figure:
    """A positive quantity over two swept keys, on a logarithmic scale, each cell with its number.

    Args:
        values: (rows, columns); cells that are not finite stay empty.
        rows, columns: name of the key and its values.
        unit: name of the quantity.
        lower_bounds: cells whose value is only a lower bound, marked by ≥.
    """
    table = array(values)
    bounds = np.zeros(table.shape, bool) if lower_bounds is None else np.asarray(lower_bounds, bool)
    shown = np.ma.masked_invalid(np.where(table > 0, table, np.nan))
    with style():
        size = (1.8 + 0.62 * table.shape[1], 1.2 + 0.42 * table.shape[0])
        figure = Figure(figsize=(max(size[0], 4.0), max(size[1], 2.4)), layout="constrained")
        ax = figure.subplots()
        norm = LogNorm(shown.min(), max(shown.max(), shown.min() * 1.01))
        image = ax.imshow(shown, norm=norm, cmap="cividis", aspect="auto")
        for (row, column), value in np.ndenumerate(table):
            if np.isfinite(value) and value > 0:
                dark = norm(value) < 0.5
                text = ("≥" if bounds[row, column] else "") + number(value)
                color = "white" if dark else BLACK
                ax.text(column, row, text, ha="center", va="center", color=color, fontsize=7.5)
        ax.set_xticks(range(table.shape[1]), [number(value) for value in columns[1]])
        ax.set_yticks(range(table.shape[0]), [number(value) for value in rows[1]])
        ax.set_xlabel(columns[0])
        ax.set_ylabel(rows[0])
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        bar = figure.colorbar(image, ax=ax)
        plain_ticks(bar.ax.yaxis)
        bar.set_label(unit)
    return figure


def means(
    groups: Mapping[str, tuple[Sequence[Any], ArrayLike, ArrayLike]], key: str, unit: str
) -> Figure:
    """Means over seeds with their 95% intervals, over one swept key, one line per group.

    Args:
        groups: per label the key's values, the means, and the intervals (values, 2).
        key: label of the horizontal axis.
        unit: label of the vertical axis.
    """
    numeric = all(isinstance(v, int | float) for values, _, _ in groups.values() for v in values)
    names = list(dict.fromkeys(str(v) for values, _, _ in groups.values() for v in values))
    with style():
        figure, axes = _panels(1, 1, (6.4, 3.0))
        ax = axes[0, 0]
        markers = "osD^vPX"
        for index, (label, (values, mean, interval)) in enumerate(groups.items()):
            x = array(values) if numeric else np.array([names.index(str(v)) for v in values]) * 1.0
            centre, bounds = array(mean), array(interval)
            step = float(np.diff(np.unique(x)).min()) if len(np.unique(x)) > 1 else 1.0
            x = x + 0.3 * step * ((index + 0.5) / len(groups) - 0.5)
            error = np.abs(bounds.T - centre)
            ax.errorbar(
                x,
                centre,
                error,
                marker=markers[index % len(markers)],
                ms=4,
                lw=1.0,
                ls="-" if numeric else "",
                capsize=2,
                label=label or None,
            )
        if numeric:
            _ticks_at(ax, np.concatenate([array(values) for values, _, _ in groups.values()]))
        else:
            ax.set_xticks(range(len(names)), names)
        ends = np.concatenate([array(one).ravel() for _, _, one in groups.values()])
        if ends.min() > 0 and ends.max() > 10 * ends.min():
            ax.set_yscale("log")
            plain_ticks(ax.yaxis)
        ax.set_xlabel(key)
        ax.set_ylabel(unit)
        if any(groups):
            figure.legend(loc="outside upper left", ncols=min(5, len(groups)))
    return figure


def number(value: Any) -> str:
    """A value as labels show it: three digits, thousands set apart, other things as they are."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return str(value)
    real = float(value)
    if real and abs(real) < 0.01:
        mantissa, exponent = f"{real:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{real:,.0f}" if abs(real) >= 100 else f"{real:.3g}"


# ---------------------------------------------------------------------------- theory and stability


def spectra(
    kernels: Mapping[str, ArrayLike], filter_size: int = 2, sizes: int = 16, finite: bool = False
) -> Figure:
    """What recurrences and dilated convolutions of growing size must miss of each kernel.

    Drawn are the lower bounds of the relative error: of a recurrence with n states
    (`bounds.order_bound`) and of a linear dilated network with n channels between its layers
    (`bounds.tail_bounds` of the tensor train).

    Args:
        kernels: per title ρ, (lags,).
        filter_size: of the dilated network.
        sizes: largest n.
        finite: count errors on the lags of ρ only, as tasks of that length do; otherwise a
            recurrence has to be silent on all later ones too.
    """
    rows, columns = _grid(len(kernels), most=4)
    n = np.arange(1, sizes + 1)
    with style():
        figure, axes = _panels(rows, columns, (9.6 / max(columns, 2), 2.4), share=True)
        for ax, (title, kernel) in zip(axes.flat, kernels.items(), strict=False):
            rho = array(kernel)
            weights = np.ones(len(rho)) if finite else None
            unfoldings = bounds.train_spectra(rho, filter_size)
            curves = {
                "recurrence, $n$ states": [
                    bounds.order_bound(rho, size, weights) for size in n.tolist()
                ],
                "dilated convolution, $n$ channels": [
                    bounds.tail_bounds(unfoldings, size)[0] for size in n.tolist()
                ],
            }
            for (label, errors), mark in zip(curves.items(), ("o-", "s--"), strict=True):
                relative = np.maximum(np.array(errors) / (rho @ rho), SMALLEST)
                ax.plot(n, relative, mark, ms=3, label=label)
            ax.set_yscale("log")
            ax.set_ylim(SMALLEST / 2, 2)
            ax.set_title(title, loc="left")
        _outer_labels(axes, len(kernels), "size $n$", "relative error at least")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def order_bounds(panels: Mapping[str, "BoundedErrors"]) -> Figure:
    """Errors of trained recurrences beside the least that n real states allow a linear one.

    Args:
        panels: per title the kernel and the errors found.
    """
    rows, columns = _grid(len(panels))
    labels = list(dict.fromkeys(label for panel in panels.values() for label in panel.errors))
    markers = "osD^vPX"
    with style():
        figure, axes = _panels(rows, columns, (6.4 if columns == 1 else 9.0 / columns, 2.6))
        for ax, (title, panel) in zip(axes.flat, panels.items(), strict=False):
            rho, weights = array(panel.kernel), array(panel.weights)
            total = float((weights * rho**2).sum())
            sizes = np.concatenate([array(n) for n, _ in panel.errors.values()])
            n = np.arange(int(sizes.min()), int(sizes.max()) + 1)
            if len(n) > 64:
                n = np.unique(np.geomspace(n[0], n[-1], 64).round().astype(int))
            least = [bounds.order_bound(rho, size, weights) / total for size in n.tolist()]
            seen = np.array(least) > SMALLEST
            ax.plot(n[seen], np.array(least)[seen], color=BLACK, lw=1.0)
            ax.fill_between(n, 0, np.maximum(least, 0), color=GREY, alpha=0.2, lw=0)
            for label, (states, errors) in panel.errors.items():
                index = labels.index(label)
                color, marker = PALETTE[index % len(PALETTE)], markers[index % len(markers)]
                aside = 1.015 ** (2 * index - len(labels) + 1)  # equal sizes stand side by side
                ax.plot(array(states) * aside, errors, marker, color=color, ms=4, mfc="none")
            ax.set_xscale("log", base=2)
            ax.set_yscale("log")
            errors = np.concatenate([array(e) for _, e in panel.errors.values()])
            ax.set_ylim(max(errors.min() / 3, SMALLEST), max(2.0, 1.3 * errors.max()))
            _ticks_at(ax, sizes)
            ax.set_title(title, loc="left")
        _outer_labels(axes, len(panels), "real states $n$", "test NMSE")
        handles = [Line2D([], [], color=BLACK, lw=1.0, label="least of a linear recurrence")]
        for index, label in enumerate(labels):
            color, marker = PALETTE[index % len(PALETTE)], markers[index % len(markers)]
            handles.append(
                Line2D([], [], ls="", marker=marker, color=color, mfc="none", ms=4, label=label)
            )
        figure.legend(handles=handles, loc="outside upper left", ncols=3)
    return figure


@dataclass(frozen=True)
class BoundedErrors:
    """A panel of `order_bounds`.

    Attributes:
        kernel: ρ, (lags,).
        weights: w_s of the squared errors of the impulse response, (lags,).
        errors: per label the numbers of real states n and the NMSE found with them.
    """

    kernel: ArrayLike
    weights: ArrayLike
    errors: Mapping[str, tuple[ArrayLike, ArrayLike]]


def perturbation(
    panels: Mapping[str, Mapping[int, Perturbed]], limit: float | None = None, unit: str = "loss"
) -> Figure:
    """Envelopes of the loss under noise in the parameters, one line per width.

    A line ends in an upward triangle where the loss reaches `LOST`, or is no number. The
    horizontal ticks at the left edge are the losses without noise.

    Args:
        panels: per title (a parameterisation, say) and width the perturbed losses.
        limit: the loss up to which noise counts as tolerated, drawn dashed.
        unit: label of the vertical axes.
    """
    rows, columns = _grid(len(panels), most=4)
    every = [one for widths in panels.values() for one in widths.values()]
    widths = sorted({width for found in panels.values() for width in found})
    finite = np.concatenate([one.envelope[one.envelope < LOST] for one in every] + [[1e-30]])
    top = 3 * finite.max()
    colors = mpl.colormaps["viridis_r"](np.linspace(0.1, 1, len(widths)))
    with style():
        figure, axes = _panels(rows, columns, (9.6 / max(columns, 2), 2.6), share=True)
        for ax, (title, found) in zip(axes.flat, panels.items(), strict=False):
            for width, one in sorted(found.items()):
                color = colors[widths.index(width)]
                envelope = one.envelope
                gone = ~(envelope < LOST)
                until = len(envelope) if not gone.any() else int(np.argmax(gone)) + 1
                drawn = np.where(gone, top, envelope)[:until]
                ax.plot(one.sizes[:until], drawn, "o-", color=color, ms=2.5, label=f"width {width}")
                if gone.any():
                    ax.plot(one.sizes[until - 1], top, "^", color=color, ms=5)
                ax.plot(0.02, one.clean, "_", color=color, transform=ax.get_yaxis_transform())
            if limit is not None:
                ax.axhline(limit, color=GREY, lw=0.9, ls=(0, (4, 2)))
            ax.set_xscale("log")
            ax.set_yscale("log")
            ax.set_title(title, loc="left")
        _outer_labels(axes, len(panels), "relative size of the noise $\\beta$", unit)
        handles = [
            Line2D([], [], color=color, marker="o", ms=2.5, label=f"width {width}")
            for width, color in zip(widths, colors, strict=True)
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=min(6, len(handles)))
    return figure
