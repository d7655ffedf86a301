"""The page of the shift: the input of k steps ago."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray

from seq2seq.analysis import figures
from seq2seq.explorer import drawing, inputs
from seq2seq.explorer.page import Blocks, Controls, Page, Slider


class Shift(Page):
    title = "Shift"
    sentence = "The simplest task with a memory: repeat the input of k steps ago."
    about = (
        "The output is the input of <i>k</i> steps ago: "
        '<span class="formula"><i>y<sub>t</sub></i> = <i>x</i><sub><i>t</i>−<i>k</i></sub></span>, '
        "and 0 before there was one. "
        "To answer at every time <i>t</i>, a model must carry all values of the shaded window."
    )

    def controls(self) -> Controls:
        length = yield Slider("length", "Length", 16, 256, 64, step=8, unit="steps")
        yield Slider("k", "Delay k", 0, length - 1, 8, unit="steps")
        yield Slider("t", "Window ends at t", 0, length - 1, 40)
        yield inputs.choice("gp")

    def update(self, values: Mapping[str, Any], seed: int, width: int) -> Blocks:
        k, t = values["k"], values["t"]
        x, y = sequences(values, seed)
        yield drawing.block(
            "sequences",
            _drawn(x, y, k, t, width),
            f"Input and output over {len(x)} steps. The output repeats the input {k} steps later. "
            f"The steps from {t - k} to {t} are shaded: the output at {t} is {y[t]:.2f}, "
            f"the input at {t - k}.",
        )


def sequences(values: Mapping[str, Any], seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Input and output of `seq2seq.tasks.Shift`, (time,) each.

    The task itself would bring Lightning, for which the first page would wait three seconds more.
    """
    from seq2seq.seeds import generator

    k, length = values["k"], values["length"]
    draws = generator(seed, "explorer")
    x = inputs.process(values["input"]).sample(1, length, 1, draws)[0, :, 0].numpy()
    return x, np.concatenate([np.zeros(k, x.dtype), x[: length - k]])


@figures.style()
def _drawn(x: Any, y: Any, k: int, t: int, width: int) -> Drawing:
    figure, (above, below) = drawing.panels(width, (170, 170))
    drawing.curve(above, x, figures.BLUE, "input x")
    drawing.curve(below, y, figures.VERMILION, "output y")
    for axes, at, values, colour in (
        (above, t - k, x, figures.BLUE),
        (below, t, y, figures.VERMILION),
    ):
        axes.axvspan(max(t - k, 0) - 0.5, t + 0.5, color=figures.GREY, alpha=0.18, lw=0)
        if at >= 0:
            axes.plot(at, values[at], "o", ms=8, mfc="none", mec=colour, mew=1.6)
    below.set_xlabel("time (steps)")
    return figure
