"""The page of training curves: a model's, the published ones, and the predictors to beat."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from seq2seq.analysis import figures, plateau, published
from seq2seq.explorer import drawing, trained
from seq2seq.explorer.page import Blocks, Controls, Page, Table

#: Of the figure's axes, in pixels.
HEIGHT = 330

#: Colour and line style of the model's curve and of the published ones.
LOOKS = [(figures.BLUE, "-"), *((figures.VERMILION, line) for line in ("-", "--", ":"))]


class Curve(NamedTuple):
    """A training: its losses in the unit of the page, and its plateaus."""

    label: str
    history: dict[str, Any]
    plateaus: list[plateau.Plateau]


class Training(Page):
    title = "Training curve"
    sentence = "How losses fell, where they rested, and which predictors they had to beat."
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
            label = "this run" if values["task"] == trained.RUNS else run.name
            if not (np.isfinite(run.history["loss"]) & (run.history["loss"] > 0)).any():
                raise ValueError("its history has no loss that a logarithm could show")
            found = plateau.reading(run.history, run.plain_config, run.result)
            curves = [_curve(label, run.history, unit, found)]
            others = published.on_task(run.plain_config["task"])
        share = references.get("memoryless", 0.0) / unit
        for one in others:
            level = {"reference/memoryless": share * one.mean_square}
            found = plateau.reading(one.history, {}, level)
            curves.append(_curve(f"published {one.model}", one.history, one.mean_square, found))
        lines = {name: loss / unit for name, loss in references.items()}
        name = "NMSE" if "zero" in references else "cross-entropy (nats per token)"
        rows = [_row(curve) for curve in curves]
        told = [f"{one}: {loss} after {n} steps, on a plateau: {at}." for one, n, loss, at in rows]
        yield drawing.block(
            "curves",
            _drawn(curves, lines, name, width),
            f"Losses against steps, both logarithmic. {' '.join(told)}",
        )
        yield Table("numbers", ("", "steps", f"last {name}", "plateau (steps)"), rows)


def _curve(
    label: str, history: Mapping[str, Any], unit: float, found: list[plateau.Plateau]
) -> Curve:
    """A training with its losses and the levels of its plateaus divided by `unit`."""
    scaled = {"step": np.asarray(history["step"]), "loss": np.asarray(history["loss"]) / unit}
    return Curve(label, scaled, [replace(one, level=one.level / unit) for one in found])


@figures.style()
def _drawn(curves: list[Curve], lines: Mapping[str, float], unit: str, width: int) -> Any:
    figure, (axes,) = drawing.panels(width, (HEIGHT,), left=64, right=84, top=14 + 18 * len(curves))
    for curve, (colour, line) in zip(curves, LOOKS, strict=False):
        axes.plot(*figures.thin(curve.history), color=colour, ls=line, label=curve.label)
        for one in curve.plateaus:
            axes.plot([one.start, _last(one)], [one.level] * 2, color=colour, lw=9, alpha=0.25)
    axes.set(xscale="log", yscale="log", xlabel="step", ylabel=unit)
    figures.plain_ticks(axes.yaxis)
    low, high = axes.get_ylim()
    shown = {name: loss for name, loss in lines.items() if low < loss < 2 * high}
    axes.set_ylim(low, max([high, *(1.3 * loss for loss in shown.values())]))
    figures.draw_references(axes, shown, 8)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1), borderaxespad=0.2)
    return figure


def _last(one: plateau.Plateau) -> int:
    return one.end if one.escape is None else one.escape


def _row(curve: Curve) -> tuple[str, str, str, str]:
    """Label, steps, last loss and where the plateaus lie."""
    step, loss = curve.history["step"], curve.history["loss"]
    spans = [
        f"{one.start:,} to {_last(one):,}{', not left' * one.censored}" for one in curve.plateaus
    ]
    return curve.label, f"{step[-1]:,.0f}", f"{loss[-1]:.3g}", ", ".join(spans) or "none"
