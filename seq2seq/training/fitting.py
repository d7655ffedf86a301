"""Training in a run's folder, from its last checkpoint to its test."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.utils import instantiate
from lightning.pytorch.callbacks import Timer
from omegaconf import DictConfig

from seq2seq.analysis import plateau
from seq2seq.build import build, threads
from seq2seq.callbacks import (
    Generalisation,
    Pruning,
    StopAtTarget,
    TimeLimit,
    gather,
    members,
)
from seq2seq.module import SequenceModule
from seq2seq.runs import Run, checkpoint_step, load_checkpoint, resolved
from seq2seq.training.configure import build_callbacks, quiet
from seq2seq.training.loggers import build_loggers, close_loggers, log_outcome

log = logging.getLogger("seq2seq")


def fit(
    cfg: DictConfig, the_run: Run, extra_callbacks: Sequence[lightning.Callback]
) -> dict[str, Any]:
    """Train in the folder of `the_run`, then validate and test; what `result.json` will hold."""
    task, module = build(cfg)
    task.store(the_run.folder)
    warn_of_short_sight(task, module.model)
    if cfg.trainer.get("precision") == "64-true":
        module.double()  # Lightning would do so only after it has read the checkpoint in float32
    checkpoint = find_checkpoint(the_run, module, cfg.force)
    step = checkpoint_step(checkpoint) if checkpoint else 0
    loggers = build_loggers(cfg, the_run.folder, step)
    good = False
    limit = TimeLimit(Timer(cfg.trainer.get("max_time")).time_remaining())
    with quiet(), threads(cfg.threads):
        trainer = instantiate(
            cfg.trainer,
            logger=loggers or False,
            callbacks=gather([*build_callbacks(cfg), *extra_callbacks, limit]),
            default_root_dir=str(the_run.folder),
            max_epochs=-1,  # `max_steps` says the same
            max_time=None,  # `limit` ends it
        )
        try:
            elsewhere = trainer.strategy.launcher is not None  # in processes of its own
            data = HandedOver(task) if elsewhere else task
            trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
            if elsewhere:
                take_over(the_run, trainer, module)
            result = outcome(cfg, trainer, module, task)
            if result["status"] == "finished":
                result |= _evaluate(trainer, module, data)
            result |= told(trainer, result)
            log_outcome(loggers, result)
            good = result["status"] == "finished"
        finally:
            close_loggers(loggers, good)
            task.release()  # trainer and module hold each other, and it, until the next collection
    return result


def take_over(the_run: Run, trainer: lightning.Trainer, module: SequenceModule) -> None:
    """Read what other processes have noted of the run: its losses, and what callbacks found."""
    stored = load_checkpoint(the_run.checkpoints[0])
    history = the_run.history
    module.history.restore(history, len(history["step"]))
    for callback in members(trainer):
        if isinstance(callback, StopAtTarget | Generalisation):
            callback.on_load_checkpoint(trainer, module, stored)


class HandedOver(lightning.LightningDataModule):
    """A task on its way to other processes: dataclasses Lightning takes apart, frozen ones in vain.

    Args:
        task: whose attributes these are.
    """

    def __init__(self, task: Any) -> None:
        super().__init__()
        self.task = task

    def __getattr__(self, name: str) -> Any:
        if name == "task":  # of one that is being unpickled
            raise AttributeError(name)
        return getattr(self.task, name)

    def prepare_data(self) -> None:
        self.task.prepare_data()

    def setup(self, stage: str) -> None:
        self.task.trainer = self.trainer  # which tells its share of a batch
        self.task.setup(stage)

    def train_dataloader(self) -> Any:
        return self.task.train_dataloader()

    def val_dataloader(self) -> Any:
        return self.task.val_dataloader()

    def test_dataloader(self) -> Any:
        return self.task.test_dataloader()


def warn_of_short_sight(task: Any, model: torch.nn.Module) -> None:
    """Say so when a model cannot see as far back as its target depends on."""
    sight, memory = getattr(model, "receptive_field", None), getattr(task, "memory", None)
    if sight is not None and memory is not None and sight <= memory:
        log.warning(
            "the target depends on inputs %d steps back, the model's receptive field is %d steps; "
            "raise model.num_layers or model.kernel_size",
            memory,
            sight,
        )


def find_checkpoint(the_run: Run, module: SequenceModule, force: bool = False) -> Path | None:
    """The newest readable checkpoint of this run, or else of a shorter one that it continues.

    With `force`, which trains from the start, none of the other.
    """
    shorter = None if force else the_run.shorter()
    for source in [the_run] + ([shorter] if shorter else []):
        for path in source.checkpoints:
            try:
                stored = load_checkpoint(path)
                arrays = stored.get("history") or source.history
                module.history.restore(arrays, checkpoint_step(path))
            except (ValueError, OSError) as error:
                log.warning("%s; falling back to an earlier one", error)
                continue
            log.info("continuing from step %d of %s", checkpoint_step(path), source.folder)
            return path
    return None


def outcome(
    cfg: DictConfig, trainer: lightning.Trainer, module: SequenceModule, task: Any
) -> dict[str, Any]:
    """What a training has led to, before validation and test."""
    history = module.history.arrays()
    losses = history["loss"]
    pruned = any(isinstance(c, Pruning) and c.pruned for c in members(trainer))
    status = "stopped" if pruned else "finished"
    result = ({"pruned": True} if pruned else {}) | {
        "status": "diverged" if module.diverges(losses, losses[0]) else status,
        "steps": int(history["step"][-1]),
        "parameters": sum(p.numel() for p in module.model.parameters()),
    }
    states = getattr(module.model, "state_size", None)
    if states is not None:
        result["state_size"] = states
    result |= finite(task.references())
    if result["status"] != "diverged":
        for found in plateau.reading(history, resolved(cfg), result)[:1]:
            for name in ("level", "length", "censored"):
                result[f"plateau/{name}"] = getattr(found, name)
    return result


def _evaluate(trainer: lightning.Trainer, module: SequenceModule, data: Any) -> dict[str, Any]:
    measured: dict[str, float] = {}
    for evaluate in (trainer.validate, trainer.test):
        evaluate(module, data, verbose=False)
        measured |= {key: float(value) for key, value in trainer.callback_metrics.items()}
    return finite(measured)


def told(trainer: lightning.Trainer, result: Mapping[str, Any]) -> dict[str, Any]:
    """What callbacks add to the result of a run."""
    added: dict[str, Any] = {}
    for callback in members(trainer):
        if isinstance(callback, StopAtTarget | Generalisation):
            added |= callback.result(trainer, result)
    return added


def finite(measured: dict[str, float]) -> dict[str, float | None]:
    """JSON knows no infinity: None in place of what is not finite."""
    return {key: value if math.isfinite(value) else None for key, value in measured.items()}
