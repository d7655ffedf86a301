"""Figures of one run: what it answers, what it remembers, how its loss fell."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from seq2seq.analysis.figures import canvas
from seq2seq.analysis.figures.canvas import Array, Look, array, style
from seq2seq.analysis.plateau import RULE, Plateau, Rule, smoothed

History = Mapping[str, ArrayLike]

#: Points per curve that a picture can show; longer curves are averaged over blocks.
POINTS = 400

#: Reference losses closer than this ratio share one line and one label.
COINCIDE = 1.02


@style()
def prediction(
    x: ArrayLike, y: ArrayLike, prediction: ArrayLike, memoryless: ArrayLike | None = None
) -> Figure:
    """Inputs, targets and predictions of a few sequences, one panel each, first channel.

    Args:
        x: inputs (sequences, time, channels).
        y, prediction: targets and a model's outputs, (sequences, time, channels).
        memoryless: what the best predictor without memory answers, of the same shape.
    """
    titles = [""] * len(array(x))
    figure, axes = canvas.grid(titles, 1.7, "time $t$ (steps)", "value", most=1, widest=6.4)
    lines: list[tuple[ArrayLike | None, Look]] = [
        (x, {"color": canvas.GREY, "lw": 0.8, "label": "input $x_t$"}),
        (y, {"color": canvas.BLACK, "lw": 2.2, "label": "target $y_t$"}),
        (prediction, {"color": canvas.SKY, "ls": "--", "zorder": 3, "label": "prediction"}),
        (memoryless, {"color": canvas.VERMILION, "ls": ":", "label": "without memory"}),
    ]
    for values, line in lines:
        if values is not None:
            for ax, one in zip(axes, array(values), strict=True):
                ax.plot(one[:, 0], **line)
    canvas.legend(figure, len(lines))
    return figure


@style()
def impulse_response(true: ArrayLike, learned: ArrayLike) -> Figure:
    """The kernel of the task and the response of a model to a unit impulse.

    Args:
        true: (lags,).
        learned: (lags,), or (runs, lags) for one thin line per run.
    """
    figure, ax = canvas.single(5.2, 2.8)
    runs = len(np.atleast_2d(array(learned)))
    draw_responses(ax, true, learned, "learned" + f", {runs} runs" * (runs > 1))
    ax.set(xlabel="lag $s$ (steps)", ylabel="response to an impulse")
    canvas.legend(figure, 2)
    return figure


def draw_responses(ax: Axes, true: ArrayLike, learned: ArrayLike, label: str) -> None:
    """What `impulse_response` shows, on given axes."""
    target, responses = array(true), np.atleast_2d(array(learned))
    alone = len(responses) == 1
    # Where there are many, markers hide the lines.
    marker = "o" if len(target) <= 64 and alone else ""
    ax.axhline(0, color=canvas.GREY, lw=0.6)
    ax.plot(target, color=canvas.BLACK, lw=2.2, marker=marker, ms=4, label="true kernel")
    lw, alpha = (1.2, 1.0) if alone else (0.8, 0.7)
    lines = ax.plot(responses.T, color=canvas.VERMILION, lw=lw, alpha=alpha, marker=marker, ms=2.5)
    lines[0].set_label(label)


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


#: Losses from high to low, each with the names of the references that share it; names alone.
Lines = tuple[list[tuple[float, list[str]]], list[str]]


def draw_references(ax: Axes, references: Mapping[str, float]) -> Lines:
    """A dashed line per reference; what `name_references` names, those far below undrawn."""
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in ax.lines]
    lowest = min((float(values.min()) for values in drawn if len(values)), default=0.0)
    below = [name for name, loss in references.items() if not loss >= lowest / 3]
    lines = merged({name: loss for name, loss in references.items() if name not in below})
    for loss, _ in lines:
        ax.axhline(loss, color=canvas.GREY, lw=0.9, ls=canvas.DASHED, zorder=1)
    return lines, below


def name_references(
    ax: Axes, lines: list[tuple[float, list[str]]], below: list[str], size: float = 6.5
) -> None:
    """The name of each line beside the axes at its end, in letters of `size`.

    References far below the curves are named at the foot. Whatever moves the limits of the axes
    comes before.
    """
    ax.get_ylim()  # until they are asked for, limits are as before the last lines
    to_axes = ax.transData + ax.transAxes.inverted()
    names: list[tuple[float, str]] = []
    for loss, shared in lines:
        height = float(to_axes.transform((1, loss))[1])
        names += [(height, name) for name in shared]
    if below:
        names.append((0.0, f"{', '.join(join(below))} ↓"))
    inches = ax.figure.get_figure(root=True).get_size_inches()[1] * ax.get_position().height
    gap = 1.5 * size / 72 / inches
    heights = spread([height for height, _ in names], gap)
    for rank, ((_, name), height) in enumerate(zip(names, heights, strict=True)):
        ax.annotate(
            name,
            (1.01, min(height, 1 - rank * gap)),  # below the title
            xycoords="axes fraction",
            va="center",
            color=canvas.DARK,
            fontsize=size,
            annotation_clip=False,
        )


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Heights in falling order moved as little as needed to lie `gap` apart."""
    # Clusters grow until none overlap; each is centred on the mean of its members' wishes.
    clusters: list[list[float]] = []
    for height in heights:
        clusters.append([height])
        while len(clusters) > 1 and np.mean(clusters[-2]) - np.mean(clusters[-1]) < gap / 2 * (
            len(clusters[-2]) + len(clusters[-1])
        ):
            clusters[-2:] = [clusters[-2] + clusters[-1]]
    return [
        float(np.mean(cluster)) + gap * ((len(cluster) - 1) / 2 - rank)
        for cluster in clusters
        for rank in range(len(cluster))
    ]


def merged(references: Mapping[str, float]) -> list[tuple[float, list[str]]]:
    """Losses from high to low, each with the names of the references that share it."""
    groups: list[tuple[float, list[str]]] = []
    for name, loss in sorted(references.items(), key=lambda item: -item[1]):
        if groups and groups[-1][0] <= loss * COINCIDE:
            groups[-1][1].append(name)
        else:
            groups.append((loss, [name]))
    return [(loss, join(names)) for loss, names in groups]


def join(names: Sequence[str]) -> list[str]:
    """`zero`, `memoryless`, `taps 2–8` from `zero`, `memoryless`, `taps_2`, `taps_4`, `taps_8`."""
    taps = sorted(int(name[5:]) for name in names if name.startswith("taps_"))
    parts = [name for name in names if not name.startswith("taps_")]
    if taps:
        parts.append(f"taps {taps[0]}" + (f"–{taps[-1]}" if len(taps) > 1 else ""))
    return parts


@style()
def plateaus(history: History, found: Sequence[Plateau], rule: Rule = RULE) -> Figure:
    """One run's losses, what the smoothing makes of them, and its plateaus: the definition drawn.

    Args:
        history: the arrays `step` and `loss`.
        found: what `plateau.find` says of it.
        rule: the rule it was asked with.
    """
    figure, ax = canvas.single(canvas.WIDTH, 3.2)
    every = thin(history, 4 * POINTS)
    ax.plot(*every, color=canvas.GREY, alpha=0.6, lw=0.6, label="loss of each step")
    step, smooth = smoothed(history, rule)
    ax.plot(*thin({"step": step, "loss": smooth}), color=canvas.BLUE, label="smoothed loss")
    for one in found:
        span = [one.start, one.end if one.escape is None else one.escape]
        top, bottom = one.level * (1 + rule.tolerance), one.level * (1 - rule.drop)
        label = "plateau: from its level's tolerance to the drop below it"
        ax.fill_between(span, bottom, top, color=canvas.SKY, alpha=0.25, lw=0, label=label)
        ax.plot(span, [one.level] * 2, color=canvas.BLACK, lw=0.9, ls=":")
        mark_escape(ax, one, bottom)
    ax.set(xscale="log", yscale="log", xlabel="step", ylabel="training loss")
    canvas.plain_ticks(ax.yaxis)
    canvas.legend(figure, 2)
    return figure


def mark_escape(ax: Axes, one: Plateau, height: float, color: str = canvas.VERMILION) -> None:
    """A triangle down at the escape, one to the right where the run ended before."""
    escape, marker, face = (
        (one.end, ">", "white") if one.escape is None else (one.escape, "v", color)
    )
    ax.plot(escape, height, marker=marker, color=color, mfc=face, ms=5, ls="", zorder=4)
