"""The page of trained models: what they answer, beside the truth."""

import functools
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from seq2seq.analysis import figures
from seq2seq.explorer import drawing, inputs, trained
from seq2seq.explorer.page import Blocks, Choice, Controls, Figure, Note, Page, Refused, Table

if TYPE_CHECKING:
    from torch import Tensor

    from seq2seq.tasks.task import SequenceTask

#: Fresh sequences over which errors are averaged.
SEQUENCES = 64

#: Of those, how many tell which lags the model uses.
PROBED = 8

#: Pixels left of the figures' axes, for numbers as small as −0.0002.
LEFT = 58

#: Why the responses to an impulse may differ where the outputs do not.
SMOOTH = (
    "The model was trained on smooth inputs. They hold next to nothing of what an impulse is made "
    "of, so that the responses may differ here where the outputs above do not."
)

#: Lags of an impulse response that are drawn.
LAGS = 48


class Models(Page):
    title = "Models on tasks"
    about = (
        "What a trained model answers to inputs that it has never seen. Its NMSE is the mean of "
        "(<i>ŷ<sub>t</sub></i>&nbsp;−&nbsp;<i>y<sub>t</sub></i>)<sup>2</sup> over the mean of "
        "<i>y<sub>t</sub></i><sup>2</sup>: always answering 0 gives 1."
    )

    def controls(self) -> Controls:
        yield from trained.choices(trained.REAL, trained.runs(self.outputs))
        yield Choice("input", "Input", (("trained", "as in training"), *inputs.INPUTS.items()))
        lengths = (("1", "as in training"), ("2", "twice as long"), ("4", "four times as long"))
        yield Choice("length", "Length", lengths)

    def update(self, values: Mapping[str, Any], seed: int, width: int) -> Blocks:
        import torch

        from seq2seq.build import threads

        run, task, model = trained.load(trained.find(self.outputs, values["model"], self.allow))
        block, shown = divmod(seed, SEQUENCES)
        with threads(1):  # models this small are slower on more
            x, y = _sample(task, values["input"], int(values["length"]), block)
            with trained.refusing(run):
                with torch.no_grad():
                    prediction = model(x)
                used, responses = _probed(task, model)
        parts = [part[shown, :, 0].numpy() for part in (x, y, prediction)]
        one, all_of_them = _nmse(prediction[shown], y[shown]), _nmse(prediction, y)
        yield Figure(
            "prediction",
            drawing.svg(_sequences(parts, width)),
            f"The input, the true output and what the model answers, over {x.shape[1]} steps, and "
            f"the difference of the two outputs. The NMSE of this answer is {one:.3g}.",
        )
        rows = [("NMSE of this answer", _number(one))]
        rows.append((f"NMSE over {SEQUENCES} sequences", _number(all_of_them)))
        usual = values["input"] == "trained" and values["length"] == "1"
        if usual and "reference/memoryless" in run.result:
            without = run.result["reference/memoryless"] / run.result["reference/zero"]
            rows.append(("NMSE of the best linear answer without memory", _number(without)))
        rows += _facts(run, model, used)
        yield Table("facts", ("", "this model"), rows)
        if responses is not None:
            true, learned = responses
            yield Figure(
                "response",
                drawing.svg(_impulse(true, learned, width)),
                f"The response to an impulse over {len(true)} steps: the true one is largest "
                f"after {abs(true).argmax()}, the model's after {abs(learned).argmax()}.",
            )
            if _is_smooth(task.input):
                yield Note("smooth", SMOOTH)


@functools.lru_cache(maxsize=8)
def _sample(task: "SequenceTask", kind: str, times: int, block: int) -> "tuple[Tensor, Tensor]":
    """Inputs (sequences, time, channels) and their true outputs; Refresh goes through a block."""
    from seq2seq.seeds import generator

    draws = generator(block, "explorer")
    if kind == "trained" and times == 1:
        return task.sample(SEQUENCES, draws)
    if task.input is None:
        raise Refused("input", f"{type(task).__name__} draws its inputs in its own way")
    process = task.input
    if kind != "trained":
        process = replace(inputs.process(kind), scale=process.scale)
    x = process.sample(SEQUENCES, times * task.length, task.input_dim, draws)
    return x, task.targets(x)


def _is_smooth(process: Any) -> bool:
    """Whether the squared increments grow like the square of the lag: of rough ones, like it."""
    here, one, two = process.covariance(3)[0].tolist()
    return here - two > 3 * (here - one)


def _nmse(prediction: "Tensor", y: "Tensor") -> float:
    prediction, y = prediction.double(), y.double()
    return float((prediction - y).square().mean() / y.square().mean())


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "not finite"


def _facts(run: Any, model: Any, used: int) -> list[tuple[str, str]]:
    from seq2seq.analysis import memory

    rows = [("Parameters", f"{sum(p.numel() for p in model.parameters()):,}")]
    field, state = (getattr(model, name, None) for name in ("receptive_field", "state_size"))
    if field is not None:
        rows.append(("Receptive field (steps)", f"{field}"))
    elif state is not None:
        rows.append(("Numbers carried from step to step", f"{state:,}"))
    elif hasattr(model, "receptive_field"):
        rows.append(("Receptive field (steps)", "all"))
    bracket = memory.effective(run.result)
    if bracket is not None:
        low, high = bracket
        text = f"> {low:.0f}" if math.isinf(high) else f"{low:.0f} to {high:.0f}"
        rows.append(("Effective memory (steps that a linear predictor as good sees)", text))
    rows.append(("Steps back that hold 99% of its squared gradient", f"{used}"))
    return rows


@functools.lru_cache(maxsize=8)
def _probed(task: "SequenceTask", model: Any) -> tuple[int, Any]:
    """The lags that a model uses, and the true and its own response to an impulse, (lags,) each.

    The first channel answers an impulse on it, as large as the inputs usually are: a nonlinear
    system answers others otherwise.
    """
    import torch

    from seq2seq.analysis import memory
    from seq2seq.seeds import generator

    x, _ = task.sample(PROBED, generator(0, "explorer"))
    used = memory.used(memory.gradient_profile(model, x))
    if task.input is None:
        return used, None
    size = float(task.input.covariance(1)) ** 0.5
    x = torch.zeros(2, min(task.length, LAGS), task.input_dim)
    x[0, 0, 0] = size
    with torch.no_grad():
        answers = [answer(x)[..., 0] for answer in (task.targets, model)]
    return used, [((y[0] - y[1]) / size).numpy() for y in answers]


@figures.style()
def _sequences(shown: list[Any], width: int) -> Any:
    """Input, true output and prediction, (time,) each."""
    x, y, prediction = shown
    figure, (above, below) = drawing.panels(width, (190, 70), left=LEFT)
    above.axhline(0, color=figures.GREY, lw=0.6)
    above.plot(x, color=figures.SKY, lw=1.0, label="input")
    above.plot(y, color=figures.BLACK, lw=2.4, label="true output")
    above.plot(prediction, color=figures.VERMILION, lw=1.2, label="model")
    above.legend(loc="lower left", bbox_to_anchor=(-0.01, 1), ncols=3, borderaxespad=0.2)
    drawing.curve(below, prediction - y, figures.VERMILION, "model − true")
    below.set_xlabel("time (steps)")
    return figure


@figures.style()
def _impulse(true: Any, learned: Any, width: int) -> Any:
    figure, (axes,) = drawing.panels(width, (170,), left=LEFT)
    axes.axhline(0, color=figures.GREY, lw=0.6)
    axes.plot(true, color=figures.BLACK, lw=2.4, marker="o", ms=6, mfc="none", label="true")
    axes.plot(learned, color=figures.VERMILION, lw=1.2, marker="o", ms=3, label="model")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1), ncols=2, borderaxespad=0.2)
    axes.set_xlabel("steps after an impulse")
    return figure
