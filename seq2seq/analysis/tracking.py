"""How long words trained models track, beside the bits that such models recall.

A task that asks after every step, such as `group_word`, has at its step t the answer of words of
t elements. A model tracks words up to the largest t such that it is right there, and at every step
before, in 0.9 of the sequences.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from seq2seq.analysis.figures.capacity import Point, front
from seq2seq.analysis.generalisation import SOLVED
from seq2seq.analysis.intervals import interval, log_interval, named
from seq2seq.analysis.recalled import Cell, Group, cells, loaded, refusing_below
from seq2seq.build import threads
from seq2seq.errors import ConfigError
from seq2seq.runs import Run
from seq2seq.seeds import generator

#: The longest words that are tried.
LONGEST = 256


@torch.inference_mode()
def longest(model: Any, task: Any, most: int = LONGEST) -> int:
    """The length up to which a model tracks words, at most `most`; 0 where it tracks none.

    Args:
        model: trained, in evaluation mode.
        task: asks after every step.
        most: steps of the words tried.

    Raises:
        ValueError: the task does not ask after every step, or has no length.
    """
    task = task.changed({"length": most})
    steps = _asked(task, most)
    x, y = task.split("test")
    parameter = next(model.parameters())
    output = torch.cat([model(part.to(parameter.device)).argmax(-1) for part in x.split(64)])
    right = (output.cpu() == y.cpu()).double().mean(0)[steps.cpu()]
    return int((right >= SOLVED).long().cumprod(0).sum())


def _asked(task: Any, most: int) -> Tensor:
    """Which steps of its sequences a task asks after; ValueError unless it asks `most` times."""
    _, y = task.sample(1, generator(task.seed, "asked"))
    steps: Tensor = (y >= 0).all(0)
    if steps.ndim > 1 or int(steps.sum()) != most:
        raise ValueError(
            f"words of every length are told where each step is asked, got {int(steps.sum())} of "
            f"{most} steps; take task=group_word with task.supervise=all"
        )
    return steps


@dataclass(frozen=True)
class Tracked:
    """Of runs that differ in the seed only: what they recall, and the words that such track.

    Attributes:
        group: those that recall.
        lengths: of each run that tracks, the longest word.
    """

    group: Group
    lengths: Sequence[int]

    @property
    def ends(self) -> tuple[float, float, float]:
        """Geometric mean of the longest words, 1 for none, and its 95% interval up to `LONGEST`."""
        mean, low, high = log_interval([max(1, one) for one in self.lengths])
        return mean, max(1.0, low), min(float(LONGEST), high)

    def row(self) -> dict[str, Any]:
        """What a table has of it."""
        told = self.group.row()
        kept = {key: told[key] for key in ("model", "numbers", "bits", "accuracy", "source")}
        longest = named(self.ends) | {"each": list(self.lengths)}
        return kept | {"runs": told["runs"], "tracking": len(self.lengths), "longest": longest}


def trackable(recalling: Sequence[Cell], sweep: Path) -> list[Cell]:
    """The cells below a folder whose words can be set beside what others recall.

    Raises:
        ValueError: a model of the one is none of the other, or recalls from several states; a task
            there does not ask after every step.
    """
    found = [*cells(sweep)]
    models, tracking = ([name for name, *_ in one] for one in (recalling, found))
    for name in models:
        if tracking.count(name) != 1 or models.count(name) > 1:
            raise ConfigError(
                f"{name} must be once in either sweep to be set beside itself, got "
                f"{', '.join(tracking)} in {sweep}; give sweeps over the same models"
            )
    for _, _, runs in found:
        with refusing_below(sweep):
            _, task = loaded(runs[0])
            _asked(task.changed({"length": LONGEST}), LONGEST)
    return found


def beside(groups: Sequence[Group], found: Sequence[Cell]) -> Iterator[Tracked]:
    """Each group, and the longest words of the runs of the same model in cells that track."""
    lengths = {name: [_of_run(run) for run in runs] for name, _, runs in found}
    for group in groups:
        yield Tracked(group, lengths[group.model])


def _of_run(run: Run) -> int:
    with threads(run.config.threads):
        return longest(*loaded(run))


def figure(found: Sequence[Tracked]) -> Figure:
    """Recalled bits against the longest word tracked."""
    points = {one.group.model: Point(one.ends, interval(_bits(one))) for one in found}
    first = found[0].group.found[0]
    return front(points, "longest word tracked (elements)", first.source, first.shortcut)


def _bits(one: Tracked) -> list[float]:
    return [each.recall.bits for each in one.group.found]
