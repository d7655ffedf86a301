"""The atlas: tasks × models, which of them find the task within its budget, and when.

Each group of it is one task, trained by `experiment=atlas/<task>` and stored by a report as
`results/atlas/<task>.json`. What is shown of a cell is what is in that file.
"""

import html
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq.analysis.figures import number
from seq2seq.files import place
from seq2seq.results import ROOT

#: Where a checkout keeps what is stored, and what trains all of it.
STORED = ROOT / "results" / "atlas"
TRAIN = "python train.py -m 'experiment=glob(atlas/*)'"

#: Size of a drawn curve in CSS pixels, and of the margins that hold its numbers.
WIDTH, HEIGHT, LEFT, BELOW = 460, 190, 56, 28


@dataclass(frozen=True)
class Group:
    """What is stored of one task.

    Attributes:
        task: its name, and that of its experiment behind `atlas/`.
        cells: by the name of the model, the first seeds' row of the report.
    """

    task: str
    cells: Mapping[str, Mapping[str, Any]]


def read(folder: str | Path) -> list[Group]:
    """The groups that are stored in a folder, in the order of their names."""
    found = []
    for file in sorted(place(folder).glob("*.json")):
        rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
        cells = {row["model"]: row for row in rows if row["set"] == "first"}
        found.append(Group(file.stem, cells))
    return found


def models(groups: Sequence[Group]) -> list[str]:
    """All models, those first that find the most."""
    cells = [(model, cell) for group in groups for model, cell in group.cells.items()]
    score = {model: 0.0 for model, _ in cells}
    for model, cell in cells:
        score[model] += cell["success"]["mean"]
    return sorted(score, key=lambda model: (-score[model], model))


def table(groups: Sequence[Group], link: Callable[[str, str], str]) -> str:
    """Tasks × models in HTML: successes of runs, their interval, the median of the steps.

    Args:
        groups: the columns.
        link: where the cell of a task and a model leads.
    """
    heads = "".join(f'<th scope="col">{_words(group.task)}</th>' for group in groups)
    lines = []
    for model in models(groups):
        cells = (
            _cell(group.cells.get(model), link(group.task, model), f"{model} on {group.task}")
            for group in groups
        )
        lines.append(f'<tr><th scope="row">{_words(model)}</th>{"".join(cells)}</tr>')
    return (
        f'<div class="atlas"><table class="atlas-table"><thead><tr><td></td>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _words(name: str) -> str:
    return html.escape(name).replace("_", " ")


def _cell(cell: Mapping[str, Any] | None, address: str, label: str) -> str:
    if cell is None:
        return "<td></td>"
    said = verdict(cell)
    lines = [f"<b>{share(cell)}</b>", *map(html.escape, (interval(cell), steps(cell), said))]
    text = "".join(f"<span>{line}</span>" for line in lines if line)
    return (
        f'<td style="--share: {cell["success"]["mean"]:.0%}"><a href="{html.escape(address)}" '
        f'aria-label="{html.escape(label)}">{text}</a></td>'
    )


def verdict(cell: Mapping[str, Any]) -> str:
    """Of runs that failed: whether a solution exists, in a word, where the report says it."""
    return str(cell.get("existence") or "")


def reason(cell: Mapping[str, Any]) -> str:
    """Why that is known."""
    return str(cell.get("why") or "")


def share(cell: Mapping[str, Any]) -> str:
    """How many of the runs reached their target."""
    aims = cell["success"].get("aims", cell["runs"])  # a run that was killed had none
    return f"{round(cell['success']['mean'] * aims)}/{aims}"


def interval(cell: Mapping[str, Any]) -> str:
    """That of the share of successes."""
    return f"{cell['success']['low']:.2f} to {cell['success']['high']:.2f}"


def steps(cell: Mapping[str, Any]) -> str:
    """The median of the steps to success with its interval; beyond the budget it is not known."""
    told = cell["success/step"]
    beyond = f">{number(cell['budget'])}"
    median, low, high = (
        beyond if told[key] is None else number(told[key]) for key in ("median", "low", "high")
    )
    return median if low == high else f"{median} ({low} to {high})"


def command(task: str, model: str) -> str:
    """What trains a cell."""
    return f"python train.py -m experiment=atlas/{task} model={model}"


def drawing(cell: Mapping[str, Any]) -> str:
    """The training losses of a cell's runs as SVG, in the colour of the text around it."""
    curve = cell["curve"]
    ends = [value for key in ("low", "high") for value in curve[key] if value > 0]
    if not ends:
        return ""
    low, high = math.log10(min(ends)), math.log10(max(ends))
    last = curve["step"][-1]

    def point(step: float, loss: float) -> str:
        height = (math.log10(max(loss, 10**low)) - low) / (high - low or 1)
        x = LEFT + (WIDTH - LEFT - 8) * step / last
        return f"{x:.1f},{8 + (HEIGHT - BELOW - 8) * (1 - height):.1f}"

    def line(key: str) -> list[str]:
        return [point(*pair) for pair in zip(curve["step"], curve[key], strict=True)]

    band = " ".join([*line("low"), *reversed(line("high"))])
    texts = [
        (LEFT + 8, 14, "start", "training loss"),
        (LEFT - 6, 14, "end", number(10**high)),
        (LEFT - 6, HEIGHT - BELOW + 4, "end", number(10**low)),
        (LEFT, HEIGHT - 8, "start", "step 0"),
        (WIDTH - 8, HEIGHT - 8, "end", number(last)),
    ]
    return (
        f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-label="training loss over steps, logarithmic">'
        f'<polygon points="{band}" fill="currentColor" opacity="0.15"/>'
        f'<polyline points="{" ".join(line("median"))}" fill="none" stroke="currentColor" '
        'stroke-width="2"/>'
        f'<path d="M{LEFT} 8V{HEIGHT - BELOW}H{WIDTH - 8}" fill="none" stroke="currentColor" '
        'opacity="0.4"/>'
        + "".join(
            f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="currentColor" '
            f'font-size="12">{text}</text>'
            for x, y, anchor, text in texts
        )
        + "</svg>"
    )
