"""What watches a run: checkpoints, the progress line, pictures, early stops."""

import io
import sys
import textwrap
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
import numpy as np
import torch
from lightning import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from seq2seq import tasks
from seq2seq.module import READ_EVERY, History
from seq2seq.runs import Run, score, write_atomically


def _folder(trainer: lightning.Trainer) -> Path:
    return Path(trainer.default_root_dir)


def _fitting(trainer: lightning.Trainer) -> bool:
    """Whether a validation is one of those during training, not the one at the end."""
    return trainer.state.fn == "fit"


class Checkpoints(Callback):
    """Write `checkpoints/step=<n>.ckpt` and `history.npz` at intervals and at the end.

    A file is complete before it gets its name, and the one before it stays, so that there is
    always one to continue from. They are written between two steps, after the validation that
    falls on the same step.

    Args:
        every_n_steps: optimisation steps between two checkpoints.
        every_n_seconds: also write one when the last is this old.
    """

    changes_course = False

    def __init__(self, every_n_steps: int = 500, every_n_seconds: float = 60.0) -> None:
        if every_n_steps < 1:
            raise ValueError(
                f"callbacks.checkpoints.every_n_steps must be at least 1, got {every_n_steps}"
            )
        self.every_n_steps = every_n_steps
        self.every_n_seconds = every_n_seconds

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Start the clock."""
        self._last = (trainer.global_step, time.monotonic())

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when it is due."""
        step, then = self._last
        due = trainer.global_step % self.every_n_steps == 0
        if trainer.global_step > step and (due or time.monotonic() - then > self.every_n_seconds):
            self.save(trainer, pl_module)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Save the last step."""
        self.save(trainer, pl_module)

    def save(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Write the history, then the checkpoint, then remove all but the last two."""
        self._last = (trainer.global_step, time.monotonic())
        if trainer.is_global_zero:
            write_arrays(_folder(trainer) / "history.npz", pl_module.history.arrays())
        path = _folder(trainer) / "checkpoints" / f"step={trainer.global_step}.ckpt"
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".tmp")
        # Lightning counts the batch about to be trained as begun; a run resumed from such a count
        # would validate one step early.
        begun = trainer.fit_loop.epoch_loop.batch_progress.total
        ready, begun.ready = begun.ready, begun.completed
        trainer.save_checkpoint(partial)
        begun.ready = ready
        if trainer.is_global_zero:
            partial.replace(path)
            for old in Run(_folder(trainer)).checkpoints[2:]:
                old.unlink()


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a `.npz` in one piece."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())


class Together(Callback):
    """Several callbacks as one.

    Lightning spends some 20 µs of every step on each callback, whatever it overrides: as much as a
    tiny model's whole step, for a handful of them. Here only the hooks that are overridden cost.
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.members = list(callbacks)
        for hook in (name for name in dir(Callback) if name.startswith("on_")):
            overriding = [
                getattr(callback, hook)
                for callback in self.members
                if getattr(type(callback), hook) is not getattr(Callback, hook)
            ]
            if overriding:
                setattr(self, hook, partial(_call_each, overriding))


def members(trainer: lightning.Trainer) -> list[Callback]:
    """Every callback of a trainer, those that act as one included."""
    found: list[Callback] = []
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        found += callback.members if isinstance(callback, Together) else [callback]
    return found


def _call_each(hooks: Sequence[Any], *arguments: Any, **named: Any) -> None:
    for hook in hooks:
        hook(*arguments, **named)


class Interruption(Callback):
    """Stop between two steps when a signal has asked for it, leaving a checkpoint."""

    def __init__(self) -> None:
        self.requested = False

    def request(self, number: int, frame: FrameType | None) -> None:
        """Signal handler; the second signal stops at once."""
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop if asked to."""
        if self.requested:
            for callback in members(trainer):
                if isinstance(callback, Checkpoints):
                    callback.save(trainer, pl_module)
            raise KeyboardInterrupt

    def on_validation_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """A validation is run again after resuming, so it can be left at once."""
        if self.requested:
            raise KeyboardInterrupt


class StopAtTarget(Callback):
    """End the run at the first validation whose `monitor` is at most `target`.

    Args:
        target: the value to reach, e.g. an NMSE; null never stops.
        monitor: the metric's name.
    """

    def __init__(self, target: float | None = None, monitor: str = "val/nmse") -> None:
        if target is not None and not target > 0:
            raise ValueError(f"callbacks.stop_at_target.target must be positive, got {target}")
        self.target = target
        self.monitor = monitor

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Compare the metric with the target."""
        value = trainer.callback_metrics.get(self.monitor)
        if _fitting(trainer) and self.target is not None and value is not None:
            trainer.should_stop = trainer.should_stop or float(value) <= self.target


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
        if not _fitting(trainer) or value is None or step == trainer.max_steps:
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
        tolerance, drop: as in `seq2seq.analysis.plateau.Rule`.
    """

    def __init__(
        self,
        reference: str | float | None = "memoryless",
        extra: float = 0.5,
        tolerance: float = 0.1,
        drop: float = 0.25,
    ) -> None:
        if not extra >= 0:
            raise ValueError(f"callbacks.stop_after_escape.extra must be at least 0, got {extra}")
        if not 0 < tolerance < drop < 1:
            raise ValueError(
                "callbacks.stop_after_escape: 0 < tolerance < drop < 1 must hold, got "
                f"tolerance={tolerance}, drop={drop}; the defaults are 0.1 and 0.25"
            )
        self.reference = reference
        self.extra = extra
        self.tolerance = tolerance
        self.drop = drop

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Look up the level.

        Raises:
            ValueError: the task has no such reference predictor.
        """
        self._level = None if isinstance(self.reference, str) else self.reference
        if isinstance(self.reference, str):
            losses = trainer.datamodule.reference_losses()  # type: ignore[attr-defined]
            if self.reference not in losses:
                raise ValueError(
                    "callbacks.stop_after_escape.reference must be one of "
                    f"{', '.join(losses)}, got {self.reference}"
                )
            self._level = losses[self.reference]
        self._escape: int | None = None
        last, self._next = 0, READ_EVERY
        while self._next <= trainer.global_step:
            last, self._next = self._next, self._after(self._next)
        self._look(pl_module.history, last)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Look, and stop if it is time."""
        step = trainer.global_step
        if step == self._next:
            self._next = self._after(step)
            self._look(pl_module.history, step)
        if step % READ_EVERY == 0 and self._escape is not None:
            trainer.should_stop |= step >= (1 + self.extra) * self._escape

    def _after(self, step: int) -> int:
        """The step of the look that follows one at `step`."""
        return READ_EVERY * (int(1.02 * step) // READ_EVERY + 1)

    def _look(self, history: History, steps: int) -> None:
        """See whether the first `steps` losses hold an escape, if none has been seen."""
        if self._escape is None and steps:
            seen = {"step": history.steps[:steps], "loss": history.losses[:steps]}
            self._escape = escape(seen, self._level, self.tolerance, self.drop)


def escape(history: Any, level: float | None, tolerance: float, drop: float) -> int | None:
    """The step of the first escape from a plateau, if any yet; arguments as in `plateau.find`."""
    from seq2seq.analysis.plateau import Rule, find

    found = find(history, level, Rule(tolerance, drop))
    return next((p.escape for p in found if p.escape is not None), None)


class Snapshots(Callback):
    """Write what the model has become to `kernel.npz` and `eigenvalues.npz`, for reports.

    `eigenvalues.npz` holds `step` (n,) and the complex `eigenvalues` (n, layers, m) of a recurrent
    model before the first step, after it, and whenever the steps have grown by the factor `growth`;
    `kernel.npz`, where the task has a kernel, `step` and the responses `true` and `learned`,
    (length,), of the first channel.

    Args:
        growth: ratio of the steps of successive snapshots, above 1.
    """

    changes_course = False

    def __init__(self, growth: float = 1.25) -> None:
        if not growth > 1:
            raise ValueError(f"callbacks.snapshots.growth must be above 1, got {growth}")
        self.growth = growth

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Take over the snapshots of the run that is continued."""
        self._steps: list[int] = []
        self._eigenvalues: list[np.ndarray] = []
        path = _folder(trainer) / "eigenvalues.npz"
        if trainer.global_step and path.exists():
            with np.load(path, allow_pickle=False) as stored:
                kept = stored["step"] <= trainer.global_step
                self._steps = stored["step"][kept].tolist()
                self._eigenvalues = list(stored["eigenvalues"][kept])
        self._take(trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Take one when it is due."""
        if trainer.global_step >= self._next:
            self._take(trainer, pl_module)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Take the last one and write them."""
        self._take(trainer, pl_module)
        if not trainer.is_global_zero:
            return
        folder = _folder(trainer)
        if self._eigenvalues:
            arrays = {"step": np.array(self._steps), "eigenvalues": np.stack(self._eigenvalues)}
            write_arrays(folder / "eigenvalues.npz", arrays)
        responses = _responses(pl_module.model, trainer.datamodule)  # type: ignore[attr-defined]
        if responses is not None:
            true, learned = (part.numpy() for part in responses)
            arrays = {"step": np.array(trainer.global_step), "true": true, "learned": learned}
            write_arrays(folder / "kernel.npz", arrays)

    def _take(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        step = trainer.global_step
        self._next = max(step + 1, int(self.growth * step))
        if not hasattr(type(pl_module.model), "eigenvalues"):
            return
        with torch.no_grad():
            spectra = [part.cpu().numpy() for part in pl_module.model.eigenvalues()]
        if spectra and (not self._steps or self._steps[-1] < step):
            self._eigenvalues.append(np.stack(spectra))
            self._steps.append(step)


class References(Callback):
    """Log the reference predictors' losses, so that TensorBoard draws them beside the model's."""

    changes_course = False

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Arrange one chart with the model's losses and every reference."""
        references = trainer.datamodule.reference_losses()  # type: ignore[attr-defined]
        self._losses = {f"reference/{name}": loss for name, loss in references.items()}
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
                tags = ["train/loss", "val/loss", *self._losses]
                layout = {"loss": {"loss and references": ["Multiline", tags]}}
                logger.experiment.add_custom_scalars(layout)
        self._log(trainer)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Lengthen the lines."""
        if _fitting(trainer):
            self._log(trainer)

    def _log(self, trainer: lightning.Trainer) -> None:
        for logger in trainer.loggers:
            logger.log_metrics(self._losses, step=trainer.global_step)


class ProgressReport(Callback):
    """A rich bar on a terminal, a plain line per validation elsewhere.

    Both show the loss, the validation metrics, steps per second and the time left.

    Args:
        refresh_per_second: how often the bar is drawn.
    """

    changes_course = False

    def __init__(self, refresh_per_second: float = 4.0) -> None:
        self.refresh_per_second = refresh_per_second
        self._bar: Progress | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Open the bar."""
        self._first = trainer.global_step
        self._start = self._drawn = time.monotonic()
        self._metrics = ""
        if sys.stderr.isatty() and trainer.is_global_zero:
            from rich.console import Console

            self._bar = Progress(
                TextColumn("[bold]{task.completed}[/]/{task.total}"),
                BarColumn(bar_width=None),
                TextColumn("loss {task.fields[loss]} {task.fields[metrics]}"),
                _Speed(),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=Console(stderr=True),
                auto_refresh=False,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(
                "", total=trainer.max_steps, completed=self._first, loss="", metrics="", speed=0.0
            )

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Redraw when it is due."""
        now = time.monotonic()
        if self._bar is not None and now - self._drawn > 1 / self.refresh_per_second:
            self._drawn = now
            self._update(trainer, pl_module)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Take over the metrics; print a line where there is no bar."""
        if not _fitting(trainer) or not trainer.is_global_zero:
            return
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
        shown = [k for k in metrics if k != "val/loss"][:1] or list(metrics)
        self._metrics = " ".join(f"{key.replace('/', ' ')} {metrics[key]:.3g}" for key in shown)
        if self._bar is not None:
            self._update(trainer, pl_module)
            return
        step, left = trainer.global_step, trainer.max_steps - trainer.global_step
        speed = self._speed(step)
        print(
            f"step {step}/{trainer.max_steps}  loss {pl_module.history.last:.3g}  {self._metrics}  "
            f"{speed:.0f} steps/s  {left / max(speed, 1e-9):.0f} s left",
            file=sys.stderr,
            flush=True,
        )

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException
    ) -> None:
        """Give the terminal back."""
        self.on_train_end(trainer, pl_module)

    def _update(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        assert self._bar is not None
        step = trainer.global_step
        loss = f"{pl_module.history.last:.3g}"
        self._bar.update(
            self._task, completed=step, loss=loss, metrics=self._metrics, speed=self._speed(step)
        )
        self._bar.refresh()

    def _speed(self, step: int) -> float:
        return (step - self._first) / max(time.monotonic() - self._start, 1e-9)


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.fields['speed']:.0f} steps/s")


class Figures(Callback):
    """Pictures in TensorBoard: a few predictions, and the impulse response against the kernel.

    A model of text has none; what it writes appears in the Text tab.

    Args:
        every_n_validations: how many validations apart.
        sequences: how many sequences of the validation set are drawn.
    """

    changes_course = False

    def __init__(self, every_n_validations: int = 4, sequences: int = 3) -> None:
        if every_n_validations < 1 or sequences < 1:
            raise ValueError(
                "callbacks.figures: every_n_validations and sequences must be at least 1, "
                f"got {every_n_validations} and {sequences}"
            )
        self.every_n_validations = every_n_validations
        self.sequences = sequences
        self._count = 0
        self._drawn = -1

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Draw every n-th time."""
        if _fitting(trainer):
            self._count += 1
            if self._count % self.every_n_validations == 0:
                self._draw(trainer, pl_module)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Draw the trained model, unless the last validation has."""
        if self._drawn != trainer.global_step:
            self._draw(trainer, pl_module)

    def _draw(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        self._drawn = trainer.global_step
        writers = [lg.experiment for lg in trainer.loggers if isinstance(lg, TensorBoardLogger)]
        if not writers or not trainer.is_global_zero:
            return
        task = trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(task, tasks.Text):
            from seq2seq.generate import write

            if not pl_module.model.has_step:
                return
            text = write(pl_module.model, task.vocabulary, length=400)
            for writer in writers:  # indented, so that line breaks stay
                writer.add_text("sample", textwrap.indent(text, "    "), trainer.global_step)
            return
        drawn = draw(pl_module.model, task, self.sequences)
        for writer in writers:
            for name, pixels in drawn.items():
                _add_image(writer, name, pixels, trainer.global_step)


def _add_image(writer: Any, name: str, pixels: np.ndarray, step: int) -> None:
    """What `writer.add_image` does, which takes ten times as long over conversions."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    from seq2seq.analysis.pictures import png

    height, width, channels = pixels.shape
    image = Summary.Image(
        height=height, width=width, colorspace=channels, encoded_image_string=png(pixels)
    )
    value = Summary.Value(tag=name, image=image)
    writer.file_writer.add_summary(Summary(value=[value]), step)


def draw(model: Any, task: Any, sequences: int) -> dict[str, np.ndarray]:
    """The pictures of one model on one task: `predictions` and, given a kernel, `kernel`."""
    from seq2seq.analysis import pictures

    parameter = next(model.parameters())
    x, y = (part[:sequences].to(parameter) for part in next(iter(task.val_dataloader())))
    was_training = model.training
    model.eval()
    with torch.no_grad():
        prediction = model(x)
        x, y, prediction = x.cpu(), y.cpu(), prediction.cpu()
        drawn = {
            "predictions": pictures.prediction(x, y, prediction, task.memoryless_prediction(x))
        }
        responses = _responses(model, task)
        if responses is not None:
            drawn["kernel"] = pictures.impulse_response(*responses)
    model.train(was_training)
    return drawn


def _responses(model: Any, task: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The true and the learned impulse response of the first channel; None without a kernel."""
    from seq2seq.models import impulse_response

    kernel = getattr(task, "kernel", lambda: None)()
    if kernel is None:
        return None
    was_training = model.training
    model.eval()  # no dropout
    with torch.no_grad():
        learned = impulse_response(model, len(kernel))[:, 0, 0]
    model.train(was_training)
    return kernel.cpu(), learned.cpu()
