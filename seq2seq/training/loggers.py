"""TensorBoard and other loggers of a run, and what they are told at its end."""

from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from omegaconf import DictConfig

from seq2seq.runs import telling


def build_loggers(cfg: DictConfig, folder: Path, step: int) -> list[Logger]:
    """The loggers of a run that continues from `step`, writing into its folder."""
    loggers = []
    for node in cfg.logger.values():
        if node is None:
            continue
        logger = instantiate(node, save_dir=str(folder))
        if step and isinstance(logger, TensorBoardLogger):
            # What a killed run logged after its last checkpoint is logged again, so the first
            # writer drops it. Those opened later, for the final metrics, must not.
            logger = instantiate(node, save_dir=str(folder), purge_step=step + 1)
            logger.experiment.purge_step = None
        loggers.append(logger)
    return loggers


def log_hyperparameters(cfg: DictConfig, loggers: list[Logger], result: dict[str, Any]) -> None:
    """Give the HParams tab this run's config beside its final metrics."""
    parameters = {
        key: value if isinstance(value, (int, float, str, bool)) else str(value)
        for key, value in telling(cfg).items()
    }
    metrics = {
        key: value
        for key, value in result.items()
        if key.startswith(("val/", "test/")) and value is not None
    }
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(parameters, metrics, step=result["steps"])
        else:
            logger.log_hyperparams(parameters)
