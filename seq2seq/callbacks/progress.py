"""What a run tells the terminal."""

import math
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lightning
from lightning import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from seq2seq import checks
from seq2seq.processes import TOLD, is_told
from seq2seq.runs import Run
from seq2seq.times import duration

#: Least seconds between two notes of how far runs have come, and the most of the time they take.
NOTE_EVERY, SHARE = 2.0, 0.005


class Pace:
    """How fast training goes, and notes of it in the folders of runs now and then.

    Args:
        first: the step that it begins at, or goes on from.
        of: the last one.
    """

    def __init__(self, first: int, of: int) -> None:
        self.first, self.of = first, of
        self._start = time.monotonic()
        self._due = -math.inf

    def speed(self, step: int) -> float:
        """Steps per second."""
        return (step - self.first) / max(time.monotonic() - self._start, 1e-9)

    def left(self, step: int) -> float | None:
        """Seconds until the last step; None before the first one has been taken."""
        return (self.of - step) / self.speed(step) if step > self.first else None

    def line(self, step: int, told: str) -> str:
        """All of this as text, and what else is to be told.

        What is left is not, where a sweep tells when all its jobs will have ended.
        """
        parts = [f"step {step:,}/{self.of:,}", told]
        if (left := self.left(step)) is not None:
            parts.append(f"{self.speed(step):.0f} steps/s")
            if TOLD not in os.environ:
                parts.append(f"{duration(left)} left")
        return "  ".join(parts)

    def note(self, step: int, runs: Iterable[tuple[Path, Any]]) -> None:
        """Note it, where that is due.

        Args:
            step: that has been taken.
            runs: their folders, each with the module that is trained.
        """
        now = time.monotonic()
        if now < self._due:
            return
        left = self.left(step)
        for folder, module in runs:
            loss = module.history.last
            Run(folder).note_progress(step, self.of, self.first, left, loss)
        self._due = now + max(NOTE_EVERY, (time.monotonic() - now) / SHARE)


class ProgressReport(Callback):
    """A rich bar on a terminal, a plain line per validation elsewhere, and notes in the folder.

    Both show the loss, the validation metrics, steps per second and the time left; in a sweep,
    which tells the time left of all its jobs, the line begins with the run's name instead. On a
    terminal where a sweep has a line about all its jobs there is no bar.

    Args:
        refresh_per_second: how often the bar is drawn.
    """

    changes_course = False

    def __init__(self, refresh_per_second: float = 4.0) -> None:
        checks.positive("callbacks.progress.refresh_per_second", refresh_per_second, 4.0)
        self.refresh_per_second = refresh_per_second
        self._bar: Progress | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Open the bar."""
        self._pace = Pace(trainer.global_step, trainer.max_steps)
        self._drawn = time.monotonic()
        self._metrics = ""
        self._note(trainer, pl_module)
        if sys.stderr.isatty() and trainer.is_global_zero and not is_told():
            self._bar = Progress(
                TextColumn("[bold]{task.completed:,}[/]/{task.total:,}"),
                BarColumn(bar_width=None),
                TextColumn("loss {task.fields[loss]} {task.fields[metrics]}"),
                TextColumn("{task.fields[speed]:.0f} steps/s"),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=Console(stderr=True),
                auto_refresh=False,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(
                "",
                total=trainer.max_steps,
                completed=self._pace.first,
                loss="",
                metrics="",
                speed=0,
            )

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *batch: Any) -> None:
        """Redraw and note when it is due."""
        now = time.monotonic()
        if now - self._drawn > 1 / self.refresh_per_second:
            self._drawn = now
            self._note(trainer, pl_module)
            if self._bar is not None:
                self._update(trainer, pl_module)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Take over the metrics; print a line where there is no bar."""
        if trainer.state.fn != "fit" or not trainer.is_global_zero:
            return
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
        shown = [k for k in metrics if k != "val/loss"][:1] or list(metrics)
        self._metrics = " ".join(f"{key.replace('/', ' ')} {metrics[key]:.3g}" for key in shown)
        if self._bar is not None:
            self._update(trainer, pl_module)
            return
        if is_told():
            return
        step = trainer.global_step
        of = f"{Path(trainer.default_root_dir).name}: " if TOLD in os.environ else ""
        told = f"loss {pl_module.history.last:.3g}  {self._metrics}"
        print(f"{of}{self._pace.line(step, told)}", file=sys.stderr, flush=True)

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
        step, loss = trainer.global_step, f"{pl_module.history.last:.3g}"
        speed = self._pace.speed(step)
        self._bar.update(self._task, completed=step, loss=loss, metrics=self._metrics, speed=speed)
        self._bar.refresh()

    def _note(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        if trainer.is_global_zero:
            self._pace.note(trainer.global_step, [(Path(trainer.default_root_dir), pl_module)])
