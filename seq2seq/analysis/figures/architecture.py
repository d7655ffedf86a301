"""Which inputs reach one output of a model, through which layers: read off the object, and drawn.

A model is rows of nodes, one node per layer and time, the inputs below and the outputs above. What
a node reads comes from the layers themselves: the taps and dilation of each convolution, the mask
of each attention, and for a recurrence its own predecessor, which carries the state. A node of the
inputs reaches the output y_T exactly if ∂y_T/∂x_s need not vanish.

The strip below a drawing is measured, not deduced: the size of that derivative. The receptive field
says what an architecture can see, the derivative how much its weights make of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
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
from torch import Tensor

from seq2seq.analysis import memory
from seq2seq.analysis.figures import BLUE, DARK, GREEN, GREY, PURPLE, VERMILION, style
from seq2seq.models import TCN, Transformer, ssm
from seq2seq.models.model import RecurrentModel, SequenceModel
from seq2seq.models.rnn import RNN
from seq2seq.models.tcn import CausalConvolution
from seq2seq.models.token import TokenModel

Mask = NDArray[np.bool_]
Array = NDArray[np.float64]

#: Derivatives below this share of the largest are not told apart from zero.
FLOOR = 1e-6

#: Shades that attention weights are drawn in.
SHADES = 8

CELLS = {"tanh": "tanh RNN", "relu": "ReLU RNN", "linear": "linear RNN"}


@dataclass(frozen=True)
class Row:
    """The nodes of one layer, and what they read.

    Attributes:
        name, detail: how the row is labelled; neighbours of one name are one layer.
        reads: (time, time); [t, s] is whether node t reads node s of the row below.
        carries: whether node t also reads node t−1 of its own row.
        skip: how many rows down the node of the same time lies that is added; 0 for none.
    """

    name: str
    detail: str
    reads: Mask
    carries: bool = False
    skip: int = 0


@dataclass(frozen=True)
class Graph:
    """The rows above the inputs, from the lowest to the outputs.

    Attributes:
        rows: of which the last is the outputs.
        receptive_field: of the model; None if it sees all inputs.
    """

    rows: tuple[Row, ...]
    receptive_field: int | None

    @property
    def length(self) -> int:
        """Time steps."""
        return len(self.rows[0].reads)

    @cached_property
    def reached(self) -> Mask:
        """(1 + rows, time): the nodes that the last output depends on, the inputs first."""
        found = np.zeros((len(self.rows) + 1, self.length), bool)
        found[-1, -1] = True
        for level in range(len(self.rows), 0, -1):
            row = self.rows[level - 1]
            if row.carries:  # and so do all earlier nodes of the row
                found[level] = found[level, ::-1].cumsum()[::-1] > 0
            found[level - 1] |= row.reads[found[level]].any(0)
            if row.skip:
                found[level - row.skip] |= found[level]
        return found


def graph(model: SequenceModel, length: int) -> Graph:
    """The nodes and edges of a model on sequences of `length` steps.

    Raises:
        ValueError: a model of an architecture that is not known here.
    """
    if isinstance(model, TokenModel):
        model = model.model
    readout = Row("output y", "", np.eye(length, dtype=bool))
    return Graph((*_layers(model, length), readout), model.receptive_field)


def _layers(model: SequenceModel, length: int) -> Iterator[Row]:
    if isinstance(model, TCN):
        return _convolutions(model, length)
    if isinstance(model, Transformer):
        return _attention(model, length)
    if isinstance(model, RecurrentModel):
        return _recurrences(model, length)
    raise ValueError(
        f"{type(model).__name__} has no drawing; known are recurrent models, TCN and Transformer"
    )


def _convolutions(model: TCN, length: int) -> Iterator[Row]:
    age = np.subtract.outer(np.arange(length), np.arange(length))
    for index, layer in enumerate(model.layers, 1):
        parts = [part for part in layer.children() if isinstance(part, CausalConvolution)]
        for number, part in enumerate(parts, 1):
            taps = part.dilation * np.arange(part.kernel_size)
            detail = f"dilation {part.dilation}, kernel {part.kernel_size}"
            skip = number if model.residual and number == len(parts) else 0
            yield Row(f"layer {index}", detail, np.isin(age, taps), skip=skip)


def _attention(model: Transformer, length: int) -> Iterator[Row]:
    visible = model.visible(torch.arange(length)).numpy()
    detail = f"{model.num_heads} head" + "s" * (model.num_heads > 1)
    if model.window is not None:
        detail += f", window {model.window}"
    for index in range(1, len(model.layers) + 1):
        yield Row(f"layer {index}: attention", detail, visible, skip=1)


def _recurrences(model: RecurrentModel, length: int) -> Iterator[Row]:
    kind, gated = type(model).__name__, False
    if isinstance(model, RNN):
        kind, gated = CELLS.get(model.cell, model.cell.upper()), model.cell in ("lstm", "gru")
    assert model.state_size is not None
    state = model.state_size // len(model.layers)
    layers = zip(model.layers, model.eigenvalues(), strict=True)
    for index, (layer, eigenvalues) in enumerate(layers, 1):
        detail = f"state of {state:,}"
        if not gated:  # what forgets is then the gates, not these
            detail += f", |λ| ≤ {float(eigenvalues.abs().max()):.3g}"
        same = np.eye(length, dtype=bool)
        skip = 1 if isinstance(layer, ssm.Block) else 0
        yield Row(f"layer {index}: {kind}", detail, same, carries=True, skip=skip)


# ---------------------------------------------------------------------------------------- drawing


def draw(model: SequenceModel, x: Tensor, head: int | None = None, width: float = 7.2) -> Figure:
    """What the last output depends on: the graph, and below it |∂y_T/∂x_s|, measured on x.

    Edges of attention are shaded by the share of the output's attention that runs through them in
    the first sequence: the product of the weights along a way from the output, summed over the
    ways (Abnar and Zuidema 2020, without the residual connections).

    Args:
        model: any of the package's models.
        x: inputs (sequences, time, input_dim), for a model of text integers (sequences, time).
        head: whose attention is drawn; None for the mean over heads.
        width: of the figure in inches.

    Raises:
        ValueError: a model of another architecture, or a head that it does not have.
    """
    x, model = _real(model, x)
    found = graph(model, x.shape[1])
    weights = attention_weights(model, x[:1], head) if isinstance(model, Transformer) else []
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
    model: SequenceModel, x: Tensor, head: int | None = None, width: float = 7.2
) -> Figure:
    """Each layer's attention weights on one sequence, rows being queries and columns keys.

    Args:
        model: a Transformer, also one of text.
        x: inputs (sequences, time, input_dim), or integers; the first sequence is drawn.
        head: which head; None for the mean over heads.
        width: of the figure in inches.

    Raises:
        ValueError: another model, or a head that it does not have.
    """
    x, inner = _real(model, x)
    if not isinstance(inner, Transformer):
        raise ValueError(f"{type(inner).__name__} has no attention; give a Transformer")
    weights = attention_weights(inner, x[:1], head)
    with style():
        columns = max(1, min(len(weights), int(width / 2.2)))
        rows, side = -(-len(weights) // columns), min((width - 1.2) / columns - 0.2, 2.6)
        height = rows * (side + 0.35) + 0.45
        figure = Figure(figsize=(columns * (side + 0.2) + 1.2, height))
        # On any background: what is masked stays empty, what is seen is tinted.
        shades = LinearSegmentedColormap.from_list("", [(*to_rgb(GREY), 0.15), to_rgb(BLUE)])
        # The first queries have few keys to choose from: theirs would be the only dark cells.
        norm = Normalize(0, max(float(weight[len(weight) // 2 :].max()) for weight in weights))
        visible = inner.visible(torch.arange(x.shape[1])).numpy()
        for index, weight in enumerate(weights):
            row, column = divmod(index, columns)
            foot = height - (row + 1) * (side + 0.35)
            ax = _place(figure, 0.5 + column * (side + 0.2), foot, side, side)
            seen = np.ma.masked_where(~visible, weight)
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


def attention_weights(model: Transformer, x: Tensor, head: int | None = None) -> list[Array]:
    """Per layer the weights (queries, keys) on the first sequence, of one head or their mean.

    Raises:
        ValueError: a head that the model does not have.
    """
    if head is not None and not 0 <= head < model.num_heads:
        raise ValueError(
            f"head must be below model.num_heads={model.num_heads}, got head={head}; count from 0"
        )
    with torch.no_grad():
        layers = [layer[0].double().cpu().numpy() for layer in model.attention(x)]
    return [layer.mean(0) if head is None else layer[head] for layer in layers]


def _place(figure: Figure, left: float, foot: float, width: float, height: float) -> Axes:
    """Axes at a place given in inches from the lower left corner."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, foot / up, width / across, height / up))


def _real(model: SequenceModel, x: Tensor) -> tuple[Tensor, SequenceModel]:
    """The model behind the token embedding, if there is one, and what it is given."""
    if not isinstance(model, TokenModel):
        return x, model
    with torch.no_grad():
        return model.embedding(x), model.model


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
    text = f"receptive field: {count} step" + "s" * (count > 1)
    if field is None:
        text = f"receptive field: all inputs, here {count}"
    elif field > count:
        text = f"receptive field: {field} steps, the last {count} drawn"
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
