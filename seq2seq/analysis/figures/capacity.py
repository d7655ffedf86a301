"""Figures of recalled bits."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import ArrayLike

from seq2seq.analysis.figures import canvas
from seq2seq.analysis.figures.canvas import Look, array, style


@dataclass(frozen=True)
class Line:
    """One model: numbers in its states, and (states, 3) the mean bits that each recalls and the
    ends of its interval."""

    numbers: ArrayLike
    ends: ArrayLike


@dataclass(frozen=True)
class Rounded:
    """One state of a model: its numbers, the bits it recalls, and (precisions, 3) those with
    rounded numbers, as in `Line`, by the bits of each."""

    numbers: int
    bits: float
    precisions: ArrayLike
    ends: ArrayLike


@dataclass(frozen=True)
class Point:
    """One model: two means, each with the ends of its interval."""

    x: tuple[float, float, float]
    y: tuple[float, float, float]


def _looks(models: Iterable[str]) -> dict[str, Look]:
    """Colour and marker of each; from the eighth on hollow ones."""
    found: dict[str, Look] = {}
    for index, model in enumerate(models):
        turn, place = divmod(index, len(canvas.PALETTE))
        color, marker = canvas.PALETTE[place], canvas.MARKERS[place]
        hollow: Look = {"mfc": "white", "ls": canvas.DASHED} if turn else {}
        line: Look = {"color": color, "marker": marker, "ms": 4.5, "lw": 1.1, "elinewidth": 0.7}
        found[model] = line | hollow
    return found


@style()
def recalled_bits(
    lines: Mapping[str, Line],
    rounded: Mapping[str, Rounded],
    source: float,
    shortcut: float | None,
) -> Figure:
    """Bits that states recall, over their numbers, and what is left of them with fewer bits each.

    Args:
        lines: per model.
        rounded: per model one of its states; none leaves the second panel out.
        source: bits of the answers; infinite where there is no bound.
        shortcut: bits of guessing among the symbols of the context; None for none.
    """
    looks = _looks(lines)
    panels = 1 + bool(rounded)
    figure = Figure(figsize=(canvas.WIDTH, 3.7), layout="constrained")
    first, *others = figure.subplots(1, panels, width_ratios=[1.35, 1][:panels], squeeze=False)[0]
    bottom = _limits(first, lines, source)
    for model, line in lines.items():
        mean, low, high = array(line.ends).T
        mean = mean.clip(min=bottom)
        errors = np.clip([mean - low, high - mean], 0, None)
        first.errorbar(array(line.numbers), mean, errors, label=model, capsize=2, **looks[model])
    _bounds(first, source, shortcut)
    first.set(xlabel="real numbers in the state", ylabel="recalled bits per sequence")
    for ax in others:
        for model, one in rounded.items():
            mean, low, high = array(one.ends).T / one.bits
            errors = np.clip([mean - low, high - mean], 0, None)
            ax.errorbar(array(one.precisions), mean, errors, capsize=2, **looks[model])
        canvas.ticks_at(ax, np.concatenate([array(one.precisions) for one in rounded.values()]))
        ax.axhline(1, color=canvas.GREY, lw=0.9, ls=canvas.DASHED)
        ax.set_ylim(-0.05, 1.1)
        ax.set_title("the state of each model with the most bits per number")
        ax.set(xlabel="bits of each number", ylabel="share of the bits recalled")
    handles, labels = first.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=5)
    return figure


def _limits(ax: Axes, lines: Mapping[str, Line], source: float) -> float:
    """Logarithmic scales that hold all that is recalled; where they begin, half a bit or more."""
    numbers = np.concatenate([array(line.numbers) for line in lines.values()])
    means = np.concatenate([array(line.ends)[:, 0] for line in lines.values()])
    ax.set(xscale="log", yscale="log")
    ax.set_xlim(numbers.min() / 1.5, numbers.max() * 1.5)
    top = min(source, means.max())
    bottom = max(0.5, 0.7 * float(means.min()))
    ax.set_ylim(bottom, 1.6 * max(top, 1.0))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: canvas.number(value)))
        axis.set_minor_formatter(NullFormatter())
        canvas.plain_ticks(axis)
    return bottom


def _bounds(ax: Axes, source: float, shortcut: float | None) -> None:
    """What there is to recall, what a guess earns, and lines of equal bits per number."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    _levels(ax, source, shortcut, bottom, top)
    x = np.array([left, right])
    low, high = math.floor(math.log2(bottom / right)), math.ceil(math.log2(top / left))
    for power in range(low + 1, high, 2):
        ax.plot(x, x * 2.0**power, color=canvas.GREY, lw=0.6, ls=":", zorder=0)
        end = min(right, top / 2.0**power)
        if left * 1.3 < end and end * 2.0**power > bottom * 1.3:
            text = f"{2**power}" if power >= 0 else f"1/{2**-power}"
            where = (end, end * 2.0**power)
            ax.annotate(
                text, where, (-2, -2), textcoords="offset points", ha="right", va="top",
                fontsize=7, color=canvas.GREY,
            )  # fmt: skip
    ax.set(xlim=(left, right), ylim=(bottom, top))
    ax.plot([], [], color=canvas.GREY, lw=0.6, ls=":", label="equal bits per number")


def _levels(
    ax: Axes, source: float, shortcut: float | None, bottom: float, top: float
) -> list[float]:
    """Draw the source and the shortcut where they lie between these bits, and say which do."""
    looks = {"source": (source, canvas.DASHED), "one of the context's values": (shortcut, "-.")}
    drawn = []
    for name, (level, look) in looks.items():
        if level is not None and bottom < level < top:
            label = f"{name}: {level:.3g} bits"
            ax.axhline(level, color=canvas.DARK, lw=1, ls=look, label=label, zorder=1)
            drawn.append(level)
    return drawn


@style()
def front(points: Mapping[str, Point], what: str, source: float, shortcut: float | None) -> Figure:
    """Recalled bits against what else a model does, both with intervals.

    Args:
        points: per model, `<model>, <variant>` being filled for the last variant.
        what: label of the horizontal axis, which is logarithmic.
        source, shortcut: as in `recalled_bits`.
    """
    figure, ax = canvas.single(canvas.WIDTH, 3.9)
    families = _looks(dict.fromkeys(model.partition(", ")[0] for model in points))
    told = [model.partition(", ")[2] for model in points]
    for (model, point), variant in zip(points.items(), told, strict=True):
        look = families[model.partition(", ")[0]] | {"ls": "", "ms": 6, "capsize": 2}
        if variant != told[-1]:
            look["mfc"] = "white"
        (x, left, right), (y, low, high) = point.x, point.y
        ends = [[[x - left], [right - x]], [[y - low], [high - y]]]
        ax.errorbar(x, y, xerr=ends[0], yerr=ends[1], label=model, **look)
    ax.set_xscale("log", base=2)
    ax.set_xlim(0.9, 300)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: canvas.number(value)))
    ax.set(xlabel=what, ylabel="recalled bits per sequence")
    top = 1.2 * max(point.y[0] for point in points.values())
    top = max([top, *(1.05 * level for level in _levels(ax, source, shortcut, 0, 2 * top))])
    ax.set_ylim(0, top)  # of few runs intervals may reach far beyond
    figure.legend(loc="outside right upper")
    return figure
