"""What a run tells the terminal."""

import sys
import time
from typing import Any

import lightning
from lightning import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from seq2seq import checks


class ProgressReport(Callback):
    """A rich bar on a terminal, a plain line per validation elsewhere.

    Both show the loss, the validation metrics, steps per second and the time left.

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
        self._first = trainer.global_step
        self._start = self._drawn = time.monotonic()
        self._metrics = ""
        if sys.stderr.isatty() and trainer.is_global_zero:
            self._bar = Progress(
                TextColumn("[bold]{task.completed}[/]/{task.total}"),
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
                "", total=trainer.max_steps, completed=self._first, loss="", metrics="", speed=0.0
            )

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *batch: Any) -> None:
        """Redraw when it is due."""
        now = time.monotonic()
        if self._bar is not None and now - self._drawn > 1 / self.refresh_per_second:
            self._drawn = now
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
