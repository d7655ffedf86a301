"""Figures for the pages: the style of `seq2seq.analysis.figures`, light and dark from one SVG."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seq2seq.analysis import figures

#: The palette's colours and what `explorer.css` sets in their place.
NAMED = ("grey", "blue", "vermilion", "green", "purple", "orange", "sky")
COLOURS = {getattr(figures, name.upper()): f"var(--{name})" for name in NAMED}
COLOURS |= {figures.BLACK: "currentColor", figures.DARK: "currentColor", "#ffffff": "var(--paper)"}

#: CSS pixels per inch.
DPI = 96


def panels(
    width: int,
    heights: Sequence[int],
    left: int = 52,
    right: int = 10,
    top: int = 24,
) -> tuple[Figure, list[Axes]]:
    """A figure of `width` pixels with empty axes of the given `heights` one above the other.

    They share their horizontal axis, which has its labels at the foot. `left`, `right` and `top`
    are the pixels around them: fixed ones keep the figure still while a slider moves, and cost
    nothing to lay out. Use it and what draws on it inside `with figures.style()`.
    """
    gap, bottom = 34, 40
    height = top + sum(heights) + gap * (len(heights) - 1) + bottom
    figure = Figure(figsize=(width / DPI, height / DPI))
    place = {
        "left": left / width,
        "right": 1 - right / width,
        "top": 1 - top / height,
        "bottom": bottom / height,
        "hspace": gap / np.mean(heights),
        "height_ratios": heights,
    }
    axes = figure.subplots(len(heights), squeeze=False, sharex=True, gridspec_kw=place)
    return figure, list(axes[:, 0])


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
    with rc_context({"svg.fonttype": "none", "savefig.transparent": True}):
        text = figures.svg(figure)
    text = text[text.index("<svg") :]
    # A style element would hold for the whole document; `explorer.css` has its rule.
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = text.replace("font-family: 'DejaVu Sans'; ", "")  # the page's own
    # Hundredths of a point will do.
    text = re.sub(r' [dxy]="[^"]+"', lambda one: re.sub(r"(?<=\.\d\d)\d+", "", one[0]), text)
    for colour, property in COLOURS.items():
        text = text.replace(colour.lower(), property)
    return text
