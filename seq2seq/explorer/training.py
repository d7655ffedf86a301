"""The page of training curves: of models, the published ones, and the predictors to beat."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from matplotlib.lines import Line2D

from seq2seq.analysis import figures, plateau, published
from seq2seq.explorer import drawing, trained
from seq2seq.explorer.page import Blocks, Controls, Note, Page, Refused, Several, Table
from seq2seq.runs import Run

#: Of the figure's axes, in pixels.
HEIGHT = 330

#: Pixels left of them.
LEFT = 64

#: Losses of a predictor that differ by less than this share are one: where they are estimated, the
#: data of another seed move them by as much.
SAME = 0.05

#: How a plateau is marked, beside the colour of its curve.
BAND: dict[str, Any] = {"lw": 9, "alpha": 0.25, "solid_capstyle": "butt"}

#: Line styles of the published curves.
PUBLISHED = ("-", "--", ":")


class Curve(NamedTuple):
    """A training: its losses in the unit of the page, its plateaus, and how it is drawn."""

    label: str
    history: dict[str, Any]
    plateaus: list[plateau.Plateau]
    colour: str
    style: str = "-"


class Trained(NamedTuple):
    """A training of ours, and the losses of the predictors that know its task."""

    curve: Curve
    references: dict[str, float]
    #: What losses are divided by.
    unit: float


class Training(Page):
    title = "Training curves"
    sentence = "How losses fell, where they rested, and which predictors they had to beat."
    about = (
        "The losses of models while they were trained, beside those that were published for their "
        "task and those of predictors that know it: <i>memoryless</i> is the best linear one that "
        "sees only <i>x<sub>t</sub></i>, <i>taps m</i> the best one that sees the last <i>m</i> "
        "inputs. A plateau is a loss that rests and then falls quickly; it is marked where it lies."
    )
    refresh = ""

    def controls(self) -> Controls:
        runs = [run for level in ("", "char", "word") for run in trained.runs(self.outputs, level)]
        yield from trained.choices(trained.REAL | {"text-": "Text"}, runs, Several)

    def update(self, values: Mapping[str, Any], seed: int, width: int) -> Blocks:
        labels = trained.labels(trained.without_folders(values["model"]))
        compared: list[Trained] = []
        refused: list[Refused] = []
        others: list[published.Published] = []
        for name, label, colour in zip(values["model"], labels, drawing.LINES, strict=False):
            try:
                run = trained.find(self.outputs, name, self.allow)
                with trained.refusing(run):
                    one = _trained(label, run, colour)
                    if compared:
                        _check(one, compared[0])
                    found = published.on_task(run.plain_config["task"])
                    others = [each for each in others if each in found] if compared else found
                compared.append(one)
            except Refused as error:
                refused.append(error)
        if compared:
            yield from _blocks(compared, others, width)
        if refused:
            raise Refused(refused[0].name, "; ".join(map(str, refused)))


def _trained(label: str, run: Run, colour: str) -> Trained:
    references = {
        key.removeprefix("reference/"): value
        for key, value in run.result.items()
        if key.startswith("reference/")
    }
    unit = references.get("zero", 1.0)  # models of text have no zero predictor
    if not (np.isfinite(run.history["loss"]) & (run.history["loss"] > 0)).any():
        raise ValueError("its history has no loss that a logarithm could show")
    found = plateau.reading(run.history, run.plain_config, run.result)
    return Trained(_curve(label, run.history, unit, found, colour), references, unit)


def _check(one: Trained, first: Trained) -> None:
    """Raise a ValueError if the losses of two trainings belong on no common axis."""
    if ("zero" in one.references) != ("zero" in first.references):
        raise ValueError("its losses have another unit than those of the first")
    guesses = [each.references.get("uniform", 0.0) for each in (one, first)]
    if not math.isclose(*guesses):  # the logarithms of how many answers there are
        raise ValueError("its losses are over another vocabulary than those of the first")


def _shared(compared: Sequence[Trained]) -> tuple[dict[str, float], list[str]]:
    """The predictors that lose the same on the tasks of all trainings, and the names of others."""
    every = [
        {name: loss / unit for name, loss in known.items() if math.isfinite(loss)}
        for _, known, unit in compared
    ]

    def is_shared(name: str, loss: float) -> bool:
        losses = (own.get(name, math.nan) for own in every)
        return all(math.isclose(one, loss, rel_tol=SAME, abs_tol=1e-9) for one in losses)

    shared = {name: loss for name, loss in every[0].items() if is_shared(name, loss)}
    names = dict.fromkeys(name for own in every for name in own)
    return shared, [name for name in names if name not in shared]


def _blocks(
    compared: Sequence[Trained], others: Sequence[published.Published], width: int
) -> Blocks:
    """The figure and the table, with the predictors that hold for all trainings."""
    curves = [one.curve for one in compared]
    lines, differing = _shared(compared)
    _, references, unit = compared[0]
    share = references.get("memoryless", 0.0) / unit
    for one, style in zip(others, PUBLISHED, strict=False):
        level = {"reference/memoryless": share * one.mean_square}
        found = plateau.reading(one.history, {}, level)
        label = f"published {one.model}"
        looks = (figures.BLACK, style)
        curves.append(_curve(label, one.history, one.mean_square, found, *looks))
    name = "NMSE" if "zero" in references else "cross-entropy (nats per token)"
    rows = [_row(curve) for curve in curves]
    told = [f"{one}: {loss} after {n} steps, on a plateau: {at}." for one, n, loss, at in rows]
    yield drawing.block(
        "curves",
        _drawn(curves, lines, name, width),
        f"Losses against steps, both logarithmic. {' '.join(told)}",
    )
    if differing:
        listed = ", ".join(name.replace("_", " ") for name in differing)
        text = f"References that differ between these runs are not drawn: {listed}."
        yield Note("differing", text)
    colours = [drawing.property_of(curve.colour) for curve in curves]
    yield Table("numbers", ("", "steps", f"last {name}", "plateau (steps)"), rows, colours)


def _curve(
    label: str,
    history: Mapping[str, Any],
    unit: float,
    found: list[plateau.Plateau],
    colour: str,
    style: str = "-",
) -> Curve:
    """A training with its losses and the levels of its plateaus divided by `unit`."""
    scaled = {"step": np.asarray(history["step"]), "loss": np.asarray(history["loss"]) / unit}
    levels = [replace(one, level=one.level / unit) for one in found]
    return Curve(label, scaled, levels, colour, style)


@figures.style()
def _drawn(curves: list[Curve], lines: Mapping[str, float], unit: str, width: int) -> Any:
    marks = [Line2D([], [], color=figures.GREY, label="plateau", **BAND)]
    marks *= any(curve.plateaus for curve in curves)
    labels = [curve.label for curve in curves] + ["plateau"] * len(marks)
    across, rows = drawing.columns(width - LEFT, labels)
    figure, (axes,) = drawing.panels(width, (HEIGHT,), left=LEFT, right=84, top=14 + 16 * rows)
    for curve in curves:
        label = drawing.cut(curve.label, width - LEFT)
        axes.plot(*figures.thin(curve.history), color=curve.colour, ls=curve.style, label=label)
        for one in curve.plateaus:
            axes.plot([one.start, _last(one)], [one.level] * 2, color=curve.colour, **BAND)
    axes.set(xscale="log", yscale="log", xlabel="step", ylabel=unit)
    figures.plain_ticks(axes.yaxis)
    low, high = axes.get_ylim()
    shown = {name: loss for name, loss in lines.items() if low < loss < 2 * high}
    axes.set_ylim(low, max([high, *(1.3 * loss for loss in shown.values())]))
    figures.name_references(axes, *figures.draw_references(axes, shown), size=8)
    axes.legend(
        handles=[*axes.get_legend_handles_labels()[0], *marks],
        loc="lower left",
        bbox_to_anchor=(-0.01, 1),
        ncols=across,
        borderaxespad=0.2,
    )
    return figure


def _last(one: plateau.Plateau) -> int:
    return one.end if one.escape is None else one.escape


def _row(curve: Curve) -> tuple[str, str, str, str]:
    """Label, steps, last loss and where the plateaus lie."""
    step, loss = curve.history["step"], curve.history["loss"]
    spans = ", ".join(map(_span, curve.plateaus))
    return curve.label, f"{step[-1]:,.0f}", f"{loss[-1]:.3g}", spans or "none"


def _span(one: plateau.Plateau) -> str:
    """From when to when, in steps."""
    if one.censored:
        return f"from {one.start:,}, not left by {one.end:,}"
    return f"{one.start:,} to {one.escape:,}"
