"""Which inputs reach one output of a model, through which layers: read off the object, and drawn.

What the nodes read comes from the model, see `seq2seq.models.graph`.

The strip below a drawing is measured, not deduced: the size of that derivative. The receptive field
says what an architecture can see, the derivative how much its weights make of it.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from numpy.typing import NDArray
from torch import Tensor, nn

from seq2seq.analysis import memory
from seq2seq.analysis.figures import BLUE, DARK, GREEN, GREY, PURPLE, VERMILION, style
from seq2seq.models.graph import Graph, Mask, graph

Array = NDArray[np.float64]

#: Derivatives below this share of the largest are not told apart from zero.
FLOOR = 1e-6

#: Shades that attention weights are drawn in.
SHADES = 8


def draw(model: nn.Module, x: Tensor, head: int | None = None, width: float = 7.2) -> Figure:
    """What the last output depends on: the graph, and below it |∂y_T/∂x_s|, measured on x.

    Edges of attention are shaded by the share of the output's attention that runs through them in
    the first sequence: the product of the weights along a way from the output, summed over the
    ways (Abnar and Zuidema 2020, without the residual connections).

    Args:
        model: one that says what its layers read.
        x: inputs (sequences, time, input_dim), for a model of text integers (sequences, time).
        head: whose attention is drawn; None for the mean over heads.
        width: of the figure in inches.

    Raises:
        ValueError: a model that does not say, or a head that it does not have.
    """
    x, model = _real(model, x)
    found = graph(model, x.shape[1])
    weights = attention_weights(model, x[:1], head) if attends(model) else []
    single = len({row.name for row in found.rows}) == len(found.rows)
    inches = 0.7 if weights else 0.5 if single else 0.34  # from row to row
    above, strip, foot = inches * len(found.rows) + 0.5, 0.65, 0.45
    left = 0.25 + 0.055 * max(len(text) for row in found.rows for text in (row.name, row.detail))
    # Fixed margins, as laying out a figure by its texts takes longer than drawing it.
    with style():
        figure = Figure(figsize=(width, 0.35 + above + 0.1 + strip + foot))
        graph_axes = _place(figure, left, foot + strip + 0.1, width - left - 0.1, above)
        strip_axes = _place(figure, left, foot, width - left - 0.1, strip)
        _draw_graph(graph_axes, found, weights, 0.1 / inches)
        _draw_influence(strip_axes, memory.gradient_profile(model, x))
        strip_axes.set_xlim(graph_axes.get_xlim())
        figure.legend(handles=_legend(found, bool(weights)), loc="upper left", ncols=4)
    return figure


def draw_attention(
    model: nn.Module, x: Tensor, head: int | None = None, width: float = 7.2
) -> Figure:
    """Each layer's attention weights on one sequence, rows being queries and columns keys.

    Args:
        model: one with attention, also one of text.
        x: inputs (sequences, time, input_dim), or integers; the first sequence is drawn.
        head: which head; None for the mean over heads.
        width: of the figure in inches.

    Raises:
        ValueError: another model, or a head that it does not have.
    """
    x, inner = _real(model, x)
    weights = attention_weights(inner, x[:1], head)
    with style():
        columns = max(1, min(len(weights), int(width / 2.2)))
        lines, side = -(-len(weights) // columns), min((width - 1.2) / columns - 0.2, 2.6)
        height = lines * (side + 0.35) + 0.45
        figure = Figure(figsize=(columns * (side + 0.2) + 1.2, height))
        # On any background: what is masked stays empty, what is seen is tinted.
        shades = LinearSegmentedColormap.from_list("", [(*to_rgb(GREY), 0.15), to_rgb(BLUE)])
        # The first queries have few keys to choose from: theirs would be the only dark cells.
        norm = Normalize(0, max(float(weight[len(weight) // 2 :].max()) for weight in weights))
        rows = graph(inner, x.shape[1]).rows
        for index, weight in enumerate(weights):
            row, column = divmod(index, columns)
            foot = height - (row + 1) * (side + 0.35)
            ax = _place(figure, 0.5 + column * (side + 0.2), foot, side, side)
            seen = np.ma.masked_where(~rows[index].reads, weight)
            # Without interpolation an SVG holds one pixel per weight.
            image = ax.imshow(seen, cmap=shades, norm=norm, interpolation="none")
            ax.set_title(f"layer {index + 1}", loc="left", y=1.0)  # a given place needs no search
            ax.spines[:].set_visible(False)
            ax.tick_params(labelleft=column == 0, labelbottom=index + columns >= len(weights))
            ax.set_ylabel("query at time t" if column == 0 else "")
            ax.set_xlabel("key at time s" if index + columns >= len(weights) else "")
        bar = _place(figure, 0.5 + columns * (side + 0.2), height - side - 0.35, 0.12, side)
        whose = "mean over heads" if head is None else f"head {head + 1}"
        figure.colorbar(image, cax=bar, extend="max").set_label(f"attention weight, {whose}")
    return figure


def attends(model: nn.Module) -> bool:
    """Whether the model tells its attention weights."""
    return hasattr(type(model), "attention")


def attention_weights(model: nn.Module, x: Tensor, head: int | None = None) -> list[Array]:
    """Per layer the weights (queries, keys) on the first sequence, of one head or their mean.

    Raises:
        ValueError: a model without attention, or a head that it does not have.
    """
    if not attends(model):
        raise ValueError(f"{type(model).__name__} has no method attention(x); choose another model")
    with torch.no_grad():
        found: list[Tensor] = model.attention(x)  # type: ignore[operator]
    heads = found[0].shape[1]
    if head is not None and not 0 <= head < heads:
        raise ValueError(
            f"head must be below model.num_heads={heads}, got head={head}; count from 0"
        )
    layers = [layer[0].double().cpu().numpy() for layer in found]
    return [layer.mean(0) if head is None else layer[head] for layer in layers]


def _place(figure: Figure, left: float, foot: float, width: float, height: float) -> Axes:
    """Axes at a place given in inches from the lower left corner."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, foot / up, width / across, height / up))


def _real(model: nn.Module, x: Tensor) -> tuple[Tensor, nn.Module]:
    """The model behind the embedding of tokens, if there is one, and what it is given."""
    behind = getattr(model, "on_channels", None)
    return behind(x) if callable(behind) else (x, model)


def _draw_graph(ax: Axes, found: Graph, weights: Sequence[Array], gap: float) -> None:
    """Time runs to the right and ends at 0, at the output; level 0 is the inputs.

    `gap` is a tenth of an inch in levels.
    """
    reached, length = found.reached, found.length
    time = np.arange(length, dtype=np.float64) - (length - 1)
    flow = np.zeros(length)
    flow[-1] = 1.0
    # From the outputs downwards, since attention is shaded by what arrives from above.
    for level in range(len(found.rows), 0, -1):
        row, active = found.rows[level - 1], reached[level]
        # The rows below the outputs belong to layers of weights, one each.
        weight = weights[level - 1] if weights and level <= len(weights) else None
        used = row.reads & active[:, None]
        _lines(ax, time, level, row.reads & ~active[:, None], GREY, 0.25, 0.4)
        if weight is None:
            _lines(ax, time, level, used, BLUE, 0.9, 1.0)
        else:
            share = flow[:, None] * weight
            flow = share.sum(0)
            shade = np.ceil(SHADES * share / share.max()).astype(int)
            for step in range(1, SHADES + 1):
                _lines(ax, time, level, used & (shade == step), BLUE, step / SHADES, 1.1)
        if row.carries:
            before = active[1:]
            for part, color, alpha in ((before, GREEN, 1.0), (~before, GREY, 0.4)):
                t = time[1:][part]
                ax.plot(*_pairs(t - 1, t, level, level), color=color, alpha=alpha, lw=1.6)
        if row.skip:
            _arcs(ax, time[active], level, level - row.skip)
    inches = ax.figure.get_figure(root=True).get_size_inches()[0] - 1.6  # beside the labels
    size = min(5.0, 43 * inches / length)  # three fifths of the way to the next
    for level in range(len(found.rows) + 1):
        marker = "s" if level == 0 else "o"
        for part, color in ((~reached[level], GREY), (reached[level], BLUE)):
            face = color if color == BLUE else "none"
            ax.plot(
                time[part], 0 * time[part] + level, marker, ms=size, color=color, mfc=face, lw=0
            )
    ax.plot(0, len(found.rows), "o", ms=7, color=VERMILION)
    _label_rows(ax, found)
    _bracket(ax, time[reached[0]], found, gap)
    ax.set_ylim(-5 * gap, len(found.rows) + 2 * gap)


def _pairs(x0: Any, x1: Any, y0: float, y1: float) -> tuple[Array, Array]:
    """Separate segments as one line: coordinates with gaps between them."""
    gap = np.full(len(x0), np.nan)
    x = np.stack([x0, x1, gap], 1).ravel()
    return x, np.tile([y0, y1, np.nan], len(x0))


def _lines(
    ax: Axes, time: Array, level: int, reads: Mask, color: str, alpha: float, width: float
) -> None:
    """The edges of a row as one path, so that crossing lines do not add up their opacity."""
    to, source = np.nonzero(reads)
    if len(to):
        x, y = _pairs(time[source], time[to], level - 1, level)
        ax.plot(x, y, color=color, alpha=alpha, lw=width, zorder=1, solid_capstyle="round")


def _arcs(ax: Axes, time: Array, level: int, below: int) -> None:
    """Skip connections, bent aside so that the nodes between stay free."""
    aside, middle = 0.35 * (level - below), (level + below) / 2
    points = [((t, below), (t + aside, middle), (t, level)) for t in time.tolist()]
    codes = [Path.MOVETO, Path.CURVE3, Path.CURVE3] * len(points)
    path = Path(np.concatenate([np.array(one) for one in points]), codes)
    ax.add_patch(PathPatch(path, fc="none", ec=PURPLE, lw=0.9, alpha=0.9))


def _label_rows(ax: Axes, found: Graph) -> None:
    ticks, labels, level = [0.0], ["input x"], 1
    for index, (name, group) in enumerate(groupby(found.rows, key=lambda row: row.name)):
        rows = list(group)
        ticks.append(level + (len(rows) - 1) / 2)
        labels.append("\n".join(filter(None, (name, rows[0].detail))))
        if rows[0].detail and index % 2 == 0:
            ax.axhspan(level - 0.5, level + len(rows) - 0.5, color=GREY, alpha=0.1, lw=0)
        level += len(rows)
    ax.set_yticks(ticks, labels)
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.set_xlim(-found.length + 0.3, 0.9)
    ax.spines[:].set_visible(False)


def _bracket(ax: Axes, reached: Array, found: Graph, gap: float) -> None:
    """The span of the reached inputs, open to the left where the drawing cuts it off."""
    first, count = float(reached[0]), len(reached)
    field = found.receptive_field
    text = f"receptive field: {count:,} step" + "s" * (count > 1)
    if field is None:
        text = f"receptive field: all inputs, here {count:,}"
    elif field > count:
        text = f"receptive field: {field:,} steps, the last {count:,} drawn"
    cut = field is None or field > count
    ax.plot([first, 0], [-2 * gap, -2 * gap], color=DARK, lw=0.9)
    for x, marker in ((first, "<" if cut else "|"), (0.0, "|")):
        ax.plot(x, -2 * gap, marker, color=DARK, ms=5)
    inside = count > found.length / 2
    x, side = (first / 2, "center") if inside else (0.4, "right")
    ax.text(x, -2.8 * gap, text, ha=side, va="top", color=DARK, fontsize=8)


def _draw_influence(ax: Axes, profile: Array) -> None:
    """Bars of the derivatives, on a logarithmic scale, in units of the largest."""
    relative = profile / max(profile.max(), np.finfo(float).tiny)
    lag = np.arange(len(relative))
    seen = relative > FLOOR
    ax.bar(-lag[seen], relative[seen] / FLOOR - 1, 0.7, bottom=1.0, color=VERMILION, lw=0)
    ax.set_yscale("log")
    ax.set_ylim(1, 2 / FLOOR)
    ax.set_yticks([1, FLOOR**-0.5, 1 / FLOOR], ["10⁻⁶", "10⁻³", "1"])
    ax.minorticks_off()
    ax.set_ylabel("|∂y/∂x|")
    ax.set_xlabel("time before the output (steps)")


def _legend(found: Graph, shaded: bool) -> list[Line2D]:
    entries = [Line2D([], [], color=BLUE, label="attends to" if shaded else "reads")]
    if any(row.carries for row in found.rows):
        entries.append(Line2D([], [], color=GREEN, lw=1.6, label="carries its state"))
    if any(row.skip for row in found.rows):
        entries.append(Line2D([], [], color=PURPLE, label="is added (skip)"))
    if not found.reached.all():
        entries.append(
            Line2D([], [], color=GREY, alpha=0.5, marker="o", mfc="none", ms=4, label="not used")
        )
    return entries
