"""The one LightningModule: a model, its loss, an optimizer and a scheduler."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from lightning import LightningModule
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from seq2seq.history import READ_EVERY, History
from seq2seq.seeds import stream_seed

Batch = tuple[Tensor, Tensor]


class SequenceModule(LightningModule):
    """Train a causal model on sequences with manual optimisation, keeping the loss of every step.

    Manual optimisation costs a tiny model about half of what Lightning's automatic one does. The
    losses stay on the device and are read in blocks of `READ_EVERY` steps.

    Args:
        model: `(batch, time, in) → (batch, time, out)`.
        objective: called with `(model, batch, loss)`; returns the scalar to minimise.
        loss: `(output, y) → ` scalar mean, used for validation and test.
        metrics: `(stage, mean loss) → ` further numbers that follow from it, such as `nmse`.
        counts: `(output, y) → (m,)`, which are summed over a split; None for none.
        scores: `sums of the counts → ` numbers that follow from these, such as `accuracy`.
        optimizer: called with the parameters.
        scheduler: called with the optimizer; stepped after every step, or, if it waits for a
            plateau, after every validation with the validation loss.
        gradient_clip_val: largest norm of the gradient; None leaves it as it is.
        seed: dropout at step n draws from a stream of `(seed, n)`, so a resumed run draws the same.
        restarts: for recurrent models whose batches continue one another: whether the batch of a
            step does not. In between the state is carried, without its gradient (truncated
            backpropagation through time), and kept in checkpoints. None: every batch stands alone.
        divergence_factor: a loss that is not finite, or this many times the first one and that of
            `ignorance`, stops the run with the status `diverged`.
        ignorance: tells the loss of a model that knows nothing, which a run that starts near a
            solution may reach again without having diverged.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Callable[[Any, Batch, Callable[..., Tensor]], Tensor],
        loss: Callable[[Tensor, Tensor], Tensor],
        metrics: Callable[[str, float], dict[str, float]],
        optimizer: Callable[[Any], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler | ReduceLROnPlateau] | None = None,
        gradient_clip_val: float | None = None,
        seed: int = 0,
        restarts: Callable[[int], bool] | None = None,
        divergence_factor: float = 1e4,
        counts: Callable[[Tensor, Tensor], Tensor] | None = None,
        scores: Callable[[Sequence[float]], dict[str, float]] | None = None,
        ignorance: Callable[[], float] = lambda: 0.0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.objective = objective
        self.loss = loss
        self.metrics = metrics
        self.counts = counts or (lambda output, y: output.new_zeros(0))
        self.scores = scores or (lambda counts: {})
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.gradient_clip_val = gradient_clip_val
        self.seed = seed
        self.restarts = restarts
        self.divergence_factor = divergence_factor
        self.ignorance = ignorance
        self._carried: Any = None
        self.history = History()
        self._plateau: ReduceLROnPlateau | None = None
        self._weighted: list[tuple[Tensor, int, Tensor]] = []
        self._random = any(isinstance(m, nn.Dropout) and m.p > 0 for m in model.modules())

    def configure_optimizers(self) -> Any:
        """The optimizer, and the scheduler if there is one."""
        self._parameters_list = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = self.optimizer(self._parameters_list)
        if self.scheduler is None:
            return optimizer
        return [optimizer], [self.scheduler(optimizer)]

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the hook it is in some twenty times a step; the bookkeeping of nn.Module
        # would make that a tenth of a tiny model's step.
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    # ------------------------------------------------------------------------------- training

    def on_fit_start(self) -> None:
        """Look up once what every step needs."""
        self._optimizer: Any = self.optimizers()
        scheduler: Any = self.lr_schedulers()
        if isinstance(scheduler, ReduceLROnPlateau):
            self._plateau = scheduler
        self._stepped = None if self._plateau is not None else scheduler
        # Without a gradient scaler, `manual_backward` adds only hooks, at 100 µs a step.
        scaled = self.trainer.precision == "16-mixed" or self.trainer.world_size > 1
        self._backward = self.manual_backward if scaled else torch.Tensor.backward
        self._log_every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        self._clock = (time.perf_counter(), self.global_step)
        self._carried = move_data_to_device(self._carried, self.device)

    def on_train_start(self) -> None:
        """A run that had diverged when it was interrupted is at its end."""
        self._stop_if_diverged(self.global_step // READ_EVERY * READ_EVERY)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One optimisation step."""
        step = self.global_step
        loss = self._objective(batch, step)
        self._optimizer.zero_grad()
        self._backward(loss)
        norm = None
        if self.gradient_clip_val is not None:
            norm = nn.utils.clip_grad_norm_(self._parameters_list, self.gradient_clip_val)
        lr = self._optimizer.param_groups[0]["lr"]
        self._optimizer.step()
        if self._stepped is not None:
            self._stepped.step()
        self.history.append(step, loss.detach(), lr)
        if (step + 1) % READ_EVERY == 0:
            self.read_losses()
        if (step + 1) % self._log_every == 0 or step == 0:
            self._log_training(step + 1, lr, norm)

    def _objective(self, batch: Batch, step: int) -> Tensor:
        model = self.model if self.restarts is None else self._carry
        if self.restarts is not None and self.restarts(step):
            self._carried = None
        if not self._random:
            return self.objective(model, batch, self.loss)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            seed = stream_seed(self.seed, "dropout", step, self.global_rank)
            torch.default_generator.manual_seed(seed)
            if devices:
                torch.cuda.manual_seed(seed)
            return self.objective(model, batch, self.loss)

    def _carry(self, x: Tensor) -> Tensor:
        """The model's output on x, which goes on from the state that the last batch left."""
        output, state = self.model(x, self._carried, return_state=True)
        self._carried = apply_to_collection(state, Tensor, Tensor.detach)
        return output

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the history, and the carried state, so that a resumed run reads on where it was."""
        history = self.history.arrays()
        checkpoint["history"] = {name: torch.from_numpy(part) for name, part in history.items()}
        if self.restarts is not None:
            checkpoint["carried"] = self._carried

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the carried state over."""
        self._carried = checkpoint.get("carried")

    def read_losses(self) -> None:
        """Read the block of losses since the last call, and ask to stop if they diverge."""
        self.history.flush()
        self._stop_if_diverged(len(self.history.losses))

    def _stop_if_diverged(self, step: int) -> None:
        """Look at the block of losses that ends with a step."""
        block = self.history.losses[max(0, step - READ_EVERY) : step]
        if block and self.diverges(block, self.history.first):
            self.trainer.should_stop = True

    def _log_training(self, step: int, lr: float, norm: Tensor | None) -> None:
        if norm is None:
            gradients = [p.grad for p in self._parameters_list if p.grad is not None]
            norm = nn.utils.get_total_norm(gradients)
        now = time.perf_counter()
        then, first = self._clock
        metrics = {"train/loss": self.history.last, "train/grad_norm": float(norm), "train/lr": lr}
        if step > first:
            metrics["train/steps_per_second"] = (step - first) / (now - then)
        self._clock = (now, step)
        for logger in self.loggers:
            logger.log_metrics(metrics, step=step)

    def diverges(self, losses: Iterable[float], first: float) -> bool:
        """Whether one of `losses` is not finite, or far above the `first` loss and ignorance."""
        high = max(losses, key=lambda value: value if math.isfinite(value) else math.inf)
        if not math.isfinite(high):
            return True
        factor = self.divergence_factor
        return high > factor * first and high > factor * self.ignorance()

    # ------------------------------------------------------------------------ validation, test

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Accumulate the loss and the counts of a slice of the validation or test set."""
        x, y = batch
        output = self.model(x)
        loss = self.loss(output, y).detach()
        self._weighted.append((loss, weight(y), self.counts(output, y)))

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        """Log `val/loss` and what follows from it."""
        self._log_evaluation("val")
        if self._plateau is not None:
            self._plateau.step(self.trainer.callback_metrics["val/loss"])
        self._clock = (time.perf_counter(), self.global_step)

    def on_test_epoch_end(self) -> None:
        """Log `test/loss` and what follows from it."""
        self._log_evaluation("test")

    def _log_evaluation(self, stage: str) -> None:
        count = sum(count for _, count, _ in self._weighted)
        total = sum(float(loss) * count for loss, count, _ in self._weighted)
        counts = torch.stack([counts for _, _, counts in self._weighted]).sum(0).tolist()
        self._weighted.clear()
        sums = torch.tensor([total, count, *counts], dtype=torch.float64, device=self.device)
        total, count, *counts = self.trainer.strategy.reduce(sums, reduce_op="sum").tolist()
        measured = self.evaluation(stage, total / count, counts)
        self.log_dict(measured, logger=False)  # for callbacks; as a logger it would add `epoch`
        for logger in self.loggers:
            logger.log_metrics(measured, step=self.global_step)

    def evaluation(self, stage: str, loss: float, counts: Sequence[float] = ()) -> dict[str, float]:
        """What is logged of the split `stage`, such as `val/loss`, `val/nmse`, `val/accuracy`.

        Args:
            stage: `val` or `test`.
            loss: its mean there.
            counts: their sums there.
        """
        logged = {"loss": loss} | self.metrics(stage, loss) | self.scores(counts)
        return {f"{stage}/{name}": value for name, value in logged.items()}


def weight(y: Tensor) -> int:
    """How much the mean loss of a slice with the targets y counts in that of its split."""
    # Of tokens those below zero are not scored, and windows differ in how many are.
    return len(y) if y.is_floating_point() else int((y >= 0).sum())
