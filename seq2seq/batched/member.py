"""One run among those that are trained together: all that a run has but the sums of its steps."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.utils import instantiate
from lightning import Callback
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.trainer.states import TrainerFn
from omegaconf import DictConfig
from torch import Tensor

from seq2seq.build import build
from seq2seq.callbacks import Checkpoints, Clock, ProgressReport
from seq2seq.runs import Run, checkpoint_step, load_checkpoint
from seq2seq.times import Taken
from seq2seq.training import (
    build_callbacks,
    build_loggers,
    close_loggers,
    find_checkpoint,
    finite,
    log_outcome,
    note_failure,
    outcome,
    tabulate,
    told,
    warn_of_short_sight,
)

#: The hooks of callbacks that are called while runs are trained together. Those of a batch are
#: given none, as members have no batches of their own.
HOOKS = (
    "on_train_start",
    "on_train_batch_start",
    "on_train_batch_end",
    "on_validation_end",
    "on_train_end",
    "on_save_checkpoint",
    "on_load_checkpoint",
)


def copy_parameters(trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
    """Make a member's checkpoint that of a run alone: its parameters are views of its chunk's."""
    weights = checkpoint["state_dict"]
    checkpoint["state_dict"] = {name: weight.clone() for name, weight in weights.items()}


class Member:
    """A run with its own task, model, optimizer, scheduler, callbacks, loggers and folder.

    They are the objects that a run alone has, a Lightning `Trainer` included, which here only keeps
    the counts and writes the checkpoints; a `Chunk` computes.

    Args:
        cfg: the run's config.

    Attributes:
        task, module: from `seq2seq.build.build`.
        source, step: the checkpoint it goes on from, and the steps taken by then.
        cost: what the run has taken: of the time of its chunk an equal share.
    """

    def __init__(self, cfg: DictConfig, the_run: Run) -> None:
        self.cfg, self.run = cfg, the_run
        self.task, self.module = build(cfg)
        self.max_steps = int(cfg.trainer.max_steps)
        self.source: Path | None = None
        self.step = 0
        self.cost = Taken()
        self.clock = Clock(self.cost)
        self.loggers: list[Logger] = []

    def find_checkpoint(self) -> None:
        """Go on from the run's newest readable checkpoint, if there is one."""
        self.source = find_checkpoint(self.run, self.module, self.cfg.force)
        self.step = checkpoint_step(self.source) if self.source else 0

    # ------------------------------------------------------------------------ start and resume

    def start(self) -> None:
        """Build the trainer, the optimizer and the loggers; take over the checkpoint, if any.

        Raises:
            ValueError: the checkpoint cannot be read.
        """
        begun = Taken.now()
        self.task.store(self.run.folder)
        warn_of_short_sight(self.task, self.module.model)
        self.loggers = build_loggers(self.cfg, self.run.folder, self.step)
        callbacks = build_callbacks(self.cfg)
        self.trainer: lightning.Trainer = instantiate(
            self.cfg.trainer,
            logger=self.loggers or False,
            callbacks=[*callbacks, LambdaCallback(on_save_checkpoint=copy_parameters), self.clock],
            default_root_dir=str(self.run.folder),
        )
        heard = [c for c in callbacks if not isinstance(c, (Checkpoints, ProgressReport))]
        self.hooks = {
            hook: [getattr(callback, hook) for callback in heard if overrides(callback, hook)]
            for hook in HOOKS
        }
        self.checkpoints = next((c for c in callbacks if isinstance(c, Checkpoints)), None)
        module, trainer = self.module, self.trainer
        dtype = torch.float64 if trainer.precision == "64-true" else torch.float32
        module.to(trainer.strategy.root_device, dtype)
        module.trainer = trainer
        trainer.datamodule = self.task
        self.task.trainer = trainer
        self.task.to(trainer.strategy.root_device)
        trainer.strategy.connect(module)
        trainer.strategy.setup_optimizers(trainer)
        trainer.state.fn = TrainerFn.FITTING
        trainer.training = True
        if self.source is not None:
            self._load(self.source)
        self.optimizer = trainer.optimizers[0]
        configs = trainer.lr_scheduler_configs
        self.scheduler = configs[0].scheduler if configs else None
        if self.scheduler is not None:  # else it warns, as it waits for this optimizer's own steps
            self.optimizer._opt_called = True
        manual = trainer.fit_loop.epoch_loop.manual_optimization
        self._steps = manual.optim_step_progress.total
        self.reach(self.step)
        self.task.setup("fit")
        module.on_fit_start()
        module.on_train_start()
        self.cost.add(Taken.now() - begun)

    def _load(self, path: Path) -> None:
        """Take over a checkpoint, of this launcher or another."""
        stored = load_checkpoint(path)
        self.module.load_state_dict(stored["state_dict"])
        self.trainer.strategy.load_optimizer_state_dict(stored)
        for config, state in zip(
            self.trainer.lr_scheduler_configs, stored["lr_schedulers"], strict=True
        ):
            config.scheduler.load_state_dict(state)
        self.call("on_load_checkpoint", stored)
        self.clock.on_load_checkpoint(self.trainer, self.module, stored)

    # ------------------------------------------------------------------------------ the course

    def reach(self, step: int) -> None:
        """Let the trainer's `global_step` be `step`."""
        self._steps.completed = step

    def taken(self, step: int, loss: Tensor) -> None:
        """Note the loss of the step that makes `step` in all, and let the scheduler go on."""
        self.module.history.append(step - 1, loss, self.optimizer.param_groups[0]["lr"])
        if self.scheduler is not None and self.module._plateau is None:
            self.scheduler.step()

    def _count(self, step: int) -> None:
        """Bring the counts of Lightning's loops to where those of a run alone are after `step`."""
        fit, epoch = self.trainer.fit_loop, self.trainer.fit_loop.epoch_loop
        epoch._batches_that_stepped = step
        taken, seen = epoch.manual_optimization.optim_step_progress, epoch.batch_progress
        counters: list[tuple[Any, Sequence[str], int]] = [
            (taken, ("ready", "completed"), step),
            (seen, ("ready", "started", "processed", "completed"), step),
            (fit.epoch_progress, ("ready", "started"), 1),
        ]
        for progress, names, value in counters:
            for name in names:
                setattr(progress.total, name, value)
                setattr(progress.current, name, value)

    def call(self, hook: str, *arguments: Any) -> None:
        """Let the callbacks that have `hook` do their work."""
        for call in self.hooks[hook]:
            call(self.trainer, self.module, *arguments)

    def log_training(self, step: int, norm: Tensor) -> None:
        """Log what is logged of a training step."""
        self.module._log_training(step, self.module.history.rates[-1], norm)

    def validated(self, measured: tuple[float, Sequence[float]], step: int) -> None:
        """Log a validation during training and tell scheduler and callbacks."""
        logged = self._evaluation("val", *measured)
        self._log(logged)
        self.trainer.callback_metrics.update({k: torch.tensor(v) for k, v in logged.items()})
        if self.module._plateau is not None:
            self.module._plateau.step(self.trainer.callback_metrics["val/loss"])
        self.call("on_validation_end")
        self.module._clock = (time.perf_counter(), step)

    def _evaluation(self, stage: str, loss: float, counts: Sequence[float]) -> dict[str, float]:
        """What follows from a mean loss and sums of counts, in float32 as Lightning has it."""
        measured = self.module.evaluation(stage, loss, counts)
        return {key: torch.tensor(value).item() for key, value in measured.items()}

    def _log(self, metrics: dict[str, float]) -> None:
        for logger in self.loggers:
            logger.log_metrics(metrics, step=self.trainer.global_step)

    def save(self) -> None:
        """Write a checkpoint as of a run alone."""
        self._count(self.trainer.global_step)
        if self.checkpoints is not None:
            self.checkpoints.save(self.trainer, self.module)

    # ---------------------------------------------------------------------------------- the end

    def end(self) -> bool:
        """Let the callbacks end their work; whether there is a result to evaluate."""
        self.call("on_train_end")
        self.result = outcome(self.cfg, self.trainer, self.module, self.task)
        return bool(self.result["status"] == "finished")

    def finish(self, evaluation: dict[str, tuple[float, Sequence[float]]]) -> None:
        """Write the result, with what has been measured on `val` and `test`."""
        measured: dict[str, float] = {}
        for stage, of_split in evaluation.items():
            one = self._evaluation(stage, *of_split)
            self._log(one)
            measured |= one
        self.result |= finite(measured)
        self.result |= told(self.trainer, self.result)
        log_outcome(self.loggers, self.result)
        self.close(self.result["status"] == "finished")
        self.run.write_result(self.result | self.cost.result)
        tabulate(self.run)

    def stop(self) -> None:
        """Note that the user interrupted the run."""
        self.close()
        self.run.write_result({"status": "stopped"} | self.cost.result)

    def fail(self, error: Exception) -> None:
        """Note what went wrong."""
        self.close()
        note_failure(self.run, error, self.cost)

    def close(self, good: bool = False) -> None:
        """Let the loggers write what they hold, and give up the data."""
        close_loggers(self.loggers, good)
        self.task.release()


def overrides(callback: Callback, hook: str) -> bool:
    """Whether a callback does anything when `hook` is called."""
    return getattr(type(callback), hook) is not getattr(Callback, hook)


def unheard_hooks(callback: Callback) -> list[str]:
    """Hooks of a callback that are never called while runs are trained together."""
    if isinstance(callback, (Checkpoints, ProgressReport)):
        return []
    hooks = [name for name in vars(Callback) if name.startswith("on_") and name not in HOOKS]
    return [name for name in hooks if overrides(callback, name)]
