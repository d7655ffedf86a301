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

#: What the shares in the tables are of.
FOUND = "runs that found it"


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
        tasks = [name.removeprefix(FOLDER) for name in names]
        first = next((task for task in tasks if any(self._runs(task))), "")
        task = yield Choice("task", "Task", tasks, first)
        base = yaml.safe_load((schema.CONFIGS / BASE).read_text(encoding="utf-8"))
        models = base["hydra"]["sweeper"]["params"]["model"].split(",")
        known = {name.rpartition("/")[2].partition("-")[0] for name in self._runs(task)}
        first = next((model for model in models if model in known), "")
        yield Choice("model", "Model", models, first)

    def _runs(self, task: str, model: str = "*") -> Iterator[str]:
        """The runs of a model, or of all, on a task, by their paths in the folder of runs."""
        for path in (self.outputs / FOLDER / task).glob(f"{model}-*/result.json"):
            yield path.parent.relative_to(self.outputs).as_posix()

    def update(self, values: Mapping[str, Any], seed: int, width: int) -> Blocks:
        from seq2seq.analysis.report import atlas

        task, model = values["task"], values["model"]
        groups = atlas.read(atlas.STORED)
        order = atlas.models(groups)
        if groups:
            columns = (FOUND, *(group.task.replace("_", " ") for group in groups))
            shares = [(one, *_shares(groups, one)) for one in order]
            yield Table("atlas", columns, shares)
        else:
            told = f"Nothing of it is stored in {atlas.STORED}; {atlas.TRAIN} trains all of it."
            yield Note("atlas", told)
        for group in groups:
            if group.task == task:
                titles = (task.replace("_", " "), FOUND, "95% interval", "steps")
                yield Table("task", titles, _task(group, order))
        if runs := sorted(self._runs(task, model)):
            yield from super().update({"model": runs}, seed, width)
        else:
            said = f"No run of {model} on {task} is in {self.outputs}; "
            yield Note("runs", f"{said}{atlas.command(task, model)} trains them.")


def _shares(groups: "Sequence[Group]", model: str) -> Iterator[str]:
    """How many runs of a model found each task."""
    from seq2seq.analysis.report import atlas

    for group in groups:
        yield atlas.share(group.cells[model]) if model in group.cells else ""


def _task(group: "Group", order: Sequence[str]) -> list[tuple[str, ...]]:
    """What is stored of each model on one task, in the `order` of all models."""
    from seq2seq.analysis.report import atlas

    cells = [(model, group.cells[model]) for model in order if model in group.cells]
    return [
        (one, atlas.share(cell), atlas.interval(cell), atlas.steps(cell)) for one, cell in cells
    ]
