"""What ends a run before its last step: a target, an escape, a search, a signal."""

import math
import signal
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

import lightning
import torch
from lightning import Callback

from seq2seq import checks
from seq2seq.analysis.plateau import Rule, find
from seq2seq.callbacks.checkpoints import Checkpoints
from seq2seq.callbacks.together import members
from seq2seq.history import READ_EVERY, History
from seq2seq.processes import SIGNALS
from seq2seq.runs import score


class Interruption(Callback):
    """Stop between two steps when a signal has asked for it, leaving a checkpoint.

    Attributes:
        requested: the signal; 0 before there is one.
    """

    changes_course = False

    def __init__(self) -> None:
        self.requested = 0

    def request(self, number: int, frame: FrameType | None) -> None:
        """Signal handler; a second Ctrl-C stops at once."""
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = self.requested or number

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Take the signals back from Lightning, whose handler leaves no checkpoint."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self.request)

    on_validation_start = on_test_start = on_train_start

    def on_train_batch_start(self, trainer: lightning.Trainer, pl_module: Any, *batch: Any) -> None:
        """Save and stop if asked to."""
        if trainer.world_size > 1:  # all processes at the same step, as saving is work of them all
            told = torch.tensor(self.requested, device=pl_module.device)
            self.requested = int(trainer.strategy.reduce(told, reduce_op="max"))
        if self.requested:
            _save(trainer, pl_module)
            raise KeyboardInterrupt

    def on_validation_batch_start(
        self, trainer: lightning.Trainer, pl_module: Any, *batch: Any
    ) -> None:
        """A validation is run again after resuming, so it can be left at once."""
        if self.requested and trainer.world_size == 1:
            raise KeyboardInterrupt

    on_test_batch_start = on_validation_batch_start  # type: ignore[assignment]


class TimeUp(Exception):
    """The time is up that a run was given."""


class TimeLimit(Callback):
    """Stop between two steps once the time is up, leaving a checkpoint.

    Args:
        seconds: the time that there is, from the first step on; None for no end.

    Raises:
        TimeUp: while training, when the time is up.
    """

    changes_course = False

    def __init__(self, seconds: float | None) -> None:
        self._seconds = math.inf if seconds is None else seconds

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Start the clock."""
        self._end = time.monotonic() + self._seconds

    def on_train_batch_start(self, trainer: lightning.Trainer, pl_module: Any, *batch: Any) -> None:
        """Save and stop when it is time."""
        if time.monotonic() >= self._end:
            _save(trainer, pl_module)
            raise TimeUp


def _save(trainer: lightning.Trainer, pl_module: Any) -> None:
    for callback in members(trainer):
        if isinstance(callback, Checkpoints):
            callback.save(trainer, pl_module)


class StopAtTarget(Callback):
    """End the run at the first validation whose `monitor` has reached `target`: it has succeeded.

    A loss has reached it when it is at most the target, an accuracy when it is at least that. The
    result says whether the run succeeded, and at the validation of which step (null: censored).

    Args:
        target: the value to reach, e.g. an NMSE; null never stops.
        monitor: the metric's name.
        stop: false notes the success and trains on.
    """

    changes_course = True

    def __init__(
        self, target: float | None = None, monitor: str = "val/nmse", stop: bool = True
    ) -> None:
        if target is not None:
            checks.positive("callbacks.stop_at_target.target", target)
        self.target = target
        self.stop = stop
        # Tasks without an NMSE have the default too, where it is never looked at.
        self.monitor = None if target is None and monitor == "val/nmse" else monitor
        self.reached: int | None = None

    def check(self, task: Any) -> None:
        """Raise ValueError if no accuracy can be as high as the target."""
        if self.target is not None and self.target > 1 and self._rises(task):
            checks.within("callbacks.stop_at_target.target", self.target, "(0, 1]", 0.99)

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Remember the success of the run that is continued."""
        self.reached = checkpoint.get("success")

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the step of the success."""
        if self.reached is not None:
            checkpoint["success"] = self.reached

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """A run that has succeeded, and was interrupted before its result, is at its end."""
        trainer.should_stop |= self.stop and self.reached is not None

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Compare the metric with the target."""
        if trainer.state.fn == "fit" and self._succeeds(trainer, trainer.callback_metrics):
            if self.reached is None:
                self.reached = trainer.global_step
            trainer.should_stop = trainer.should_stop or self.stop

    def result(self, trainer: lightning.Trainer, measured: Mapping[str, Any]) -> dict[str, Any]:
        """What `result.json` says of it, given what was measured last: nothing without a target."""
        if self.target is None:
            return {}
        if self.reached is None and self._succeeds(trainer, measured):
            self.reached = trainer.global_step
        return {
            "success": self.reached is not None,
            "success/step": self.reached,
            "success/threshold": self.target,
            "success/metric": self.monitor,
        }

    def _succeeds(self, trainer: lightning.Trainer, measured: Mapping[str, Any]) -> bool:
        value = measured.get(self.monitor or "")
        if self.target is None or value is None:
            return False
        rises = self._rises(trainer.datamodule)  # type: ignore[attr-defined]
        return float(value) >= self.target if rises else float(value) <= self.target

    def _rises(self, task: Any) -> bool:
        return (self.monitor or "").partition("/")[2] in getattr(task, "rising", ())


class Pruning(Callback):
    """End a run of `hydra/sweeper=optuna` whose error is above the median of earlier ones.

    The run is left `stopped`, with `pruned` in its result; asked for again, it goes on.

    Args:
        journal: the file of the study.
        study: the study's name in it.
        trial: the run's number in the study.
        startup_trials: complete runs needed before one is ended.
        warmup_steps: steps before this one may be ended.
    """

    changes_course = False

    def __init__(
        self,
        journal: str,
        study: str,
        trial: int,
        startup_trials: int = 8,
        warmup_steps: int = 0,
    ) -> None:
        self.journal = journal
        self.study = study
        self.trial = trial
        self.startup_trials = startup_trials
        self.warmup_steps = warmup_steps
        self.pruned = False

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Open the study."""
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalStorage

        study = optuna.load_study(
            study_name=self.study,
            storage=JournalStorage(JournalFileBackend(self.journal)),
            pruner=optuna.pruners.MedianPruner(self.startup_trials, self.warmup_steps),
        )
        known = study.get_trials(deepcopy=False)[self.trial]
        self._reported = set(known.intermediate_values)
        self._trial = optuna.trial.Trial(study, known._trial_id)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Report the error and ask whether to go on."""
        value = score(trainer.callback_metrics)
        step = trainer.global_step
        if trainer.state.fn != "fit" or value is None or step == trainer.max_steps:
            return
        if step not in self._reported:  # before it was interrupted
            self._trial.report(float(value), step)
        self.pruned = self._trial.should_prune()
        trainer.should_stop = trainer.should_stop or self.pruned


class StopAfterEscape(Callback):
    """End the run some time after its loss has left a plateau, as `seq2seq.analysis.plateau` says.

    It looks at the losses when a block of them has been read, and only once there are 2% more than
    at the last look, so that all looks together cost as much as a few passes over the history. When
    it looks depends on the step alone: a run that was interrupted stops where it would have.

    Args:
        reference: the plateau is at the loss of this predictor, such as `zero` or `memoryless`, or
            at this loss if it is a number; null: at any level where there is one.
        extra: further steps after the escape, as a share of those before it.
        tolerance, drop, exit, window, smoothing, false_alarm: as in
            `seq2seq.analysis.plateau.Rule`.
    """

    changes_course = True

    def __init__(
        self,
        reference: str | float | None = "memoryless",
        extra: float = 0.5,
        tolerance: float = 0.1,
        drop: float = 0.25,
        exit: float = 0.5,
        window: int = 10,
        smoothing: float = 0.05,
        false_alarm: float = 1e-3,
    ) -> None:
        checks.within("callbacks.stop_after_escape.extra", extra, "[0, inf)", 0.5)
        try:
            self.rule = Rule(tolerance, drop, exit, window, smoothing, false_alarm)
        except ValueError as error:
            raise ValueError(f"callbacks.stop_after_escape: {error}") from None
        self.reference = reference
        self.extra = extra

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Look up the level."""
        self._level = None if isinstance(self.reference, str) else self.reference
        if isinstance(self.reference, str):
            losses = trainer.datamodule.references()  # type: ignore[attr-defined]
            self._level = losses[f"reference/{self.reference}"]
        self._escape: int | None = None
        last, self._next = 0, READ_EVERY
        while self._next <= trainer.global_step:
            last, self._next = self._next, self._after(self._next)
        self._look(pl_module.history, last)
        self._stop_if_due(trainer)

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *batch: Any) -> None:
        """Look, and stop if it is time."""
        step = trainer.global_step
        if step == self._next:
            self._next = self._after(step)
            self._look(pl_module.history, step)
        if step % READ_EVERY == 0:
            self._stop_if_due(trainer)

    def _stop_if_due(self, trainer: lightning.Trainer) -> None:
        if self._escape is not None:
            step = trainer.global_step // READ_EVERY * READ_EVERY
            trainer.should_stop |= step >= (1 + self.extra) * self._escape

    def _after(self, step: int) -> int:
        """The step of the look that follows one at `step`."""
        return READ_EVERY * (int(1.02 * step) // READ_EVERY + 1)

    def _look(self, history: History, steps: int) -> None:
        """See whether the first `steps` losses hold an escape, if none has been seen."""
        if self._escape is None and steps:
            seen: dict[str, Any] = {"step": history.steps[:steps], "loss": history.losses[:steps]}
            found = find(seen, self._level, self.rule)
            self._escape = next((p.escape for p in found if p.escape is not None), None)
