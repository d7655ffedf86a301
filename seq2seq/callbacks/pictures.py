"""What a run shows in its loggers and leaves for reports: predictions, responses, eigenvalues."""

import copy
import math
import textwrap
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning import Callback
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger

from seq2seq import checks
from seq2seq.callbacks.checkpoints import write_arrays
from seq2seq.models import impulse_response

#: The loggers that take pictures and texts.
DRAWING = (TensorBoardLogger, WandbLogger, MLFlowLogger)


class Snapshots(Callback):
    """Write what the model has become to `kernel.npz` and `eigenvalues.npz`, for reports.

    `eigenvalues.npz` holds `step` (n,) and the complex `eigenvalues` (n, layers, m) of a recurrent
    model before the first step, after it, whenever the steps have grown by the factor `growth`, and
    now, beside the `responses` (n, length) of a linear one; `kernel.npz`, where the task has a
    kernel, `step` and the responses `true` and `learned`,
    (length,), of the first channel. Both are written with every checkpoint, which keeps the
    eigenvalues for the run that goes on from it.

    Args:
        growth: ratio of the steps of successive snapshots, above 1.
    """

    changes_course = False

    def __init__(self, growth: float = 1.25) -> None:
        checks.within("callbacks.snapshots.growth", growth, "(1, inf)", 1.25)
        self.growth = growth
        self._taken: dict[int, dict[str, np.ndarray]] = {}
        self._next = 0

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Take over the snapshots of the run that is continued."""
        stored = dict(checkpoint.get("snapshots", {"step": []}))
        steps = [int(step) for step in stored.pop("step")]
        self._taken = {
            step: {name: part[index].numpy() for name, part in stored.items()}
            for index, step in enumerate(steps)
        }

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Find when the next is due."""
        while self._next < trainer.global_step:
            self._advance()
        self.on_train_batch_end(trainer, pl_module)

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *batch: Any) -> None:
        """Take one when it is due."""
        if trainer.global_step == self._next:
            self._taken |= _snapshot(pl_module.model, trainer, self._next)
            self._advance()

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the snapshots; write them, the last of them as things stand now."""
        if self._taken:
            kept = _arrays(self._taken)
            checkpoint["snapshots"] = {key: torch.from_numpy(part) for key, part in kept.items()}
        if not trainer.is_global_zero:
            return
        folder, step = Path(trainer.default_root_dir), trainer.global_step
        if self._taken:
            now = self._taken | _snapshot(pl_module.model, trainer, step)
            write_arrays(folder / "eigenvalues.npz", _arrays(now))
        responses = _responses(wide(pl_module.model), trainer.datamodule)  # type: ignore[attr-defined]
        if responses is not None:
            true, learned = (part.numpy() for part in responses)
            arrays = {"step": np.array(step), "true": true, "learned": learned}
            write_arrays(folder / "kernel.npz", arrays)

    def _advance(self) -> None:
        self._next = max(self._next + 1, int(self.growth * self._next))


def _snapshot(
    model: Any, trainer: lightning.Trainer, step: int
) -> dict[int, dict[str, np.ndarray]]:
    """The eigenvalues (layers, m), and a linear model's response (length,), by the step.

    None of a model that has no eigenvalues.
    """
    if not hasattr(type(model), "eigenvalues"):
        return {}
    copied = wide(model)
    with torch.no_grad():
        spectra = [part.cpu().numpy() for part in copied.eigenvalues()]
    if not spectra:
        return {}
    found = {"eigenvalues": np.stack(spectra)}
    if getattr(model, "has_kernel", False):
        responses = _responses(copied, trainer.datamodule)  # type: ignore[attr-defined]
        if responses is not None:
            found["responses"] = responses[1].numpy()
    return {step: found}


def _arrays(taken: dict[int, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What all snapshots have, by its name."""
    names = [name for name in next(iter(taken.values())) if all(name in t for t in taken.values())]
    stacked = {name: np.stack([each[name] for each in taken.values()]) for name in names}
    return {"step": np.array([*taken]), **stacked}


class References(Callback):
    """Log the reference predictors' errors, so that they are drawn beside the model's.

    In TensorBoard their charts stand behind those of the model, as `val_reference/<name>`, and a
    custom chart has the validation error beside the memoryless predictor's: an NMSE in decibels,
    10 log₁₀, as the page cannot be told to begin with a logarithmic scale.
    """

    changes_course = False

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Arrange the custom chart."""
        self._references = trainer.datamodule.references()  # type: ignore[attr-defined]
        shares = [key for key in self._references if key.startswith("reference_nmse/")]
        own, unit = ("val/nmse_dB", "reference_dB") if shares else ("val/loss", "reference")
        best = [f"{unit}/{name}" for name in ("memoryless", "bigram")]
        tags = [own, *(f"val_{key}" for key in best if key in self._in_decibels(self._references))]
        title = "NMSE in dB" if shares else "loss"
        layout = {title: {f"validation {title}, model and reference": ["Multiline", tags]}}
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
                logger.experiment.add_custom_scalars(layout)
        self._log(trainer)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Lengthen the lines."""
        if trainer.state.fn == "fit":
            self._log(trainer, float(trainer.callback_metrics.get("val/nmse", 0.0)))

    def _log(self, trainer: lightning.Trainer, nmse: float = 0.0) -> None:
        behind = {f"val_{k}": value for k, value in self._in_decibels(self._references).items()}
        own = {"val/nmse_dB": 10 * math.log10(nmse)} if 0 < nmse < math.inf else {}
        for logger in trainer.loggers:
            tensorboard = isinstance(logger, TensorBoardLogger)
            logged = behind | own if tensorboard else self._references
            logger.log_metrics(logged, step=trainer.global_step)

    @staticmethod
    def _in_decibels(references: dict[str, float]) -> dict[str, float]:
        """With `reference_dB/<name>` for each share of the zero predictor's error."""
        shares = {
            key.replace("_nmse", "_dB"): 10 * math.log10(value)
            for key, value in references.items()
            if key.startswith("reference_nmse/") and 0 < value < math.inf
        }
        return references | shares


class Figures(Callback):
    """Pictures in TensorBoard and other loggers: predictions, the response to an impulse.

    A model of text has none; what it writes appears in the Text tab.

    Args:
        every_n_validations: how many validations apart.
        sequences: how many sequences of the validation set are drawn.
    """

    changes_course = False

    def __init__(self, every_n_validations: int = 4, sequences: int = 3) -> None:
        checks.integer("callbacks.figures.every_n_validations", every_n_validations)
        checks.integer("callbacks.figures.sequences", sequences)
        self.every_n_validations = every_n_validations
        self.sequences = sequences
        self._count = 0
        self._drawn = -1

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Count the validations that there have been."""
        self._count = trainer.global_step // int(trainer.val_check_interval)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Draw every n-th time."""
        if trainer.state.fn == "fit":
            self._count += 1
            if self._count % self.every_n_validations == 0:
                self._draw(trainer, pl_module)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Draw the trained model, unless the last validation has."""
        if self._drawn != trainer.global_step:
            self._draw(trainer, pl_module)

    def _draw(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        self._drawn = trainer.global_step
        loggers = [one for one in trainer.loggers if isinstance(one, DRAWING)]
        if not loggers or not trainer.is_global_zero:
            return
        task = trainer.datamodule  # type: ignore[attr-defined]
        for name, drawn in draw(wide(pl_module.model), task, self.sequences).items():
            for logger in loggers:
                _show(logger, name, drawn, trainer.global_step)


def _show(logger: Any, name: str, drawn: np.ndarray | str, step: int) -> None:
    """Log a text or a picture as the logger wants it."""
    if isinstance(logger, TensorBoardLogger):
        if isinstance(drawn, str):  # indented, so that line breaks stay
            logger.experiment.add_text(name, textwrap.indent(drawn, "    "), step)
        else:
            _add_image(logger.experiment, name, drawn, step)
    elif isinstance(logger, WandbLogger):
        if isinstance(drawn, str):
            logger.log_text(name, ["text"], [[drawn]], step=step)
        else:
            logger.log_image(name, [drawn], step)
    elif isinstance(drawn, str):
        logger.experiment.log_text(logger.run_id, drawn, f"{name}/step={step}.txt")
    else:
        logger.experiment.log_image(logger.run_id, drawn, f"{name}/step={step}.png")


def wide(model: Any) -> Any:
    """The model, in float32 if it has half the precision, which knows neither NumPy nor spectra."""
    half = next(model.parameters()).dtype.itemsize < 4
    return copy.deepcopy(model).float() if half else model


def _add_image(writer: Any, name: str, pixels: np.ndarray, step: int) -> None:
    """What `writer.add_image` does, in 70 ms in place of 220 for a picture of predictions."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    from seq2seq.analysis.pictures import png

    height, width, channels = pixels.shape
    image = Summary.Image(
        height=height, width=width, colorspace=channels, encoded_image_string=png(pixels)
    )
    value = Summary.Value(tag=name, image=image)
    writer.file_writer.add_summary(Summary(value=[value]), step)


def draw(model: Any, task: Any, sequences: int) -> dict[str, np.ndarray | str]:
    """What `task` shows of a model: texts, and pictures, the response to an impulse among them.

    Pictures are called `view/<name>`, so that TensorBoard has them behind the curves.
    """
    from seq2seq.analysis import pictures

    was_training = model.training
    model.eval()
    with torch.no_grad():
        shown = task.show(model, sequences)
    model.train(was_training)
    takes = {"predictions": pictures.prediction, "answers": pictures.answers}
    drawn: dict[str, np.ndarray | str] = {}
    for name, value in shown.items():
        if isinstance(value, str):
            drawn[name] = value
        else:
            drawn[f"view/{name}"] = takes[name](*value)
    responses = _responses(model, task)
    if responses is not None:
        drawn["view/response"] = pictures.impulse_response(*responses)
    return drawn


def _responses(model: Any, task: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The true and the learned impulse response of the first channel; None without a kernel."""
    kernel = task.kernel()
    if kernel is None:
        return None
    was_training = model.training
    model.eval()  # no dropout
    with torch.no_grad():
        learned = impulse_response(model, len(kernel))[:, 0, 0]
    model.train(was_training)
    return kernel.cpu(), learned.cpu()
