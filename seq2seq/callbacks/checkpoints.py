"""Writing what a run can be continued from."""

import io
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from lightning import Callback

from seq2seq import checks
from seq2seq.runs import Run, replacing, seal, write_atomically
from seq2seq.times import Taken


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
        checks.integer("callbacks.checkpoints.every_n_steps", every_n_steps)
        checks.positive("callbacks.checkpoints.every_n_seconds", every_n_seconds, 60.0)
        self.every_n_steps = every_n_steps
        self.every_n_seconds = every_n_seconds

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Start the clock."""
        self._last = (trainer.global_step, time.monotonic())

    def on_train_batch_start(self, trainer: lightning.Trainer, pl_module: Any, *batch: Any) -> None:
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
        folder, writes = Path(trainer.default_root_dir), trainer.is_global_zero
        if writes:
            write_arrays(folder / "history.npz", pl_module.history.arrays())
        path = folder / "checkpoints" / f"step={trainer.global_step}.ckpt"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Lightning counts the batch about to be trained as begun; a run resumed from such a count
        # would validate one step early.
        begun = trainer.fit_loop.epoch_loop.batch_progress.total
        ready, begun.ready = begun.ready, begun.completed
        with replacing(path) if writes else nullcontext(path) as partial:
            trainer.save_checkpoint(partial)
            if writes:
                seal(partial)
        begun.ready = ready
        if writes:
            for old in Run(folder).checkpoints[2:]:
                old.unlink()


class Clock(Callback):
    """What a run has taken in all its parts: a checkpoint keeps what it was by then.

    Args:
        cost: what it is counted in, of a run that shares its process; None counts from now on.
    """

    changes_course = False

    def __init__(self, cost: Taken | None = None) -> None:
        self._begun = Taken.now() if cost is None else None
        self._cost = Taken() if cost is None else cost

    @property
    def taken(self) -> Taken:
        """All until now."""
        total = Taken(self._cost.seconds, self._cost.cpu_seconds)
        if self._begun is not None:
            total.add(Taken.now() - self._begun)
        return total

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Count what the parts before have taken."""
        self._cost.add(Taken(**checkpoint.get("taken", {})))

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Keep it."""
        checkpoint["taken"] = asdict(self.taken)


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a `.npz` in one piece."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())
