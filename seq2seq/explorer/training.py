"""The page of training curves: a model's, the published ones, and the predictors to beat."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from seq2seq.analysis import figures, plateau, published
from seq2seq.analysis.figures.curves import draw_references
from seq2seq.explorer import drawing, trained
from seq2seq.explorer.page import Blocks, Controls, Figure, Page, Table

#: Of the figure's axes, in pixels.
HEIGHT = 330

#: Ratio of the steps at which a plateau is left and entered.
VISIBLE = 2

#: Line styles of the published curves.
LINES = ("-", "--", ":")


class Curve(NamedTuple):
    """A training: losses in the unit of the page, its plateaus, and how it is drawn."""

    label: str
    history: dict[str, Any]
    plateaus: list[plateau.Plateau]
    colour: str
    line: str = "-"


class Training(Page):
    title = "Training curve"
    about = (
        "The loss of a model while it was trained, beside the losses that were published for its "
        "task and those of predictors that know it: <i>memoryless</i> is the best linear one that "
        "sees only <i>x<sub>t</sub></i>, <i>taps m</i> the best one that sees the last <i>m</i> "
        "inputs. A plateau is a loss that rests and then falls quickly; it is marked where it lies."
    )
    refresh = False

    def controls(self) -> Controls:
        runs = [run for level in ("", "char", "word") for run in trained.runs(self.outputs, level)]
        yield from trained.choices(trained.REAL | {"text-": "Text"}, runs)

    def update(self, values: Mapping[str, Any], seed: int, width: int) -> Blocks:
        run = trained.find(self.outputs, values["model"], self.allow)
        with trained.refusing(run):
            references = {
                key.removeprefix("reference/"): value
                for key, value in run.result.items()
                if key.startswith("reference/")
            }
            unit = references.get("zero", 1.0)  # models of text have no zero predictor
            level = references.get("memoryless", 0.0) / unit
            label = "this run" if values["task"] == trained.RUNS else run.name
            curves = [_curve(label, run.history, unit, level, figures.BLUE)]
            others = published.on_task(run.plain_config["task"])
        for one, line in zip(others, LINES, strict=False):
            label, colour = f"published {one.model}", figures.VERMILION
            curves.append(_curve(label, one.history, one.mean_square, level, colour, line))
        lines = {name: loss / unit for name, loss in references.items()}
        name = "NMSE" if "zero" in references else "cross-entropy (nats per token)"
        yield Figure("curves", drawing.svg(_drawn(curves, lines, name, width)), _described(curves))
        columns = ("", "steps", f"last {name}", "plateau (steps)")
        yield Table("numbers", columns, [_row(curve) for curve in curves])


def _curve(
    label: str,
    history: Mapping[str, Any],
    unit: float,
    memoryless: float,
    colour: str,
    line: str = "-",
) -> Curve:
    """A training with its losses divided by `unit`, and its plateaus.

    Where a loss still rests at the end, only its level tells a plateau from a run that has
    converged: it counts if no better than the `memoryless` predictor. One that is left must be long
    enough to be seen on a logarithmic axis.
    """
    scaled = {"step": np.asarray(history["step"]), "loss": np.asarray(history["loss"]) / unit}
    # The rule counts entries: a curve of few, each a mean already, is smoothed less.
    rule = replace(plateau.RULE, window=2) if len(scaled["step"]) < 100 else plateau.RULE
    found = plateau.find(scaled, rule=rule)
    lowest = memoryless * (1 - rule.tolerance)
    kept = [
        one
        for one in found
        if (one.level > lowest > 0 if one.escape is None else one.escape >= VISIBLE * one.start)
    ]
    return Curve(label, scaled, kept, colour, line)


@figures.style()
def _drawn(curves: list[Curve], lines: Mapping[str, float], unit: str, width: int) -> Any:
    figure, (axes,) = drawing.panels(width, (HEIGHT,), left=64, right=84, top=14 + 18 * len(curves))
    for curve in curves:
        label = curve.label
        axes.plot(*figures.thin(curve.history), color=curve.colour, ls=curve.line, label=label)
        for one in curve.plateaus:
            last = one.end if one.escape is None else one.escape
            axes.plot([one.start, last], [one.level] * 2, color=curve.colour, lw=9, alpha=0.25)
    axes.set_xscale("log")
    axes.set_yscale("log")
    figures.plain_ticks(axes.yaxis)
    low, high = axes.get_ylim()
    shown = {name: loss for name, loss in lines.items() if low < loss < 2 * high}
    axes.set_ylim(low, max([high, *(1.3 * loss for loss in shown.values())]))
    draw_references(axes, shown, size=8)
    axes.set_xlabel("step")
    axes.set_ylabel(unit)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1), borderaxespad=0.2)
    return figure


def _plateaus(curve: Curve) -> str:
    return ", ".join(
        f"{one.start:,} to {one.end if one.escape is None else one.escape:,}"
        + (", not left" if one.censored else "")
        for one in curve.plateaus
    )


def _row(curve: Curve) -> tuple[str, str, str, str]:
    step, loss = curve.history["step"], curve.history["loss"]
    return curve.label, f"{step[-1]:,.0f}", f"{loss[-1]:.3g}", _plateaus(curve) or "none"


def _described(curves: list[Curve]) -> str:
    parts = []
    for curve in curves:
        label, steps, loss, rest = _row(curve)
        parts.append(f"{label}: {loss} after {steps} steps, on a plateau: {rest}.")
    return "Losses against steps, both logarithmic. " + " ".join(parts)
