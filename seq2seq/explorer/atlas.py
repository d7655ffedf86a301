"""The page of the atlas: which models find which tasks of memory, and the runs that tell."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from seq2seq import schema
from seq2seq.explorer.page import Blocks, Choice, Controls, Note, Table
from seq2seq.explorer.training import Training

if TYPE_CHECKING:
    from seq2seq.analysis.report.atlas import Group

#: The experiments of the atlas, in `schema.CONFIGS`, and what they share.
FOLDER, BASE = "atlas/", "experiment/atlas/_base.yaml"


class Atlas(Training):
    title = "Atlas"
    sentence = "Which models find which tasks of memory, how often, and in how many steps."
    about = (
        "How many of eight runs found each task within one budget, with the 95% interval of the "
        "share, and the median of their steps to it. Choose a task and a model for the losses of "
        "up to six of its runs, where they have been trained here. Not found within the budget is "
        "not impossible."
    )

    def controls(self) -> Controls:
        names = [name for name in schema.choices()["experiment"] if name.startswith(FOLDER)]
        yield Choice("task", "Task", [name.removeprefix(FOLDER) for name in names])
        base = yaml.safe_load((schema.CONFIGS / BASE).read_text(encoding="utf-8"))
        models = base["hydra"]["sweeper"]["params"]["model"]
        yield Choice("model", "Model", models.split(","))

    def update(self, values: Mapping[str, Any], seed: int, width: int) -> Blocks:
        from seq2seq.analysis.report import atlas

        task, model = values["task"], values["model"]
        groups = atlas.read(atlas.STORED)
        if groups:
            columns = ("runs that found it", *(group.task.replace("_", " ") for group in groups))
            shares = [(one, *_shares(groups, one)) for one in atlas.models(groups)]
            yield Table("atlas", columns, shares)
        else:
            told = f"Nothing of it is stored in {atlas.STORED}; {atlas.TRAIN} trains all of it."
            yield Note("atlas", told)
        for group in groups:
            if group.task == task:
                yield Table("task", (task, "found by", "95% interval", "steps"), _task(group))
        found = (self.outputs / FOLDER / task).glob(f"{model}-*/result.json")
        runs = sorted(path.parent.relative_to(self.outputs).as_posix() for path in found)
        if runs:
            yield from super().update({"model": runs}, seed, width)
        else:
            said = f"No run of {model} on {task} is in {self.outputs}; "
            yield Note("runs", f"{said}{atlas.command(task, model)} trains them.")


def _shares(groups: "Sequence[Group]", model: str) -> Iterator[str]:
    """How many runs of a model found each task."""
    from seq2seq.analysis.report import atlas

    for group in groups:
        yield atlas.share(group.cells[model]) if model in group.cells else ""


def _task(group: "Group") -> list[tuple[str, ...]]:
    """What is stored of each model on one task."""
    from seq2seq.analysis.report import atlas

    return [
        (model, atlas.share(cell), atlas.interval(cell), atlas.steps(cell))
        for model, cell in group.cells.items()
    ]
