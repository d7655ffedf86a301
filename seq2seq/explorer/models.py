"""The page of trained models: what they answer, beside the truth and beside each other."""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from seq2seq.analysis import figures
from seq2seq.explorer import drawing, inputs, trained
from seq2seq.explorer.page import Blocks, Choice, Controls, Note, Page, Refused, Several, Table

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
    "Training was on smooth inputs. They hold next to nothing of what an impulse is made of, so "
    "that the responses may differ here where the outputs above do not."
)

#: The columns of the table that need a word.
COLUMNS = (
    "A model sees back over its receptive field, and carries so many numbers from step to step. "
    "Its effective memory is that of the best linear predictor with as low an error, its used "
    "memory the steps back that hold 99% of its squared gradient. Best without memory is the best "
    "linear predictor that sees only the present input."
)

#: Lags of an impulse response that are drawn.
LAGS = 48


class Models(Page):
    title = "Models on tasks"
    sentence = "What trained models answer to new inputs, beside the truth and each other."
    about = (
        "What trained models answer to inputs that they have never seen. Their NMSE is the mean of "
        "(<i>ŷ<sub>t</sub></i>&nbsp;−&nbsp;<i>y<sub>t</sub></i>)<sup>2</sup> over the mean of "
        "<i>y<sub>t</sub></i><sup>2</sup>: always answering 0 gives 1."
    )

    def controls(self) -> Controls:
        yield from trained.choices(trained.REAL, trained.runs(self.outputs), Several)
        yield Choice("input", "Input", (("trained", "as in training"), *inputs.INPUTS.items()))
        lengths = (("1", "as in training"), ("2", "twice as long"), ("4", "four times as long"))
        yield Choice("length", "Length", lengths)

    def update(self, values: Mapping[str, Any], seed: int, width: int) -> Blocks:
        from seq2seq.build import threads

        block, shown = divmod(seed, SEQUENCES)
        labels = trained.labels(trained.without_folders(values["model"]))
        compared: list[Compared] = []
        refused: list[Refused] = []
        with threads(1):  # models this small are slower on more
            for name, label in zip(values["model"], labels, strict=True):
                try:
                    one = trained.load(trained.find(self.outputs, name, self.allow))
                    if not compared:
                        run, task, _ = one
                        x, y = _sample(task, values["input"], int(values["length"]), block)
                        if not x.is_floating_point():
                            raise Refused("model", f"{label} cannot be shown: it reads tokens")
                    compared.append(_answer(label, one, task, x, y, shown))
                except Refused as error:
                    refused.append(error)
        if compared:
            given, wanted = (part[shown, :, 0].numpy() for part in (x, y))
            yield drawing.block(
                "prediction",
                _sequences(given, wanted, compared, width),
                f"The input, the true output and what each model answers, over {x.shape[1]} steps, "
                f"and the difference of the outputs. {_told(compared)}",
            )
            rows = [one.row for one in compared]
            usual = values["input"] == "trained" and values["length"] == "1"
            if usual and "reference/memoryless" in run.result:
                without = run.result["reference/memoryless"] / run.result["reference/zero"]
                rows.append(["best without memory", "", _number(without), *[""] * 5])
            colours = [drawing.property_of(colour) for _, colour in _coloured(compared)]
            yield Table("facts", TITLES, rows, [*colours, *[""] * (len(rows) - len(compared))])
            yield Note("columns", COLUMNS)
            if others := [one.label for one in compared if not one.same]:
                yield Note("others", f"Trained on another task: {', '.join(others)}.")
            true = compared[0].true
            if true is not None:
                yield drawing.block(
                    "response",
                    _impulse(true, compared, width),
                    f"The response to an impulse over {len(true)} steps: the true one is largest "
                    f"after {abs(true).argmax()}. {_peaks(compared)}",
                )
                if _is_smooth(task.input):
                    yield Note("smooth", SMOOTH)
        if refused:
            raise Refused(refused[0].name, "; ".join(dict.fromkeys(map(str, refused))))


class Compared(NamedTuple):
    """What is shown of a model: its answer and responses (time,), and its row of the table."""

    label: str
    answer: Any
    nmse: float
    row: list[str]
    true: Any
    response: Any
    #: Whether it was trained on the task that is shown.
    same: bool


def _answer(
    label: str, one: trained.Loaded, task: "SequenceTask", x: "Tensor", y: "Tensor", shown: int
) -> Compared:
    """What a model answers to `x`, of which the sequence `shown` is drawn."""
    import torch

    run, own, model = one
    if (own.input_dim, own.output_dim) != (task.input_dim, task.output_dim):
        raise Refused("model", f"{label} has not as many channels as the first model")
    with trained.refusing(run):
        with torch.no_grad():
            prediction = model(x)
        used, true, response = _probed(task, model)
        same = own is task or _same(own, task, x, y)
    here, all_of_them = _nmse(prediction[shown], y[shown]), _nmse(prediction, y)
    row = [label, _number(here), _number(all_of_them), *_facts(run, model, used)]
    return Compared(label, prediction[shown, :, 0].numpy(), here, row, true, response, same)


def _same(own: "SequenceTask", task: "SequenceTask", x: "Tensor", y: "Tensor") -> bool:
    """Whether a task answers x by y as another does, or, without a rule for x, is of its kind."""
    import torch

    return torch.equal(own.targets(x), y) if own.has_rule else type(own) is type(task)


def _coloured(compared: Sequence[Compared]) -> Iterator[tuple[Compared, str]]:
    return zip(compared, drawing.LINES, strict=False)


def _told(compared: Sequence[Compared]) -> str:
    return " ".join(f"The NMSE of {one.label} is {one.nmse:.3g}." for one in compared)


def _peaks(compared: Sequence[Compared]) -> str:
    return " ".join(
        f"That of {one.label} is largest after {abs(one.response).argmax()}." for one in compared
    )


@functools.lru_cache(maxsize=8)
def _sample(task: "SequenceTask", kind: str, times: int, block: int) -> "tuple[Tensor, Tensor]":
    """Inputs (sequences, time, channels) and their true outputs; new samples go through a block."""
    from seq2seq.seeds import generator

    draws = generator(block, "explorer")
    if kind == "trained" and times == 1:
        return task.sample(SEQUENCES, draws)
    if task.input is None or not task.has_rule:
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


#: Of the table.
TITLES = (
    "",
    "NMSE of this answer",
    f"NMSE over {SEQUENCES} sequences",
    "parameters",
    "sees back (steps)",
    "carries (numbers)",
    "effective memory (steps)",
    "used memory (steps)",
)


def _facts(run: Any, model: Any, used: int) -> Iterator[str]:
    """The cells of the table that do not depend on the input."""
    from seq2seq.analysis import memory

    yield f"{sum(p.numel() for p in model.parameters()):,}"
    field, state = (getattr(model, name, None) for name in ("receptive_field", "state_size"))
    yield "all" if field is None else f"{field:,}"
    yield "all seen" if state is None else f"{state:,}"
    bracket = memory.effective(run.result)
    if bracket is None:
        yield ""
    else:
        low, high = bracket
        yield f"> {low:.0f}" if math.isinf(high) else f"{low:.0f} to {high:.0f}"
    yield f"{used}"


@functools.lru_cache(maxsize=16)
def _probed(task: "SequenceTask", model: Any) -> tuple[int, Any, Any]:
    """The lags that a model uses, and the true and its own response to an impulse, (lags,) each.

    The first channel answers an impulse on it, as large as the inputs usually are: a nonlinear
    system answers others otherwise. Both are None where the task has no rule for new inputs.
    """
    import torch

    from seq2seq.analysis import memory
    from seq2seq.seeds import generator

    x, _ = task.sample(PROBED, generator(0, "explorer"))
    used = memory.used(memory.gradient_profile(model, x))
    if task.input is None or not task.has_rule:
        return used, None, None
    size = float(task.input.covariance(1)) ** 0.5
    x = torch.zeros(2, min(task.length, LAGS), task.input_dim)
    x[0, 0, 0] = size
    with torch.no_grad():
        answers = [answer(x)[..., 0] for answer in (task.targets, model)]
    true, learned = (((y[0] - y[1]) / size).numpy() for y in answers)
    return used, true, learned


@figures.style()
def _sequences(x: Any, y: Any, compared: Sequence[Compared], width: int) -> Any:
    """Input, true output and what models answer, (time,) each."""
    labels = ["input", "true output", *(one.label for one in compared)]
    across, rows = drawing.columns(width - LEFT, labels)
    figure, (above, below) = drawing.panels(width, (190, 70), left=LEFT, top=12 + 16 * rows)
    above.axhline(0, color=figures.GREY, lw=0.6)
    below.axhline(0, color=figures.GREY, lw=0.6)
    above.plot(x, color=figures.GREY, lw=1.0, label="input")
    above.plot(y, color=figures.BLACK, lw=2.4, label="true output")
    for one, colour in _coloured(compared):
        above.plot(one.answer, color=colour, lw=1.2, label=drawing.cut(one.label, width - LEFT))
        error = one.answer - y
        below.plot(error, color=colour, lw=1.2, label=f"{drawing.cut(one.label, width)} − true")
    above.legend(loc="lower left", bbox_to_anchor=(-0.01, 1), ncols=across, borderaxespad=0.2)
    below.set_title("model − true", loc="left", y=1.0)
    below.set_xlabel("time (steps)")
    return figure


@figures.style()
def _impulse(true: Any, compared: Sequence[Compared], width: int) -> Any:
    labels = ["true", *(one.label for one in compared)]
    across, rows = drawing.columns(width - LEFT, labels)
    figure, (axes,) = drawing.panels(width, (170,), left=LEFT, top=12 + 16 * rows)
    axes.axhline(0, color=figures.GREY, lw=0.6)
    axes.plot(true, color=figures.BLACK, lw=2.4, marker="o", ms=6, mfc="none", label="true")
    for one, colour in _coloured(compared):
        axes.plot(
            one.response,
            color=colour,
            lw=1.2,
            marker="o",
            ms=3,
            label=drawing.cut(one.label, width - LEFT),
        )
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1), ncols=across, borderaxespad=0.2)
    axes.set_xlabel("steps after an impulse")
    return figure
