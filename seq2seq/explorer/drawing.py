"""Figures for the pages: the style of `seq2seq.analysis.figures`, light and dark from one SVG."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seq2seq.analysis import figures
from seq2seq.explorer import page

#: The palette's colours and what `explorer.css` sets in their place.
NAMED = ("grey", "blue", "vermilion", "green", "purple", "orange", "sky")
COLOURS = {getattr(figures, name.upper()): f"var(--{name})" for name in NAMED}
COLOURS |= {figures.BLACK: "currentColor", figures.DARK: "currentColor", "#ffffff": "var(--paper)"}

#: Of curves that stand beside each other.
LINES = (
    figures.VERMILION,
    figures.BLUE,
    figures.GREEN,
    figures.PURPLE,
    figures.ORANGE,
    figures.SKY,
)

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
    marker = "o" if len(values) <= 100 else ""
    axes.plot(time, values, color=colour, marker=marker, ms=2.5, label=title)
    axes.set_title(title, loc="left", color=colour, y=1.0)  # a given place needs no search
    axes.set_xlim(-step, time[-1] + step)
    low, high = min(values.min(), 0), max(values.max(), 0)
    margin = 0.08 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)


def block(name: str, figure: Figure, description: str) -> page.Figure:
    """The figure as a page shows it."""
    return page.Figure(name, svg(figure), description, panels_of(figure))


def panels_of(figure: Figure) -> list[Mapping[str, Any]]:
    """The labelled curves of a figure, per axes.

    Each panel has `box`, its left, top, right and bottom edges as shares of the figure, the limits
    of its horizontal axis, whether that is logarithmic (`log`), its name `x`, and `lines`: each a
    `label`, a `colour` for style sheets, and the points `x` and `y`, to four digits.
    """
    shown = [(axes, _labelled(axes)) for axes in figure.axes]
    names = [axes.get_xlabel() for axes, _ in shown if axes.get_xlabel()]
    return [
        {
            "box": [place.x0, 1 - place.y1, place.x1, 1 - place.y0],
            "limits": axes.get_xlim(),
            "log": axes.get_xscale() == "log",
            "x": axes.get_xlabel() or names[-1],
            "lines": lines,
        }
        for axes, lines in shown
        if lines and (place := axes.get_position())
    ]


def _labelled(axes: Axes) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for line in axes.lines:
        label, colour = str(line.get_label()), str(line.get_color())
        if not label.startswith("_"):
            x, y = ([_rounded(v) for v in np.asarray(data).tolist()] for data in line.get_data())
            found.append({"label": label, "colour": property_of(colour), "x": x, "y": y})
    return found


def property_of(colour: str) -> str:
    """What style sheets call a colour of the palette."""
    return COLOURS.get(colour, "currentColor")


def _rounded(value: float) -> float | None:
    """To four digits; None for what JSON has no number for."""
    return float(f"{value:.4g}") if np.isfinite(value) else None


def cut(label: str, width: int) -> str:
    """The label, without letters of its middle where a legend of `width` pixels lacks the room."""
    most = (width - 50) // 6
    half = most // 2 - 1
    return label if len(label) <= most else f"{label[:half]} … {label[-half:]}"


def columns(width: int, labels: Sequence[str]) -> tuple[int, int]:
    """How many columns and rows a legend of these labels takes in `width` pixels."""
    count = max(1, min(len(labels), width // (40 + 6 * max(map(len, labels)))))
    return count, -(-len(labels) // count)


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


def printed(text: str) -> str:
    """What `svg` gives as a picture of its own: on white, its colours those of the palette."""
    for colour, property in COLOURS.items():
        text = text.replace(property, colour)
    lent = "*{stroke-linejoin:round;stroke-linecap:butt}text{font-family:sans-serif}"
    return re.sub(r"<svg[^>]*>", lambda start: f"{start[0]}<style>{lent}</style>", text, count=1)
