"""Figures for the pages: the style of `seq2seq.analysis.figures`, light and dark from one SVG."""

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seq2seq.analysis import figures

#: The palette's colours and what a page may set in their place.
COLOURS = {
    figures.BLACK: "currentColor",
    figures.DARK: "currentColor",
    figures.GREY: "var(--grey, #767676)",
    figures.BLUE: "var(--blue, #0072b2)",
    figures.VERMILION: "var(--vermilion, #d55e00)",
    figures.GREEN: "var(--green, #009e73)",
    figures.PURPLE: "var(--purple, #cc79a7)",
    figures.ORANGE: "var(--orange, #e69f00)",
    figures.SKY: "var(--sky, #56b4e9)",
    "#ffffff": "var(--paper, #ffffff)",
}

#: CSS pixels per inch.
DPI = 96


def panels(
    width: int,
    heights: Sequence[int],
    left: int = 52,
    right: int = 10,
    top: int = 24,
    gap: int = 34,
    bottom: int = 40,
) -> tuple[Figure, list[Axes]]:
    """A figure of `width` pixels with empty axes of the given `heights` one above the other.

    They share their horizontal axis, which has its labels at the foot. `left`, `right`, `top`,
    `gap` and `bottom` are the pixels around and between them: fixed ones keep the figure still
    while a slider moves, and cost nothing to lay out. Use it and what draws on it inside
    `with figures.style()`.
    """
    height = top + sum(heights) + gap * (len(heights) - 1) + bottom
    figure = Figure(figsize=(width / DPI, height / DPI))
    axes: list[Axes] = []
    above = top
    for tall in heights:
        foot = (height - above - tall) / height
        place = (left / width, foot, (width - left - right) / width, tall / height)
        axes.append(figure.add_axes(place, sharex=axes[0] if axes else None))
        above += tall + gap
    for upper in axes[:-1]:
        upper.tick_params(labelbottom=False)
    return figure, axes


def curve(axes: Axes, values: Any, colour: str, title: str, step: float = 1.0) -> None:
    """A sequence (time,) over time 0, `step`, 2·`step`, …, its title in the curve's colour."""
    time = step * np.arange(len(values))
    axes.axhline(0, color=figures.GREY, lw=0.6)
    axes.plot(time, values, color=colour, marker="o" if len(values) <= 100 else "", ms=2.5)
    axes.set_title(title, loc="left", color=colour, y=1.0)  # a given place needs no search
    axes.set_xlim(-step, time[-1] + step)
    low, high = min(values.min(), 0), max(values.max(), 0)
    margin = 0.08 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)


def svg(figure: Figure) -> str:
    """The figure as an `<svg>` element: no background, letters as text, the page's own colours."""
    buffer = io.StringIO()
    with figures.style(), rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # A style element would hold for the whole document; `explorer.css` has its rule.
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = text.replace("font-family: 'DejaVu Sans'; ", "")  # the page's own
    # Hundredths of a point will do.
    text = re.sub(r' [dxy]="[^"]+"', lambda one: re.sub(r"(?<=\.\d\d)\d+", "", one[0]), text)
    for colour, property in COLOURS.items():
        text = text.replace(colour.lower(), property)
    return text
