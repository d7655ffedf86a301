"""What all figures share: style and colours, grids of panels, ticks, numbers, and files of them.

Colours are those of Okabe and Ito, "Color Universal Design" (2008), told apart by colour-blind
readers; line styles and markers repeat what the colours say.
"""

import io
import textwrap
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Properties of what matplotlib draws.
Look = dict[str, Any]

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY, DARK = "#767676", "#444444"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKERS = "osD^vPX"

#: Inches that a figure of a report is wide, whatever it holds.
WIDTH = 9.4

#: Of lines that are no data: references, limits.
DASHED = (0, (4, 2))

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
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


@contextmanager
def style() -> Iterator[None]:
    """The settings of this module, for a `with` block or, as `@style()`, for a function."""
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


def files(figure: Figure, path: Path) -> str:
    """Write the figure as `path.svg`, `path.pdf` and `path.png`; returns the SVG document."""
    drawing = svg(figure)
    figure.set_layout_engine(None)  # it has been laid out; else each file is drawn twice
    Path(f"{path}.svg").write_text(drawing, encoding="utf-8")
    png(figure, f"{path}.png")
    with style():
        figure.savefig(f"{path}.pdf", format="pdf", metadata={"CreationDate": None})
    return drawing


def single(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of one panel, its size in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def grid(
    titles: Collection[str],
    height: float,
    x: str,
    y: str,
    most: int = 3,
    widest: float = WIDTH,
    share: bool = True,
    least: int = 1,
) -> tuple[Figure, list[Axes]]:
    """A figure with a panel per title, side by side up to `most`, the axes named at its edge.

    Args:
        height: of a panel in inches.
        x, y: labels of the axes.
        widest: width of a panel in inches where there is room.
        share: whether all panels have the same scales.
        least: fewest columns, of which some may stay empty.
    """
    count = max(1, len(titles))
    columns = min(most, max(count, least))
    rows = -(-count // columns)
    size = (columns * min(widest, WIDTH / columns), rows * height)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share).ravel()
    for ax, title in zip(axes, titles, strict=False):
        ax.set_title(broken(title, columns))
    for index, ax in enumerate(axes):
        ax.set_visible(index < count)
        if index % columns == 0:
            ax.set_ylabel(y)
        if index + columns >= count:
            ax.set_xlabel(x)
            ax.tick_params(labelbottom=True)
    return figure, list(axes[: len(titles)])


def broken(title: str, columns: int) -> str:
    """The title of one of several panels side by side, in lines that break between settings."""
    return textwrap.fill(title.replace(" = ", "\u00a0=\u00a0"), 100 // columns)


def legend(figure: Figure, columns: int, *entries: Line2D) -> None:
    """A legend above the panels: of `entries`, or else of all that is labelled, each label once."""
    every = [ax.get_legend_handles_labels() for ax in figure.axes]
    labelled: dict[str, Any] = {
        label: handle
        for handles, labels in every
        for handle, label in zip(handles, labels, strict=True)
    }
    shown: dict[Any, Any] = {entry.get_label(): entry for entry in entries} or labelled
    letters = FontProperties(size=mpl.rcParams["legend.fontsize"]).get_size_in_points()
    widths = [TextPath((0, 0), label, size=letters).get_extents().width for label in shown]
    column = max(widths, default=0) + 4.5 * letters  # with the line before it and the gaps
    fits = int(72 * figure.get_figwidth() // column)
    figure.legend(
        list(shown.values()),
        list(shown),
        loc="outside upper left",
        ncols=max(1, min(columns, len(shown), fits)),
    )


def entry(label: str, **properties: Any) -> Line2D:
    """A line for a legend."""
    return Line2D([], [], label=label, **properties)


def ticks_at(ax: Axes, values: Array) -> None:
    """Ticks at the values that were swept, if they are few and far enough apart for a label."""
    swept = np.unique(values)
    log = ax.get_xscale() == "log"
    at = np.log(swept) if log else swept
    if len(swept) <= 12 and all(np.diff(at) > 0.03 * (at[-1] - at[0])):
        ax.set_xticks(swept, [number(value) for value in swept])
        ax.xaxis.set_minor_formatter(NullFormatter())
    elif log:
        plain_ticks(ax.xaxis)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))


def plain_ticks(axis: Axis) -> None:
    """Label 1, 2 and 5 of each decade, as plain numbers, where the axis has fewer than two."""
    low, high = axis.get_view_interval()
    if low > 0 and high / low < 100:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low > 5 else range(1, 10)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axis.set_minor_formatter(NullFormatter())


def array(values: Any) -> Array:
    """A float64 array from numbers, arrays or tensors, these on any device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values, dtype=np.float64)


def number(value: Any) -> str:
    """A value as labels show it: three digits, thousands set apart, other things as they are."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return str(value)
    real = float(value)
    if real and abs(real) < 0.01:
        mantissa, exponent = f"{real:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    if abs(real) >= 1e8:
        return f"{real:.1e}".replace("e+", "e").replace("e0", "e")
    return f"{real:,.0f}" if abs(real) >= 100 else f"{real:.3g}"
