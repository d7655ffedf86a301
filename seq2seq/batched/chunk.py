"""Train several runs of one shape as a single tensor program."""

import functools
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from seq2seq.batched import optimizer
from seq2seq.batched.batches import Batches
from seq2seq.batched.member import Member
from seq2seq.callbacks import Pace, ProgressReport
from seq2seq.history import READ_EVERY
from seq2seq.models.batching import AttentionRule, batchable
from seq2seq.module import weight
from seq2seq.processes import is_told
from seq2seq.times import Taken

#: Numbers; a parameter begins at a multiple of it, for the sake of vector loads.
ALIGNMENT = 16

Tensors = dict[str, Tensor]

#: A mean loss on a split, and the sums of counts there.
Measured = tuple[float, list[float]]


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


class Chunk:
    """Runs trained in step; one that has ended leaves, and its row computes on, unread.

    The parameters of all members are the rows of one tensor, and each member's own model holds
    views of its row, so that whatever looks at a single run sees it as if it were alone. Sequences
    are padded to the longest.

    Args:
        members: the runs, started, all at the same step.
        stops: asked between steps whether to stop.

    Attributes:
        rows: the members that are still training, and where in the tensors each stands.
        step: steps taken.
    """

    def __init__(self, members: Sequence[Member], stops: Callable[[], bool]) -> None:
        self.step = members[0].step
        self.stops = stops
        self._saved = (self.step, time.monotonic())
        self._pace = Pace(self.step, members[0].max_steps)
        self._charged = Taken.now()
        self._val_every: int = members[0].cfg.trainer.val_check_interval
        callbacks = members[0].trainer.callbacks  # type: ignore[attr-defined]
        self._tells = any(isinstance(one, ProgressReport) for one in callbacks)
        self._attends: bool | None = None
        self._stack(members)

    @property
    def live(self) -> list[Member]:
        """The members that are still training."""
        return list(self.rows)

    # --------------------------------------------------------------------------------- stacking

    def _stack(self, members: Sequence[Member]) -> None:
        self.rows = {member: row for row, member in enumerate(members)}
        self.some = members[0]
        module = self.some.module
        self.template = batchable(module.model)
        self.objective = Objective(self.template, module.objective, module.loss)
        self._loss, self._counts = vmap(module.loss), vmap(module.counts)
        named = {name: p for name, p in module.model.named_parameters() if p.requires_grad}
        self.spans, width = _layout(list(named.values()))
        like = next(iter(named.values())).detach()
        self.values = like.new_zeros(len(members), width)
        self.slopes = torch.zeros_like(self.values)
        for member, row in self.rows.items():
            for name, span in zip(named, self.spans, strict=True):
                own = member.module.model.get_parameter(name)
                self.values[row, span] = own.detach().flatten()
                own.data = self.values[row, span].view(own.shape)
                own.grad = self.slopes[row, span].view(own.shape)
        self.parameters: dict[str, Tensor] = {
            name: self.values[:, span].view(len(members), *p.shape).detach().requires_grad_()
            for (name, p), span in zip(named.items(), self.spans, strict=True)
        }
        self.buffers = _shared_and_stacked([_held(m.module.model) for m in members])
        optimizers = [member.optimizer for member in members]
        self.optimizer = optimizer.Stacked(
            optimizers, self.values, self.slopes, self.spans, self.step
        )
        limits = [member.cfg.gradient_clip_val or math.inf for member in members]  # never 0
        self.limits = None if min(limits) == math.inf else self.values.new_tensor(limits)
        lengths = torch.tensor([member.task.length for member in members], device=like.device)
        length = int(lengths.max())
        self.beyond = self.share = None
        if (lengths < length).any():
            times = torch.arange(length, device=like.device)
            self.beyond = (times >= lengths[:, None])[:, :, None]  # (M, time, 1)
            self.share = lengths.to(like) / length
        padded = None if self.beyond is None else length
        self.batches = Batches([member.task for member in members], like, padded)
        self.listeners = {
            hook: [member for member in members if member.hooks[hook]]
            for hook in ("on_train_batch_start", "on_train_batch_end")
        }

    def _compact(self) -> None:
        """Give up the rows of those that have left once they are half of all."""
        if 0 < 2 * len(self.rows) <= len(self.values):
            for row in self.rows.values():
                self.optimizer.export(row)
            self._stack(self.live)

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
            if not self.rows:
                return
            self._save_if_due()
            if self._tells:
                self._pace.note(self.step, ((m.run.folder, m.module) for m in self.rows))
            self._charge()
            if self.stops():
                self.save()
                raise KeyboardInterrupt
            x, y = self.batches(self.step)
            self._tell("on_train_batch_start", None, self.step)
            norms = self._advance(x, y)
            if self.step % READ_EVERY == 0:
                self._each(lambda member: member.module.read_losses())
            self._log(norms)
            self._tell("on_train_batch_end", None, None, self.step - 1)
            if self.step % self._val_every == 0:
                self._validate(self.live)
            else:
                self._validate([m for m in self.live if m.trainer.should_stop])

    def _charge(self) -> None:
        """Count the time since the last call as spent on the members, in equal shares."""
        now = Taken.now()
        for member in self.rows:
            member.cost.add(now - self._charged, 1 / len(self.rows))
        self._charged = now

    def _each(
        self, work: Callable[[Member], object], members: Sequence[Member] | None = None
    ) -> None:
        """Do something for `members` (all); one that cannot do it leaves with the status `failed`.

        Members that have left are passed over.
        """
        for member in self.live if members is None else members:
            if member not in self.rows:
                continue
            try:
                member.reach(self.step)
                work(member)
            except Exception as error:
                member.fail(error)
                del self.rows[member]

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
        taken = losses.detach().unbind()
        for member, row in self.rows.items():
            member.taken(self.step, taken[row])
        if self.some.scheduler is not None and self.some.module._plateau is None:
            self.optimizer.read_rates()
        return norms

    def losses(self, x: Tensor, y: Tensor) -> Tensor:
        """The objective of every member on its batch: (M, batch, time, channels) each -> (M,)."""
        parameters = {f"model.{name}": value for name, value in self.parameters.items()}
        shared, stacked = ({f"model.{k}": v for k, v in part.items()} for part in self.buffers)
        padding = None if self.beyond is None else 0
        dims = (0, None, 0 if stacked else None, 0, 0, padding, padding)
        batched = vmap(functools.partial(_replaced, self.objective), dims)
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
        self._each(lambda member: member.call(hook, *arguments), self.listeners[hook])

    def _log(self, norms: Tensor) -> None:
        every = self.some.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if self.step % every == 0 or self.step == 1:
            own = norms.tolist()
            self._each(lambda member: member.log_training(self.step, own[self.rows[member]]))

    # ------------------------------------------------------------------------------- validation

    def _validate(self, members: Sequence[Member]) -> None:
        if not members:
            return
        measured = self.evaluate(members, "val")
        self._each(lambda member: member.validated(measured[member], self.step), members)
        if self.some.module._plateau is not None and self.rows:
            self.optimizer.read_rates()
        self._report([loss for loss, _ in measured.values()])

    @torch.no_grad()
    def evaluate(self, members: Sequence[Member], stage: str) -> dict[Member, Measured]:
        """The mean loss of each member on `val` or `test`, and the sums of its counts."""
        rows = [self.rows[member] for member in members]
        everyone = rows == list(range(len(self.values)))
        parameters = {k: v if everyone else v[rows] for k, v in self.parameters.items()}
        shared, stacked = self.buffers
        stacked = {k: v[rows] for k, v in stacked.items()}
        dims = (0, None, 0 if stacked else None, 0)
        forward = vmap(functools.partial(_replaced, self.template), dims)
        self.template.eval()
        loaders = [getattr(member.task, f"{stage}_dataloader")() for member in members]
        weighted: list[list[tuple[float, int, list[float]]]] = [[] for _ in members]
        for slices in zip(*loaders, strict=True):
            x, y = (self.batches.stack(parts) for parts in zip(*slices, strict=True))
            # As many sequences at a time as in training, for which the buffers are there already.
            pieces = x.split(self.some.task.batch_size, 1)
            with self._attention():
                output = torch.cat([forward(parameters, shared, stacked, p) for p in pieces], 1)
            measured = self._measured(members, output, y)
            for parts, (loss, counts), target in zip(weighted, measured, y, strict=True):
                parts.append((loss, weight(target), counts))
        self.template.train()
        return dict(zip(members, map(_mean, weighted), strict=True))

    def _measured(self, members: Sequence[Member], output: Tensor, y: Tensor) -> Iterable[Measured]:
        """Loss and counts of each member on (M, batch, time, channels), over its own times."""
        if self.beyond is None:
            losses, counts = self._loss(output, y), self._counts(output, y)
            return zip(losses.tolist(), counts.tolist(), strict=True)
        own = ((m.module, m.task.length) for m in members)
        parts = (
            (module, a[:, :length], b[:, :length])
            for (module, length), a, b in zip(own, output, y, strict=True)
        )
        return ((float(m.loss(a, b)), m.counts(a, b).tolist()) for m, a, b in parts)

    def _report(self, losses: Sequence[float]) -> None:
        """A line about all members, where a run alone would print one of its own."""
        if not self.rows or not self._tells or is_told():
            return
        told = " to ".join(dict.fromkeys(f"{loss:.3g}" for loss in (min(losses), max(losses))))
        if len(losses) > 2:
            told += f", median {statistics.median(losses):.3g}"
        runs = next(iter(self.rows)).run.folder.name
        if others := len(self.rows) - 1:
            runs += f" and {others} other{'s' * (others > 1)}"
        line = self._pace.line(self.step, f"val loss {told}")
        print(f"{runs}: {line}", file=sys.stderr, flush=True)

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
        if members is None:
            self._saved = (self.step, time.monotonic())

        def save(member: Member) -> None:
            self.optimizer.export(self.rows[member])
            member.save()

        self._each(save, members)

    def _retire(self) -> None:
        """Take out the members that have reached their end."""
        leaving = [m for m in self.rows if m.trainer.should_stop or self.step >= m.max_steps]
        if not leaving:
            return
        self.save(leaving)
        ending: list[Member] = []
        self._each(lambda member: ending.append(member) if member.end() else None, leaving)
        means = {stage: self.evaluate(ending, stage) for stage in ("val", "test") if ending}
        self._charge()

        def finish(member: Member) -> None:
            member.finish({stage: own[member] for stage, own in means.items() if member in own})
            del self.rows[member]

        self._each(finish, leaving)


def _mean(parts: Sequence[tuple[float, int, list[float]]]) -> Measured:
    """The mean of losses by their weights, and the sums of counts."""
    loss = sum(loss * n for loss, n, _ in parts) / sum(n for _, n, _ in parts)
    return loss, [*map(sum, zip(*(counts for _, _, counts in parts), strict=True))]


def _replaced(module: nn.Module, own: Tensors, a: Tensors, b: Tensors, *batch: Any) -> Tensor:
    """The module's output with these parameters and buffers in place of its own."""
    result: Tensor = functional_call(module, {**own, **a, **b}, batch)
    return result


def _layout(parameters: Sequence[Tensor]) -> tuple[list[slice], int]:
    """Where each parameter lies in a member's row, and how long the row is."""
    spans, start = [], 0
    for parameter in parameters:
        spans.append(slice(start, start + parameter.numel()))
        start += -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
    return spans, start


def _held(model: nn.Module) -> dict[str, Tensor]:
    """What a model holds beside the parameters that are trained."""
    frozen = {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}
    return frozen | dict(model.named_buffers())


def _shared_and_stacked(
    members: Sequence[dict[str, Tensor]],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors that all members agree on, and the others stacked."""
    shared, stacked = {}, {}
    for name, first in members[0].items():
        own = [buffers[name] for buffers in members]
        if all(torch.equal(first, other) for other in own):
            shared[name] = first
        else:
            stacked[name] = torch.stack(own)
    return shared, stacked
