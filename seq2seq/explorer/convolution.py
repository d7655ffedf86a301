"""The page of the convolution: a filter to write or to shape, and what it makes of an input."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure as Drawing

from seq2seq.analysis import figures
from seq2seq.explorer import drawing, inputs
from seq2seq.explorer.page import (
    Blocks,
    Choice,
    Controls,
    Note,
    Page,
    Refused,
    Slider,
    TextBox,
    number,
)

RATE = Slider("rate", "Rate λ", 0.02, 2, 0.2, step=0.01, log=True)
EXPONENT = Slider("exponent", "Exponent p", 0.5, 4, 1.1, step=0.1)
CENTRE = Slider("centre", "Centre c", 0, 60, 12, unit="steps")
WIDTH = Slider("width", "Width w", 0.5, 12, 3, step=0.5, unit="steps")
FREQUENCY = Slider("frequency", "Frequency φ", 0.05, 3.1, 0.5, step=0.05, unit="rad/step")
SHARPNESS = Slider("s0", "Sharpness s₀", 0.05, 1, 0.3, step=0.05)
DELAY = Slider("delay", "Delay d", 1, 60, 16, unit="steps")
K = Slider("k", "Delay k", 0, 60, 8, unit="steps")

#: Per kernel family its name for readers and a slider per parameter; time is counted in steps.
FAMILIES: dict[str, tuple[str, Sequence[Slider]]] = {
    "exponential": ("exponential, e^(−λs)", [RATE]),
    "power_law": ("power law, (1 + λs)^(−p)", [RATE, EXPONENT]),
    "gaussian": ("bump, exp(−(s − c)²/2w²)", [CENTRE, WIDTH]),
    "damped_cosine": ("damped cosine, e^(−λs) cos φs", [replace(RATE, value=0.08), FREQUENCY]),
    "airy": ("Airy, Ai(s₀(s − d))", [SHARPNESS, replace(DELAY, value=24)]),
    "two_part": ("two parts, e^(−s) + e^(−(s − d)²)", [DELAY]),
    "impulse": ("impulse, δ(s − k)", [K]),
}

#: Steps of the input and the output, and so the most numbers that a filter can use.
LENGTH = 96


class Convolution(Page):
    title = "Convolution"
    sentence = "Tasks whose memory is a filter of your own: write its numbers or shape it."
    about = (
        "The output is a weighted sum of the past, "
        '<span class="formula"><i>y<sub>t</sub></i> = Σ<sub><i>s</i>≥0</sub> '
        "<i>ρ</i>(<i>s</i>) <i>x</i><sub><i>t</i>−<i>s</i></sub></span>. The filter <i>ρ</i> is "
        "the memory of the task: write its numbers, or choose a family and shape it."
    )

    def controls(self) -> Controls:
        options = [("numbers", "my own numbers"), *((f, text) for f, (text, _) in FAMILIES.items())]
        family = yield Choice("family", "Filter", options)
        if family == "numbers":
            hint = "ρ(0), ρ(1), ρ(2), …"
            yield TextBox("filter", "Numbers", "1, 0.5, 0.25", hint=hint)
        else:
            for slider in FAMILIES[family][1]:
                yield replace(slider, name=f"{family}_{slider.name}")
        yield inputs.choice("uniform")

    def update(self, values: Mapping[str, Any], seed: int, width: int) -> Blocks:
        from seq2seq.seeds import generator
        from seq2seq.tasks import Convolution as Task
        from seq2seq.theory import kernels

        family = values["family"]
        if family == "numbers":
            chosen: Any = numbers(values["filter"])
        else:
            names = [slider.name for slider in FAMILIES[family][1]]
            chosen = kernels.build(family, {n: values[f"{family}_{n}"] for n in names})
        task = Task(chosen, LENGTH, input=inputs.process(values["input"]))
        x, y = (part[0, :, 0].numpy() for part in task.sample(1, generator(seed, "explorer")))
        rho, memory = task.kernel().numpy(), task.memory
        shown = min(LENGTH, max(6, memory + 2 + memory // 4))
        yield drawing.block(
            "filter",
            _filter(rho[:shown], width),
            f"The filter at lags 0 to {shown - 1}: "
            + ", ".join(f"{value:.3g}" for value in rho[: min(shown, 12)])
            + (" …" if shown > 12 else ""),
        )
        yield drawing.block(
            "sequences",
            _sequences(x, y, width),
            f"Input and output over {LENGTH} steps. The output runs from {y.min():.3g} to "
            f"{y.max():.3g} and ends at {y[-1]:.3g}.",
        )
        yield Note("memory", _remembered(memory, endless=family != "numbers"))


def _remembered(memory: int, endless: bool) -> str:
    """How far back the output remembers, in words.

    Args:
        memory: the last lag that counts, of those that the sequences have.
        endless: whether the filter goes on beyond these.
    """
    if endless and memory == LENGTH - 1:
        shown = f"all {LENGTH} steps shown"
        return f"The output remembers {shown} and would remember more of a longer sequence."
    return (
        f"The output remembers {memory} {'step' if memory == 1 else 'steps'}: "
        "a model that sees no further back loses less than a millionth of its energy."
    )


@figures.style()
def _filter(rho: Any, width: int) -> Drawing:
    figure, (axes,) = drawing.panels(width, (100,))
    axes.vlines(range(len(rho)), 0, rho, color=figures.GREEN, lw=1.6)
    drawing.curve(axes, rho, figures.GREEN, "filter ρ")
    axes.lines[-1].set(linestyle="", marker="o", markersize=4)
    axes.set(xlabel="lag s (steps)", xlim=(-0.5, len(rho) - 0.5))
    return figure


@figures.style()
def _sequences(x: Any, y: Any, width: int) -> Drawing:
    figure, (above, below) = drawing.panels(width, (110, 110))
    drawing.curve(above, x, figures.BLUE, "input x")
    drawing.curve(below, y, figures.VERMILION, "output y")
    below.set_xlabel("time (steps)")
    return figure


def numbers(text: str) -> list[float]:
    """The numbers of a filter as a reader writes them: `1, 0.5, 0.25`, brackets allowed.

    Raises:
        Refused: no numbers, one that is none or not finite, all of them zero, or too many.
    """
    words = text.strip().strip("[]()").replace(",", " ").replace(";", " ").split()
    found = [number(word) for word in words]
    for word, value in zip(words, found, strict=True):
        if not math.isfinite(value):
            raise Refused("filter", f"{word[:20]!r} is not a number; write, say, 1, 0.5, 0.25")
    if not any(found):
        raise Refused("filter", "a filter needs a number other than 0; write, say, 1, 0.5, 0.25")
    if len(found) > LENGTH:
        raise Refused("filter", f"{len(found)} numbers are too many: sequences have {LENGTH} steps")
    return found
