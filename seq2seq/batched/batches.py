"""The training batches of runs that are trained together."""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq.tasks.task import SequenceTask


class Batches:
    """The training batches of all members: (M, batch, time, channels) each, by the step.

    Members whose training sets are equal share one in memory, and all sets are read at once.

    Args:
        tasks: one per member.
        like: what they compute with.
        length: steps to which sequences are padded with zeros; None leaves them as they are.
    """

    def __init__(
        self, tasks: Sequence[SequenceTask], like: Tensor, length: int | None = None
    ) -> None:
        self.tasks = tasks
        self.like = like
        self.length = length
        self.uses_samples = tasks[0].uses_samples
        self.is_stored = self.uses_samples and all(
            not task.online and type(task).batch is SequenceTask.batch for task in tasks
        )
        if self.is_stored:
            pairs = [task.split("train") for task in tasks]
            self.x, self._x_starts = self._join([pair.x for pair in pairs])
            self.y, self._y_starts = self._join([pair.y for pair in pairs])
            # Members with the same seed and size draw the same order.
            keys = [(task.seed, task.sizes["train"], task.batch_size) for task in tasks]
            known = dict(zip(keys, tasks, strict=True))
            self._orders = list(known.values())
            numbers = {key: number for number, key in enumerate(known)}
            self._order = torch.tensor([numbers[key] for key in keys], device=like.device)

    def _join(self, parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The distinct tensors among `parts` one after another, and where each part begins."""
        distinct: list[Tensor] = []
        indices = []
        for part in parts:
            same = (i for i, other in enumerate(distinct) if torch.equal(part, other))
            indices.append(next(same, len(distinct)))
            if indices[-1] == len(distinct):
                distinct.append(part)
        begins = list(itertools.accumulate(map(len, distinct), initial=0))
        starts = torch.tensor([begins[index] for index in indices], device=self.like.device)
        return self.cast(torch.cat([self.pad(part) for part in distinct])), starts[:, None]

    def cast(self, batch: Tensor) -> Tensor:
        """Real numbers in the precision of the parameters, tokens as they are."""
        return batch.to(self.like) if batch.is_floating_point() else batch.to(self.like.device)

    def pad(self, part: Tensor) -> Tensor:
        """(batch, time, channels) with zeros at the times that are missing."""
        return part if self.length is None else F.pad(part, (0, 0, 0, self.length - part.shape[1]))

    def stack(self, parts: Sequence[Tensor]) -> Tensor:
        """One batch of each member, (M, batch, time, channels)."""
        return self.cast(torch.stack([self.pad(part) for part in parts]))

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        if not self.uses_samples:
            nothing = self.like.new_zeros(len(self.tasks), 0)
            return nothing, nothing
        if not self.is_stored:
            batches = zip(*(task.batch(step) for task in self.tasks), strict=True)
            x, y = (self.stack(parts) for parts in batches)
            return x, y
        orders = [task._positions(step * task.batch_size, task.batch_size) for task in self._orders]
        index = torch.stack(orders)[self._order]
        M, B = index.shape
        x = self.x.index_select(0, (index + self._x_starts).flatten()).unflatten(0, (M, B))
        y = self.y.index_select(0, (index + self._y_starts).flatten()).unflatten(0, (M, B))
        return x, y
