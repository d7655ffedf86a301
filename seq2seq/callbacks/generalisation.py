"""How the model does on other sizes of its task while it trains."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning import Callback

from seq2seq import checks
from seq2seq.callbacks.checkpoints import write_arrays
from seq2seq.evaluate import measure


class Generalisation(Callback):
    """Validate the model on its task with other values of a key, such as longer sequences.

    Each metric is logged as `generalisation/<metric>/<key>_<value>`. `generalisation.npz` holds
    `step` (n,), `values` (m,) as texts and each metric (n, m); every checkpoint keeps it.

    Args:
        values: of the key, such as [64,128]; none are tested if it is empty.
        key: of the task.
        every_n_validations: how many validations apart.
    """

    changes_course = False

    def __init__(
        self, values: Sequence[Any] = (), key: str = "length", every_n_validations: int = 1
    ) -> None:
        checks.integer("callbacks.generalisation.every_n_validations", every_n_validations)
        if isinstance(values, str) or not isinstance(values, Sequence):
            checks.refuse("callbacks.generalisation.values", values, "be a list", f"[{values}]")
        self.key = key
        self.values = [[*one] if isinstance(one, Sequence) else one for one in values]
        self.every_n_validations = every_n_validations
        self._count = 0
        self._found: dict[int, list[dict[str, float]]] = {}
        self._tasks: dict[str, Any] = {}

    def check(self, task: Any) -> None:
        """Raise ValueError if the task refuses a value."""
        try:
            changed = self._changed(task)
        except ValueError as error:
            raise ValueError(f"callbacks.generalisation.values: {error}") from None
        if len(changed) < len(self.values):
            checks.refuse("callbacks.generalisation.values", self.values, "differ", "[64,128]")

    def _changed(self, task: Any) -> dict[str, Any]:
        """The task with each of the values, by their text."""
        return {_text(value): task.changed({self.key: value}) for value in self.values}

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: Any, checkpoint: Mapping[str, Any]
    ) -> None:
        """Take over what the run that is continued has found."""
        self._found = dict(checkpoint.get("generalisation", {}))

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Keep what has been found."""
        if self._found:
            checkpoint["generalisation"] = self._found

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Count the validations that there have been."""
        self._count = trainer.global_step // int(trainer.val_check_interval)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Test every n-th time."""
        if trainer.state.fn == "fit":
            self._count += 1
            if self._count % self.every_n_validations == 0:
                self._test(trainer, pl_module)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Test the trained model, unless the last validation has."""
        if trainer.global_step not in self._found:
            self._test(trainer, pl_module)

    def result(self, trainer: lightning.Trainer, measured: Mapping[str, Any]) -> dict[str, Any]:
        """What was found last, under the names that it was logged by."""
        return self._named([*self._found.values()][-1]) if self._found else {}

    def _test(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Test, log and write."""
        if not self.values:
            return
        model, was_training = pl_module.model, pl_module.model.training
        self._tasks = self._tasks or self._changed(trainer.datamodule)  # type: ignore[attr-defined]
        model.eval()
        with torch.no_grad():
            found = [
                measure(model, task.to(pl_module.device), "val") for task in self._tasks.values()
            ]
        model.train(was_training)
        self._found[trainer.global_step] = found
        for logger in trainer.loggers:
            logger.log_metrics(self._named(found), step=trainer.global_step)
        if trainer.is_global_zero:
            write_arrays(Path(trainer.default_root_dir) / "generalisation.npz", self._arrays())

    def names(self, metrics: Sequence[str]) -> list[str]:
        """Under what the task's metrics are logged."""
        return [self._name(metric, value) for value in self.values for metric in metrics]

    def _name(self, metric: str, value: Any) -> str:
        return f"generalisation/{metric}/{self.key}_{_text(value)}"

    def _named(self, found: Sequence[Mapping[str, float]]) -> dict[str, float]:
        return {
            self._name(name.partition("/")[2], value): measured
            for value, one in zip(self.values, found, strict=True)
            for name, measured in one.items()
        }

    def _arrays(self) -> dict[str, np.ndarray]:
        """What has been found, by its names."""
        names = next(iter(self._found.values()))[0]
        arrays = {
            name.partition("/")[2]: np.array(
                [[each[name] for each in row] for row in self._found.values()]
            )
            for name in names
        }
        values = [_text(value) for value in self.values]
        return {"step": np.array([*self._found]), "values": np.array(values), **arrays}


def _text(value: Any) -> str:
    """A value without the signs that a logger may not take."""
    return "-".join(map(str, value)) if isinstance(value, list) else str(value)
