"""The gallery: the project's figures and some of its pages in one file that asks for nothing.

A page is recorded: it answers for every combination of a few values of a few of its controls, and
`explorer.js` replays those answers in place of a server's.
"""

import base64
import gzip
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq import checks, explorer
from seq2seq.explorer.page import Message, answer, described, settle
from seq2seq.explorer.server import FOLDER, TEMPLATES
from seq2seq.files import place, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: CSS pixels that figures are drawn for.
WIDTH = 760

#: Which figures of a sweep's report are shown.
OF_A_SWEEP = ("plateau_lengths", "losses", "kernels", "means")


@dataclass(frozen=True)
class Scene:
    """A page to be recorded.

    Attributes:
        page: its name.
        grid: per control the values that a reader may choose, all combinations being recorded.
        fixed: the values of other controls, where they differ from the page's own.
        about: what stands in place of the page's own words, in HTML, where those speak of more
            than was recorded.
    """

    page: str
    grid: Mapping[str, Sequence[Any]]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    about: str = ""


def scenes() -> Iterator[Scene]:
    """What the gallery records."""
    from seq2seq.explorer import trained

    yield Scene("shift", {"k": range(0, 33, 4), "input": ("gp", "white")}, {"t": 50})
    families = ("exponential", "power_law", "gaussian", "damped_cosine", "two_part", "airy")
    yield Scene(
        "convolution",
        {"family": families},
        {"family": "gaussian"},
        "The output is a weighted sum of the past, <i>y<sub>t</sub></i> = Σ<sub><i>s</i>≥0</sub> "
        "<i>ρ</i>(<i>s</i>) <i>x</i><sub><i>t</i>−<i>s</i></sub>. The filter <i>ρ</i> is the "
        "memory of the task: it may fade, oscillate, or keep one stretch of the past.",
    )
    yield Scene("lorenz96", {"K": (1, 4, 8), "epsilon": (0.25, 0.5, 1.0)})
    kinds = ("tcn", "tcn_plain", "rnn", "lstm", "s4d", "transformer")
    yield Scene(
        "architectures",
        {"model": kinds, "num_layers": (1, 2, 3), "kernel_size": (2, 3), "window": (4, 8, 24)},
        {"length": 24},
    )
    real = trained.packaged(*trained.REAL)
    text = trained.packaged("text-")
    together = [",".join(trained.packaged(task)) for task in trained.REAL]
    sets = {"task": [*trained.REAL], "model": [*real, *together], "input": ("trained", "white")}
    yield Scene("models", sets)
    sets = {"task": [*trained.REAL, "text-"], "model": [*real, *text, *together]}
    yield Scene("training", sets)
    yield Scene(
        "text",
        {"level": ("char", "word"), "model": text, "temperature": (0.3, 0.7, 1.1)},
        {"length": 400},
        "What models that have learnt to predict the next character or word made of one prompt. "
        "Each is drawn with a probability proportional to <i>p</i><sup>1/<i>T</i></sup>: a low "
        "temperature <i>T</i> takes what is likely, a high one dares more.",
    )


# -------------------------------------------------------------------------------------- recording


def record(scene: Scene, outputs: str | Path = "outputs") -> tuple[Message, list[Message]]:
    """The page as `explorer.js` puts it up, and its answers: the `values` of each, its `messages`.

    Raises:
        ValueError: the page refuses one of the combinations, or has no such control.
    """
    page = explorer.build(scene.page, outputs)
    answers: dict[str, Message] = {}
    for chosen in itertools.product(*scene.grid.values()):
        values = {**scene.fixed, **dict(zip(scene.grid, chosen, strict=True))}
        first, *rest = answer(page, {"values": values, "seed": 1, "width": WIDTH, "started": True})
        for message in (first, *rest):
            if message["kind"] == "refused":
                raise ValueError(f"{scene.page} refuses {values}: {message['message']}")
        controls = [
            _narrowed(control, scene.grid[control["name"]])
            for control in first["controls"]
            if control["name"] in scene.grid
        ]
        known = {control["name"]: control["value"] for control in controls}
        messages = [{"kind": "controls", "controls": controls}, *rest]
        answers.setdefault(json.dumps(known), {"values": known, "messages": messages})
    if missing := set(scene.grid) - {name for one in answers.values() for name in one["values"]}:
        raise ValueError(f"{scene.page} has no control {', '.join(missing)}")
    # The page's own values are shown first.
    own = {c["name"]: _written(c["value"]) for c in settle(page, scene.fixed)[0]}
    found = sorted(
        answers.values(),
        key=lambda one: sum(str(value) != own.get(name) for name, value in one["values"].items()),
    )
    controls = found[0]["messages"][0]["controls"]
    own_words = {"about": scene.about or page.about, "refresh": "", "start": ""}
    return described(page) | own_words | {"controls": controls}, found


def _written(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def _narrowed(control: Message, values: Sequence[Any]) -> Message:
    """The control with `values` as its only ones: a slider if they are evenly spaced."""
    value, unit = control["value"], control.get("unit", "")
    if control["kind"] == "several":  # each set of them is a choice
        offered = {option for option, _ in control["options"]}
        sets = [one for one in values if offered.issuperset(one.split(","))]
        options = [(one, "all of them" if "," in one else one) for one in sets]
        value = _written(value)
        control = control | {"kind": "choice", "value": value, "options": options}
    if value not in values:
        raise ValueError(f"{control['label']} is {value}, which is none of {list(values)}")
    if control["kind"] == "choice":
        return control | {"options": [o for o in control["options"] if o[0] in values]}
    steps = {round(b - a, 9) for a, b in itertools.pairwise(values)}
    if len(steps) == 1:
        ends = {"minimum": values[0], "maximum": values[-1], "step": steps.pop()}
        return control | ends | {"log": False}
    options = [(str(one), f"{one} {unit}".strip()) for one in values]
    return control | {"kind": "choice", "value": str(value), "options": options}


# ---------------------------------------------------------------------------------------- figures


def drawings() -> Iterator[tuple[str, str, "Figure"]]:
    """Title, caption and figure of what is drawn once."""
    import numpy as np

    from seq2seq.analysis import figures
    from seq2seq.tasks import GP, Shift, White
    from seq2seq.theory import kernels

    seen = {"memoryless": "x(t) alone"} | {f"taps_{m}": f"the last {m}" for m in (2, 4, 8, 16)}
    errors = {}
    for name, process in (("smooth input", GP()), ("white input", White())):
        losses = Shift(8, 32, input=process).reference_losses()
        nmse = np.array([losses[key] / losses["zero"] for key in seen])
        errors[name] = (list(seen.values()), nmse, np.stack([nmse, nmse], axis=1))
    yield (
        "What can be had without a long memory",
        "NMSE of the best linear predictors of the input 8 steps ago. Where the input is smooth "
        "the present tells something of the past; on white noise nothing short of the whole "
        "memory helps.",
        figures.means(errors, "inputs seen", "NMSE"),
    )
    lags = 32
    yield (
        "Which architecture suits which memory",
        "Lower bounds of the relative error of linear recurrences with n states and of linear "
        "dilated convolutions with n channels, for four kernels of 32 lags. Decay suits the ones, "
        "sparseness the others.",
        figures.spectra(
            {
                "impulse at lag 20": kernels.Impulse(20).sample(lags),
                "power law": kernels.PowerLaw(0.3, 1.1).sample(lags),
                "bump at lag 16": kernels.Gaussian(16, 2.0).sample(lags),
                "random": np.random.default_rng(0).standard_normal(lags),
            },
            finite=True,
        ),
    )


def of_sweep(folder: str | Path) -> Iterator[tuple[str, str, "Figure"]]:
    """The same of a sweep's report, its verdict in words under the first figure.

    Raises:
        ValueError: no runs below `folder`.
    """
    from seq2seq.analysis.report import Sweep, figures, growth

    sweep = Sweep(folder)
    fits = growth(sweep)
    name = sweep.runs[0].plain_config.get("name") or sweep.root.name
    verdict = " ".join(fit.sentence("k") for fit in fits)
    for panel in figures(sweep, fits):
        if panel.name in OF_A_SWEEP:
            title = f"Measured: {name}, {panel.name.replace('_', ' ')}"
            yield title, f"{panel.caption} {verdict}".strip(), panel.figure
            verdict = ""


# ------------------------------------------------------------------------------------------- page


def gallery(path: str | Path, sweeps: Sequence[str | Path] = ()) -> Path:
    """Write the gallery to `path`, with the figures of the sweeps in these folders.

    Raises:
        OSError: the file cannot be written.
        ValueError: there is no folder for it, or one of `sweeps` has no runs.
    """
    from seq2seq.explorer import drawing

    path = place(path)
    if not path.parent.is_dir():
        raise ValueError(f"no folder {path.parent}; make it first")
    checks.writable("path", path)
    panels = [
        {"title": title, "caption": caption, "svg": drawing.svg(figure)}
        for title, caption, figure in itertools.chain(*map(of_sweep, sweeps), drawings())
    ]
    recorded = []
    for scene in scenes():
        page, answers = record(scene)
        data = gzip.compress(json.dumps(answers, ensure_ascii=False).encode(), mtime=0)
        recorded.append({"page": page, "answers": base64.b64encode(data).decode()})
    text = TEMPLATES.get_template("gallery.html.jinja").render(
        scenes=recorded,
        panels=panels,
        style=(FOLDER / "explorer.css").read_text("utf-8"),
        script=(FOLDER / "explorer.js").read_text("utf-8"),
    )
    write_atomically(path, text.encode())
    return path
