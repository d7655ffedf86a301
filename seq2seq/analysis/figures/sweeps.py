"""Figures of many runs: a panel per setting, or one quantity over the keys that were swept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize, SymLogNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from seq2seq.analysis.figures import canvas
from seq2seq.analysis.figures.canvas import Array, Look, array, style
from seq2seq.analysis.figures.curves import (
    History,
    draw_references,
    draw_responses,
    mark_escape,
    name_references,
    thin,
)
from seq2seq.analysis.plateau import Plateau

if TYPE_CHECKING:
    from seq2seq.analysis.laws import Comparison
    from seq2seq.analysis.phases import Agreement, Success


#: Points of each of many curves.
POINTS = 150
#: Values that were swept over more than this factor stand on a logarithmic scale.
LOGARITHMIC = 16


@dataclass(frozen=True)
class Curve:
    """One run in `loss_panels`: its history, its plateau if it has one, the group it belongs to."""

    history: History
    plateau: Plateau | None = None
    group: str = ""


@style()
def loss_panels(
    panels: Mapping[str, Sequence[Curve]],
    references: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Loss curves of a sweep, one panel per title, one colour per group, escapes marked.

    Args:
        panels: per title the runs drawn there.
        references: per title the losses of the reference predictors.
    """
    every = [curve for curves in panels.values() for curve in curves]
    groups = dict.fromkeys(curve.group for curve in every)
    colours = dict(zip(groups, cycle(canvas.PALETTE)))
    figure, axes = canvas.grid(panels, 2.1, "step", "training loss")
    for ax, curves in zip(axes, panels.values(), strict=True):
        for curve in curves:
            ax.plot(*thin(curve.history, POINTS), color=colours[curve.group], lw=0.7, alpha=0.75)
            if curve.plateau is not None:
                mark_escape(ax, curve.plateau, curve.plateau.level, colours[curve.group])
        ax.set(xscale="log", yscale="log")
        ax.minorticks_off()  # of many panels they take half of the time
    canvas.plain_ticks(axes[0].yaxis)
    every_line = [
        draw_references(ax, (references or {}).get(title, {}))
        for ax, title in zip(axes, panels, strict=True)
    ]
    for ax, lines in zip(axes, every_line, strict=True):  # once the axes reach as far as they will
        name_references(ax, *lines)
    entries = [canvas.entry(group or "one run", color=color) for group, color in colours.items()]
    if any(curve.plateau is not None for curve in every):
        mark: Look = {"color": canvas.DARK, "ls": "", "ms": 5}
        entries.append(canvas.entry("escape", marker="v", **mark))
        entries.append(canvas.entry("censored", marker=">", mfc="white", **mark))
    entries.append(canvas.entry("references", color=canvas.GREY, ls=canvas.DASHED, lw=0.9))
    canvas.legend(figure, 6, *entries)
    return figure


@dataclass(frozen=True)
class Times:
    """One group of runs in `escape_times`: k, τ and whether τ is a lower bound; the fitted laws."""

    k: ArrayLike
    tau: ArrayLike
    censored: ArrayLike
    laws: "Comparison | None" = None


#: What `escape_times` calls a time, and runs in which it has ended or has not.
TIMES = {
    "plateau": (
        "plateau length $\\tau$ (steps)",
        "run that escaped",
        "run still on its plateau: at least this",
    ),
    "success": (
        "steps to success $\\tau$",
        "run that succeeded",
        "run that has not: at least this",
    ),
}


@style()
def escape_times(
    groups: Mapping[str, Times], key: str = "memory $k$ (steps)", event: str = "plateau"
) -> Figure:
    """Times against the memory, with both fitted laws and the band of the better.

    Args:
        groups: per label its runs; one panel each.
        key: label of the horizontal axis.
        event: what ends a time: leaving the `plateau`, or the first `success`.
    """
    unit, *labels = TIMES[event]
    figure, axes = canvas.grid(groups, 3.4, key, unit)
    for ax, times in zip(axes, groups.values(), strict=True):
        _draw_times(ax, times, _symbol(key), *labels)
        ax.set_yscale("log")
        canvas.ticks_at(ax, array(times.k))
    every = np.concatenate([array(times.tau) for times in groups.values()])
    axes[0].set_ylim(every.min() / 1.6, every.max() * 1.6)  # the data, not the bands
    canvas.plain_ticks(axes[0].yaxis)
    canvas.legend(figure, 4)
    return figure


def _symbol(key: str) -> str:
    """What a formula calls the memory that an axis is labelled with: `k` of `delay $k$ (steps)`."""
    name = (key.partition(" (")[0].split() or ["k"])[-1]
    if name.startswith("$"):
        name = name.strip("$")
        return f"({name})" if "/" in name else name
    return name if len(name) == 1 else f"\\mathrm{{{name}}}".replace("_", "\\_")


def _draw_times(ax: Axes, times: Times, symbol: str, ended: str, going: str) -> None:
    k, tau = array(times.k), array(times.tau)
    censored = np.asarray(times.censored, dtype=bool)
    values, counts = np.unique(k, return_counts=True)
    # Runs of one k stand side by side, so that equal times stay apart.
    width = 0.2 * (np.diff(values).min() if len(values) > 1 else 1.0)
    rank = np.array([np.sum(k[:index] == value) for index, value in enumerate(k)])
    x = k + width * ((rank + 0.5) / counts.max(initial=1) - 0.5)
    if times.laws is not None:
        span = np.linspace(values[0], values[-1], 200)
        best = times.laws.best
        exponential, power = times.laws.exponential, times.laws.power
        for law, color, ink, height, form in (
            (exponential, canvas.BLUE, canvas.BLUE, 0.11, f"e^{{{exponential.b:.2g}\\,{symbol}}}"),
            # Orange is too light for letters.
            (power, canvas.ORANGE, "#8A5F00", 0.03, f"{symbol}^{{\\,{power.b:.2g}}}"),
        ):
            line = "-" if law is best else "--"
            ax.plot(span, law.predict(span), color=color, ls=line, label=f"{law.kind} law")
            text = f"$\\tau\\propto {form}$"
            box: Look = {"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 0.5}
            at: Look = {"xycoords": "axes fraction", "ha": "right", "color": ink, "bbox": box}
            ax.annotate(text, (0.98, height), **at)
        low, high = best.band(span)
        if np.isfinite(low).all() and np.isfinite(high).all():
            shade = canvas.BLUE if best.kind == "exponential" else canvas.ORANGE
            label = "95% band of the better law"
            ax.fill_between(span, low, high, color=shade, alpha=0.18, lw=0, label=label)
    seen = ~censored
    look: Look = {"color": canvas.BLACK, "ms": 3.2, "alpha": 0.7}
    ax.plot(x[seen], tau[seen], "o", label=ended, **look)
    if censored.any():
        look = {"color": canvas.VERMILION, "mfc": "white", "ms": 4.5}
        ax.plot(x[censored], tau[censored], "^", label=going, **look)


@style()
def kernels(panels: Mapping[str, tuple[ArrayLike, Sequence[ArrayLike]]]) -> Figure:
    """True and learned impulse responses of a sweep.

    Args:
        panels: per title the true kernel (lags,) and the learned one of each run.
    """
    figure, axes = canvas.grid(panels, 2.0, "lag $s$ (steps)", "response", share=False)
    for ax, (true, learned) in zip(axes, panels.values(), strict=True):
        responses = np.stack([array(one) for one in learned])
        draw_responses(ax, true, responses, "learned, one line per run")
    canvas.legend(figure, 2)
    return figure


@style()
def eigenvalues(panels: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """Eigenvalues of a recurrence on the unit disc while it is trained.

    Args:
        panels: per title the steps (n,) and the complex eigenvalues (n, …) at them.
    """
    last = max(float(np.max(array(step))) for step, _ in panels.values())
    norm = SymLogNorm(linthresh=10, vmin=0, vmax=max(last, 10), base=10)
    side = 9.4 / min(max(len(panels), 3), 4)
    names = ("real part", "imaginary part")
    figure, axes = canvas.grid(panels, 0.95 * side, *names, most=4, least=3)
    figure.set_figheight(figure.get_figheight() + 0.8)  # for what stands around square panels
    angle = np.linspace(0, 2 * np.pi, 200)
    for ax, (steps, values) in zip(axes, panels.values(), strict=True):
        points = np.asarray(values, dtype=np.complex128).reshape(len(array(steps)), -1)
        ax.plot(np.cos(angle), np.sin(angle), color=canvas.GREY, lw=0.8)
        sizes = np.full(points.shape, 3.0)
        sizes[-1] = 16.0
        colours = np.repeat(array(steps), points.shape[1])
        look: Look = {"cmap": "viridis_r", "norm": norm, "lw": 0}
        drawn = ax.scatter(points.real, points.imag, c=colours, s=sizes, **look)
        first: Look = {"mfc": "none", "mec": canvas.VERMILION, "ms": 4}
        ax.plot(points[0].real, points[0].imag, "o", mew=0.8, **first)
        ax.set_aspect("equal")
        ax.set(xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    figure.colorbar(drawn, ax=axes, shrink=0.7, aspect=30).set_label("step")
    mark: Look = {"ls": "", "marker": "o", "ms": 4}
    before = canvas.entry("before training", mfc="none", mec=canvas.VERMILION, **mark)
    canvas.legend(figure, 2, before, canvas.entry("at the end", color="#440154", **mark))
    return figure


@style()
def heat_map(
    values: ArrayLike,
    rows: tuple[str, Sequence[Any]],
    columns: tuple[str, Sequence[Any]],
    unit: str,
    lower_bounds: ArrayLike | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """A positive quantity over two swept keys, on a logarithmic scale, each cell with its number.

    Args:
        values: (rows, columns); cells that are not finite are marked by –.
        rows, columns: name of the key and its values.
        unit: name of the quantity.
        lower_bounds: cells whose value is only a lower bound, marked by ≥, in the colour of the
            largest value.
        limits: ends of a linear scale in place of the logarithmic one.
    """
    table = array(values)
    bounds = np.broadcast_to(False if lower_bounds is None else lower_bounds, table.shape)
    shown = np.ma.masked_invalid(table if limits else np.where(table > 0, table, np.nan))
    shown[bounds] = shown.max()
    figure, ax = canvas.single(canvas.WIDTH, max(1.2 + 0.42 * table.shape[0], 2.4))
    norm = (
        Normalize(*limits) if limits else LogNorm(shown.min(), max(shown.max(), shown.min() * 1.01))
    )
    image = ax.imshow(shown, norm=norm, cmap="cividis", aspect="auto")
    for (row, column), value in np.ndenumerate(table if table.shape[1] <= 16 else table[:0]):
        text, color = "–", canvas.GREY
        if np.isfinite(value) and (limits or value > 0):
            text = ("≥" if bounds[row, column] else "") + canvas.number(value)
            color = "white" if norm(shown[row, column]) < 0.5 else canvas.BLACK
        ax.text(column, row, text, ha="center", va="center", color=color, fontsize=7.5)
    every = -(-table.shape[1] // 16)
    names = [canvas.number(value) for value in columns[1]]
    ax.set_xticks(range(0, table.shape[1], every), names[::every])
    ax.set_yticks(range(table.shape[0]), [canvas.number(value) for value in rows[1]])
    ax.set(xlabel=columns[0], ylabel=rows[0])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    if bounds.any() and len(np.unique(table[~bounds & np.isfinite(table)])) < 2:
        ax.set_title(unit)  # bounds alone have no scale
        return figure
    bar = figure.colorbar(image, ax=ax)
    if not limits:
        canvas.plain_ticks(bar.ax.yaxis)
    bar.set_label(unit)
    return figure


@dataclass(frozen=True)
class Phases:
    """One setting in `phase_diagram`: columns `memory`, `size`, `successes` and `runs` of each
    cell, the law of success, and the contour that the times to success predict."""

    cells: Any
    law: "Success | None" = None
    times: "Agreement | None" = None


@style()
def phase_diagram(panels: Mapping[str, Phases], memory: str, size: str) -> Figure:
    """Successes over memory and size, each cell with its count, and the contours of one half.

    Cells are of one size each, whatever their values; contours are drawn between them.

    Args:
        panels: per title a setting.
        memory, size: names of the keys.
    """
    columns, rows = (
        np.unique(np.concatenate([array(one.cells[axis]) for one in panels.values()]))
        for axis in ("memory", "size")
    )
    height = 1.0 + 0.3 * len(rows)
    figure, axes = canvas.grid(panels, height, memory, size, most=2 if len(columns) < 24 else 1)
    norm, colours = Normalize(0, 1), LinearSegmentedColormap.from_list("success", FAILS_SUCCEEDS)
    for ax, one in zip(axes, panels.values(), strict=True):
        table = np.full((len(rows), len(columns)), np.nan)
        for k, w, reached, runs in one.cells[["memory", "size", "successes", "runs"]].to_numpy():
            place = int(np.searchsorted(rows, w)), int(np.searchsorted(columns, k))
            table[place] = reached / runs
            # Above the middle, where the marks of the times to success are.
            text, small = f"{reached:.0f}/{runs:.0f}", 6.5 if len(columns) <= 16 else 5.5
            ax.text(
                place[1], place[0] + 0.25, text, ha="center", va="center", fontsize=small, zorder=4
            )
        shown = np.ma.masked_invalid(table)
        image = ax.imshow(shown, norm=norm, cmap=colours, aspect="auto", origin="lower")
        _draw_contours(ax, one, columns, rows)
        ax.set_xticks(range(len(columns)), [canvas.number(value) for value in columns])
        ax.set_yticks(range(len(rows)), [canvas.number(value) for value in rows])
        ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(-0.5, len(rows) - 0.5))
        ax.tick_params(length=0, labelsize=7)
    figure.colorbar(image, ax=axes, aspect=25).set_label("share of runs that succeed")
    canvas.legend(figure, 3)
    return figure


#: Colours of a cell in which all runs fail, half of them, and none, all light enough for letters.
FAILS_SUCCEEDS = ("#F3D9C4", "#F7F7F7", "#A9D3EE")


def _draw_contours(ax: Axes, one: Phases, columns: Array, rows: Array) -> None:
    """Both contours, between the cells that they pass."""
    if one.law is not None:
        along = np.geomspace(rows[0], rows[-1], 100)
        y = np.interp(np.log(along), np.log(rows), np.arange(len(rows)))
        low, at, high = (
            _between(columns, ends)
            for ends in (
                one.law.interval(along)[0],
                one.law.contour(along),
                one.law.interval(along)[1],
            )
        )
        label = "half succeed, by the law of success"
        ax.plot(at, y, color=canvas.VERMILION, lw=1.6, label=label)
        ax.fill_betweenx(y, low, high, color=canvas.VERMILION, alpha=0.18, lw=0)
    if one.times is not None:
        y = np.interp(np.log(one.times.sizes), np.log(rows), np.arange(len(rows)))
        at, low, high = (
            _between(columns, ends) for ends in (one.times.contour, *one.times.interval.T)
        )
        look: Look = {"color": canvas.GREEN, "ls": canvas.DASHED, "lw": 1.3, "marker": "o", "ms": 3}
        ax.plot(at, y, label="by the law of times to success", **look)
        ax.hlines(y, low, high, color=canvas.GREEN, lw=1.0)


def _between(values: Array, wanted: ArrayLike) -> Array:
    """Where numbers lie among cells at 0, 1, …; beyond these by the distance of the last two."""
    x, edge = array(wanted), np.arange(len(values), dtype=float)
    place = np.interp(x, values, edge)
    first, last = np.diff(values)[[0, -1]]
    place = np.where(x < values[0], (x - values[0]) / first, place)
    return np.where(x > values[-1], edge[-1] + (x - values[-1]) / last, place)


@dataclass(frozen=True)
class Line:
    """One group of runs in `generalisation`: the values of the key, (values, 3) with the mean and
    the ends of its interval at each, and the largest one that they were trained with."""

    x: ArrayLike
    ends: ArrayLike
    trained: float | None = None


@style()
def generalisation(
    lines: Mapping[str, Line],
    key: str,
    unit: str,
    chance: tuple[ArrayLike, ArrayLike] | None = None,
) -> Figure:
    """What trained models achieve over a key of their task, dotted where they were trained up to.

    Args:
        lines: per label its runs.
        key, unit: labels of the axes.
        chance: values of the key, and the accuracies there that are none; None for an error, on a
            logarithmic axis.
    """
    figure, ax = canvas.single(canvas.WIDTH, 3.0)
    for (label, line), color in zip(lines.items(), cycle(canvas.PALETTE)):
        x, (mean, low, high) = array(line.x), array(line.ends).T
        marker = "o" if len(x) <= 40 else ""
        ax.plot(x, mean, color=color, marker=marker, ms=3.5, label=label or None)
        ax.fill_between(x, low, high, color=color, alpha=0.18, lw=0)
        if line.trained is not None and x[0] < line.trained < x[-1]:
            ax.axvline(line.trained, color=color, lw=0.9, ls=":", label="trained up to here")
    if chance is None:
        ax.set_yscale("log")
        canvas.plain_ticks(ax.yaxis)
    else:
        ax.plot(*chance, color=canvas.GREY, lw=0.9, ls=canvas.DASHED, zorder=1, label="chance")
        ax.set_ylim(0.0, 1.02)
    ax.set(xlabel=key, ylabel=unit)
    if ax.get_legend_handles_labels()[1]:
        canvas.legend(figure, 5)
    return figure


@style()
def searched(panels: Mapping[str, Sequence[Any]], errors: Sequence[float], unit: str) -> Figure:
    """The errors of a search over each of its keys, the best quarter of the runs filled.

    Args:
        panels: per key its value in each run, the best run first.
        errors: of each run, in rising order.
        unit: label of the vertical axes.
    """
    figure, axes = canvas.grid([""] * len(panels), 2.6, "", unit, share=False)
    best = max(2, round(len(errors) / 4))
    for ax, (key, values) in zip(axes, panels.items(), strict=True):
        numeric = all(map(_is_number, values))
        x = array(values if numeric else [sorted(set(values)).index(value) for value in values])
        look: Look = {"marker": "o", "ls": "", "ms": 4.5, "color": canvas.BLUE}
        ax.plot(x[best:], errors[best:], mfc="white", label="run", **look)
        ax.plot(x[:best], errors[:best], label="of the best quarter", **look)
        ax.set(yscale="log", xlabel=key)
        if not numeric:
            ax.set_xticks(range(len(set(values))), sorted(set(values)))
            continue
        if x.min() > 0 and x.max() > 5 * x.min():
            ax.set_xscale("log")
        if len(set(values)) <= len(values) / 2:  # a choice among few
            canvas.ticks_at(ax, x)
            ax.minorticks_off()
    canvas.plain_ticks(axes[0].yaxis)
    canvas.legend(figure, 2)
    return figure


@style()
def means(
    groups: Mapping[str, tuple[Sequence[Any], ArrayLike, ArrayLike]],
    key: str,
    unit: str,
    measured: bool = False,
    signed: bool = False,
    memoryless: tuple[Sequence[Any], Sequence[float]] | None = None,
) -> Figure:
    """Means over seeds with their 95% intervals, over one swept key, one line per group.

    Args:
        groups: per label the key's values, the means, and the intervals (values, 2).
        key: label of the horizontal axis.
        unit: label of the vertical axis.
        measured: whether the key is a number that was measured and not chosen: its points stand
            where they are, not beside each other, over ordinary scales.
        signed: whether the means may be of either sign, and so stand over an ordinary scale.
        memoryless: values of the key, and there what predictors without memory have.
    """
    every = [value for values, _, _ in groups.values() for value in values]
    numeric = all(map(_is_number, every))
    names = list(dict.fromkeys(map(_name, every)))
    chosen = numeric and not measured
    log = chosen and min(every) > 0 and max(every) > LOGARITHMIC * min(every)
    figure, ax = canvas.single(canvas.WIDTH, 3.0)
    if log:
        ax.set_xscale("log")
    onto, back = (np.log, np.exp) if log else (array, array)
    alike = len({tuple(values) for values, _, _ in groups.values()}) < len(groups)
    beside = 0.3 * (alike and not measured)
    marked = zip(groups.items(), cycle(canvas.MARKERS))
    for index, ((label, (values, mean, interval)), marker) in enumerate(marked):
        x = onto(array(values if numeric else [names.index(_name(value)) for value in values]))
        centre, bounds = array(mean), array(interval)
        x = back(x + beside * _spacing(x) * ((index + 0.5) / len(groups) - 0.5))
        look: Look = {"marker": marker, "ms": 4, "lw": 1.0, "capsize": 2}
        line = "-" if numeric else ""
        ax.errorbar(x, centre, np.abs(bounds.T - centre), ls=line, label=label or None, **look)
    if memoryless and numeric:
        at, level = onto(array(memoryless[0])), array(memoryless[1])
        wide = 0.25 * _spacing(at)
        look = {"color": canvas.GREY, "ls": canvas.DASHED, "lw": 0.9}
        # Levels, and no line between them: the points of groups stand beside their value.
        ax.hlines(level, back(at - wide), back(at + wide), label="memoryless", **look)
    if chosen:
        canvas.ticks_at(ax, array(every))
    elif not numeric:
        ax.set_xticks(range(len(names)), names)
    ends = np.concatenate([array(one).ravel() for _, _, one in groups.values()])
    if ends.min() > 0 and ends.max() > 3 * ends.min() and not (measured or signed):
        ax.set_yscale("log")
        canvas.plain_ticks(ax.yaxis)
    ax.set(xlabel=key, ylabel=unit)
    if any(groups) or memoryless:
        canvas.legend(figure, 5)
    return figure


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _name(value: Any) -> str:
    """A value that stands for itself on an axis, as files of configs write it."""
    return "null" if value is None else str(value)


def _spacing(values: np.ndarray) -> float:
    """The least distance between two different values, 1 if there is one only."""
    apart = np.diff(np.unique(values))
    return float(apart.min()) if len(apart) else 1.0
