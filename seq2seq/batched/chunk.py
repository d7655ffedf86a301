"""Train several runs of one shape as a single tensor program."""

import itertools
import logging
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap

from seq2seq.batched import optimizer
from seq2seq.batched.member import Member
from seq2seq.batched.stack import AttentionRule, batchable
from seq2seq.callbacks import ProgressReport
from seq2seq.history import READ_EVERY
from seq2seq.module import weight
from seq2seq.tasks.task import SequenceTask

log = logging.getLogger("seq2seq")

ALIGNMENT = 16  # numbers; a parameter begins at a multiple of it, for the sake of vector loads


Tensors = dict[str, Tensor]


class Objective(nn.Module):
    """What one member minimises, as a module, so that all its parameters can be replaced.

    A member whose sequences were padded is given the times `beyond` its own length, (time, 1):
    causal outputs before them are what they were, and the mean over its own times is the mean over
    all of them, `share` of which are its own, when what lies beyond has no error.
    """

    def __init__(self, model: nn.Module, objective: Callable[..., Tensor], loss: Any) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.loss = loss

    def forward(self, x: Tensor, y: Tensor, beyond: Tensor | None, share: Any) -> Tensor:
        """() for (batch, time, channels) each."""
        if beyond is None:
            loss: Tensor = self.objective(self.model, (x, y), self.loss)
            return loss

        def masked(output: Tensor, y: Tensor) -> Tensor:
            own: Tensor = self.loss(output.masked_fill(beyond, 0.0), y) / share
            return own

        return self.objective(self.model, (x, y), masked)


class Absent(NamedTuple):
    """A run that ended before this chunk was resumed, but after the step it is resumed from.

    Its slot counts as occupied until then, so that a resumed chunk shrinks when it did before.
    """

    name: str
    until: int
    length: int


Slot = Member | Absent | None


def length_of(slot: Member | Absent) -> int:
    """The steps of a run's sequences."""
    return slot.task.length if isinstance(slot, Member) else slot.length


def members_of(slots: Sequence[Slot]) -> list[Member]:
    """The members among `slots`."""
    return [slot for slot in slots if isinstance(slot, Member)]


class Chunk:
    """M slots with a run each, trained in step; a slot is empty once its run has ended.

    The parameters of all members are the rows of one tensor, and each member's own model holds
    views of its row, so that whatever looks at a single run sees it as if it were alone.

    Args:
        slots: the members, all at the same step; None is an empty slot.
        step: steps already taken.
        stops: asked between steps whether to stop.
        length: steps to which shorter sequences are padded; None for those of the longest.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        step: int,
        stops: Callable[[], bool],
        length: int | None = None,
    ) -> None:
        self.step = step
        self.stops = stops
        self._val_every: int = members_of(slots)[0].cfg.trainer.val_check_interval
        self._saved = (step, time.monotonic())
        self._begun = (step, time.monotonic())
        self._charged = time.perf_counter()
        self._attends: bool | None = None
        self._stack(slots, length)

    # --------------------------------------------------------------------------------- stacking

    def _stack(self, slots: Sequence[Slot], length: int | None = None) -> None:
        self.slots = list(slots)
        self.length = length or max(length_of(slot) for slot in slots if slot is not None)
        self.some = self.live[0]
        # A slot without a member goes on computing; nobody reads its results.
        filled = [slot if isinstance(slot, Member) else self.some for slot in self.slots]
        module = self.some.module
        self.template = batchable(module.model)
        self.objective = Objective(self.template, module.objective, module.loss)
        self._loss = vmap(module.loss)
        names = [name for name, p in module.model.named_parameters() if p.requires_grad]
        self.spans, width = _layout([module.model.get_parameter(name) for name in names])
        like = module.model.get_parameter(names[0])
        self.values = torch.zeros(len(self.slots), width, dtype=like.dtype, device=like.device)
        self.slopes = torch.zeros_like(self.values)
        for row, one in enumerate(filled):
            for name, span in zip(names, self.spans, strict=True):
                own = one.module.model.get_parameter(name)
                self.values[row, span] = own.detach().flatten()
        for row, member in enumerate(self.slots):
            if isinstance(member, Member):
                for name, span in zip(names, self.spans, strict=True):
                    own = member.module.model.get_parameter(name)
                    own.data = self.values[row, span].view(own.shape)
                    own.grad = self.slopes[row, span].view(own.shape)
        self.parameters: dict[str, Tensor] = {}
        for name, span in zip(names, self.spans, strict=True):
            shape = (len(self.slots), *module.model.get_parameter(name).shape)
            self.parameters[name] = self.values[:, span].view(shape).detach().requires_grad_()
        own_buffers = [dict(member.module.model.named_buffers()) for member in filled]
        self.buffers = _shared_and_stacked(own_buffers)
        self.optimizer = optimizer.Stacked(
            [member.optimizer for member in filled],
            self.values,
            self.slopes,
            self.spans,
            self.step,
        )
        limits = [member.cfg.gradient_clip_val for member in filled]
        self.limits = None
        if any(limit is not None for limit in limits):
            infinite = [float("inf") if limit is None else limit for limit in limits]
            self.limits = self.values.new_tensor(infinite)
        lengths = torch.tensor([member.task.length for member in filled], device=like.device)
        self.beyond = self.share = None
        if (lengths < self.length).any():
            times = torch.arange(self.length, device=like.device)
            self.beyond = (times >= lengths[:, None])[:, :, None]  # (M, time, 1)
            self.share = lengths.to(like) / self.length
        padded = None if self.beyond is None else self.length
        self.batches = Batches([member.task for member in filled], like, padded)
        self.listeners = {
            hook: [
                (row, member)
                for row, member in enumerate(self.slots)
                if isinstance(member, Member) and member.hooks[hook]
            ]
            for hook in ("on_train_batch_start", "on_train_batch_end")
        }

    @property
    def live(self) -> list[Member]:
        """The members that are still training."""
        return members_of(self.slots)

    @property
    def names(self) -> list[str]:
        """The run in each slot, for the checkpoints."""
        return [
            slot.run.name if isinstance(slot, Member) else slot.name if slot else ""
            for slot in self.slots
        ]

    def _compact(self) -> None:
        """Give up empty slots once they are half of all."""
        for row, slot in enumerate(self.slots):
            if isinstance(slot, Absent) and slot.until <= self.step:
                self.slots[row] = None
        occupied = [slot for slot in self.slots if slot is not None]
        if self.live and 2 * len(occupied) <= len(self.slots):
            for member in self.live:
                self.optimizer.export(self.slots.index(member))
            self._stack(occupied)

    # --------------------------------------------------------------------------------- training

    def train(self) -> None:
        """Train all members to their ends and write their results.

        Raises:
            KeyboardInterrupt: after checkpoints, when the user interrupts.
        """
        self._each(lambda member: member.call("on_train_start"))
        while True:
            self._retire()
            self._compact()
            if not self.live:
                return
            self._save_if_due()
            self._charge()
            if self.stops():
                self.save()
                raise KeyboardInterrupt
            x, y = self.batches(self.step)
            self._tell("on_train_batch_start", None, self.step)
            norms = self._advance(x, y)
            if self.step % READ_EVERY == 0:
                self._each(self._read)
            self._log(norms)
            self._tell("on_train_batch_end", None, None, self.step - 1)
            if self.step % self._val_every == 0:
                self._validate(self.live)
            else:
                self._validate([m for m in self.live if m.trainer.should_stop])

    def _charge(self) -> None:
        """Count the time since the last call as spent on the members, in equal shares."""
        now = time.perf_counter()
        share = (now - self._charged) / len(self.live)
        for member in self.live:
            member.seconds += share
        self._charged = now

    def _each(
        self, work: Callable[[Member], None], members: Sequence[Member] | None = None
    ) -> None:
        """Do something for every member; one that cannot do it leaves with the status `failed`."""
        for member in self.live if members is None else members:
            try:
                work(member)
            except Exception as error:
                member.fail(error)
                self._leave(member)

    def _leave(self, member: Member) -> None:
        self.slots[self.slots.index(member)] = None

    def _advance(self, x: Tensor, y: Tensor) -> Tensor:
        """One optimisation step; the norms of the gradients before clipping, (M,)."""
        losses = self.losses(x, y)
        leaves = list(self.parameters.values())
        slopes = torch.autograd.grad(losses.sum(), leaves, allow_unused=True)
        for span, slope in zip(self.spans, slopes, strict=True):
            if slope is not None:
                self.slopes[:, span] = slope.flatten(1)
        norms = torch.linalg.vector_norm(self.slopes, dim=1)
        if self.limits is not None:
            # As torch.nn.utils.clip_grad_norm_ does.
            shrink = (self.limits / (norms + 1e-6)).clamp(max=1.0)
            self.slopes.mul_(shrink.masked_fill(self.limits.isinf(), 1.0)[:, None])
        self.optimizer.step()
        self.step += 1
        for slot, loss in zip(self.slots, losses.detach().unbind(), strict=True):
            if isinstance(slot, Member):
                slot.taken(self.step, loss)
        if self.some.scheduler is not None and self.some.module._plateau is None:
            self.optimizer.read_rates()
        return norms

    def losses(self, x: Tensor, y: Tensor) -> Tensor:
        """The objective of every member on its batch: (M, batch, time, channels) each -> (M,)."""
        parameters = {f"model.{name}": value for name, value in self.parameters.items()}
        shared, stacked = ({f"model.{k}": v for k, v in part.items()} for part in self.buffers)
        one = self.objective

        def member_loss(own: Tensors, a: Tensors, b: Tensors, *batch: Any) -> Tensor:
            result: Tensor = functional_call(one, {**own, **a, **b}, batch)
            return result

        padding = None if self.beyond is None else 0
        batched = vmap(member_loss, (0, None, 0 if stacked else None, 0, 0, padding, padding))
        with self._attention():
            result: Tensor = batched(parameters, shared, stacked, x, y, self.beyond, self.share)
        return result

    @contextmanager
    def _attention(self) -> Iterator[None]:
        """Batch attention until a pass has had none: every call of torch pays for the question."""
        if self._attends is False:
            yield
            return
        with AttentionRule() as rule:
            yield
        self._attends = rule.used

    def _tell(self, hook: str, *arguments: Any) -> None:
        """Call a hook of the callbacks that have it, of every member that has such."""
        for row, member in self.listeners[hook]:
            if self.slots[row] is member:
                member.reach(self.step)
                self._each(lambda one: one.call(hook, *arguments), [member])

    def _read(self, member: Member) -> None:
        member.reach(self.step)
        member.module.read_losses()

    def _log(self, norms: Tensor) -> None:
        every = self.some.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if self.step % every == 0 or self.step == 1:
            own = dict(zip(map(id, self.slots), norms.tolist(), strict=True))

            def log_training(member: Member) -> None:
                member.reach(self.step)
                member.log_training(self.step, own[id(member)])

            self._each(log_training)

    # ------------------------------------------------------------------------------- validation

    def _validate(self, members: Sequence[Member]) -> None:
        if not members:
            return
        losses = self.evaluate(members, "val")

        def validated(member: Member) -> None:
            member.reach(self.step)
            member.validated(losses[id(member)], self.step)

        self._each(validated, members)
        if self.some.module._plateau is not None and self.live:
            self.optimizer.read_rates()
        self._report(list(losses.values()))

    @torch.no_grad()
    def evaluate(self, members: Sequence[Member], stage: str) -> dict[int, float]:
        """The mean loss of each member on `val` or `test`, by its `id`."""
        rows = [self.slots.index(member) for member in members]
        everyone = rows == list(range(len(self.slots)))
        parameters = {k: v if everyone else v[rows] for k, v in self.parameters.items()}
        shared, stacked = self.buffers
        stacked = {k: v[rows] for k, v in stacked.items()}
        template = self.template

        def outputs(own: Tensors, a: Tensors, b: Tensors, x: Tensor) -> Tensor:
            result: Tensor = functional_call(template, {**own, **a, **b}, (x,))
            return result

        forward = vmap(outputs, (0, None, 0 if stacked else None, 0))
        self.template.eval()
        loaders = [getattr(member.task, f"{stage}_dataloader")() for member in members]
        weighted: list[list[tuple[float, int]]] = [[] for _ in members]
        for slices in zip(*loaders, strict=True):
            x, y = (self.batches.stack(parts) for parts in zip(*slices, strict=True))
            # As many sequences at a time as in training, for which the buffers are there already.
            pieces = x.split(self.some.task.batch_size, 1)
            with self._attention():
                output = torch.cat([forward(parameters, shared, stacked, p) for p in pieces], 1)
            for pairs, loss, target in zip(
                weighted, self._losses(members, output, y), y, strict=True
            ):
                pairs.append((loss, weight(target)))
        self.template.train()
        means = (sum(a * n for a, n in pairs) / sum(n for _, n in pairs) for pairs in weighted)
        return dict(zip(map(id, members), means, strict=True))

    def _losses(self, members: Sequence[Member], output: Tensor, y: Tensor) -> list[float]:
        """The loss of each member on (M, batch, time, channels), over its own times."""
        if self.beyond is None:
            together: list[float] = self._loss(output, y).tolist()
            return together
        lengths = [member.task.length for member in members]
        parts = zip(members, output, y, lengths, strict=True)
        return [float(m.module.loss(a[:, :length], b[:, :length])) for m, a, b, length in parts]

    def _report(self, losses: Sequence[float]) -> None:
        """A line about all members, where a run alone would print one of its own."""
        if not self.live or not any(isinstance(c, ProgressReport) for c in self._all_callbacks()):
            return
        first, then = self._begun
        speed = (self.step - first) / max(time.monotonic() - then, 1e-9)
        total = self.some.max_steps
        print(
            f"{len(self.live)} runs  step {self.step}/{total}  val loss {min(losses):.3g} … "
            f"{statistics.median(losses):.3g} … {max(losses):.3g}  {speed:.0f} steps/s  "
            f"{(total - self.step) / max(speed, 1e-9):.0f} s left",
            file=sys.stderr,
            flush=True,
        )

    def _all_callbacks(self) -> list[Any]:
        return list(self.some.trainer.callbacks)  # type: ignore[attr-defined]

    # -------------------------------------------------------------------------- checkpoints, end

    def _save_if_due(self) -> None:
        step, then = self._saved
        checkpoints = self.some.checkpoints
        if checkpoints is None or self.step == step:
            return
        late = time.monotonic() - then > checkpoints.every_n_seconds
        if late or self.step % checkpoints.every_n_steps == 0:
            self.save()

    def save(self, members: Sequence[Member] | None = None) -> None:
        """Write the checkpoints of `members` (all) at this step."""
        self._saved = (self.step, time.monotonic())
        names = self.names

        def save(member: Member) -> None:
            member.reach(self.step)
            self.optimizer.export(self.slots.index(member))
            member.save(names, self.length)

        self._each(save, members)

    def _retire(self) -> None:
        """Take out the members that have reached their end."""
        leaving = [m for m in self.live if m.trainer.should_stop or self.step >= m.max_steps]
        if not leaving:
            return
        self.save(leaving)
        ending: list[Member] = []
        self._each(lambda m: ending.append(m) if m.end() else None, self._among(leaving))
        means: dict[str, dict[int, float]] = {}
        if ending:
            means = {stage: self.evaluate(ending, stage) for stage in ("val", "test")}

        self._charge()

        def finish(member: Member) -> None:
            stages = means if member in ending else {}
            member.finish({stage: means[stage][id(member)] for stage in stages})

        self._each(finish, self._among(leaving))
        for member in self._among(leaving):
            self._leave(member)

    def _among(self, members: Sequence[Member]) -> list[Member]:
        """Those of `members` that are still here."""
        return [member for member in members if member in self.slots]


def _layout(parameters: Sequence[Tensor]) -> tuple[list[slice], int]:
    """Where each parameter lies in a member's row, and how long the row is."""
    spans, start = [], 0
    for parameter in parameters:
        spans.append(slice(start, start + parameter.numel()))
        start += -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
    return spans, start


def _shared_and_stacked(
    members: Sequence[dict[str, Tensor]],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The buffers that all members agree on, and the others stacked."""
    shared, stacked = {}, {}
    for name, first in members[0].items():
        own = [buffers[name] for buffers in members]
        if all(torch.equal(first, other) for other in own):
            shared[name] = first
        else:
            stacked[name] = torch.stack(own)
    return shared, stacked


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
            for index, other in enumerate(distinct):
                if part is other or torch.equal(part, other):
                    indices.append(index)
                    break
            else:
                indices.append(len(distinct))
                distinct.append(part)
        lengths = [len(part) for part in distinct]
        begins = list(itertools.accumulate(lengths, initial=0))
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
